"""The calls of clients: the `Scheduler` gRPC service, health, and HTTP for probes, metrics and explanations."""
