"""What becomes of one record, without Kafka or Envoy: its order, its payload, its headers, its failure."""
