"""The gateway: a service that merges the progress of partitions."""
