"""What a call means, without HTTP, gRPC or Kafka: its pipeline, its deadline, its headers, its answer."""
