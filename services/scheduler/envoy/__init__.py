"""What the core wants routed, on its way to every connected Envoy."""
