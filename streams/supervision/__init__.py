"""Process trees: parts that one supervisor starts, watches, starts again and stops, with one log."""
