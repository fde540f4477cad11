"""A real Envoy with our bootstrap, told what to do by a real scheduler, in front of peers that show what arrives."""
