"""The one door to Kafka: clients and their errors, topics, and readers of topics."""
