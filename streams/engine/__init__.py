"""The pure core: what a command does to the table. No clock, randomness, I/O, Kafka or SQLite."""
