"""Changes as clients subscribe to them: the current state first, then every change."""
