"""One package per process. Services never import each other; what they share lives in `shared`."""
