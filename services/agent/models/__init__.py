"""The models of this replica: loaded, unloaded, brought back, and remembered on disk."""
