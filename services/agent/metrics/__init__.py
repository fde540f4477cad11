"""Metrics under their documented names, from calls seen here and from Envoy's own counts."""
