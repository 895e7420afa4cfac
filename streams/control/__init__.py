"""The control plane: progress merged from partitions, and its service."""
