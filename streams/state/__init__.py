"""The table of one partition: SQLite store, turn overlay, changelog mapping."""
