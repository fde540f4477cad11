"""The brokers that a deployment or a test may run: Tansu, which keeps records in memory, and Apache Kafka."""
