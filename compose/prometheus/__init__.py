"""Prometheus beside this system: what it asks, and the rules it goes by."""
