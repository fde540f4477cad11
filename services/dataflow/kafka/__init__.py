"""Pipeline versions at work on Kafka: records read, records written, offsets committed."""
