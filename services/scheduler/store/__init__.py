"""Desired state on disk: SQLite with one writer."""
