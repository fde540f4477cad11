"""Simplepipe in an environment of its own, against a real Pushgateway and a real Prometheus."""
