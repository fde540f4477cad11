"""The scheduler's instructions: which pipeline versions this engine runs."""
