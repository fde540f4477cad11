"""The pipeline gateway: one request over REST or gRPC becomes a record on Kafka, its answer a reply."""
