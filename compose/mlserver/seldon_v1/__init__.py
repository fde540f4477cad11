"""A runtime of MLServer for Python classes of the version 1 wrapper: `predict`, `tags`, `metrics` and the like."""
