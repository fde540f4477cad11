"""What becomes of the records of one pipeline, without Kafka: state machines over the shape of its graph."""
