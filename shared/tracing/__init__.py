"""OpenTelemetry spans of our services: configuration, spans, and the W3C context that joins them into one trace."""
