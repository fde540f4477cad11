"""What Envoy should have: resources made from route plans, and what one connected Envoy still lacks of them."""
