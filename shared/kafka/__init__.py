"""Everything that more than one service does with Kafka: names, headers, clients without consumer-group rebalances."""
