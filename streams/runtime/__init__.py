"""Kafka: clients, the checkpoint, partition tasks, rebalance, the loop."""
