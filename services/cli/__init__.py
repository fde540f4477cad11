"""The `seldon` command line."""
