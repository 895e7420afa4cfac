"""The worker: clients of Kafka, partition tasks, turns, the checkpoint, takeover."""
