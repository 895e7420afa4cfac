"""Programs on the side: the check of a table, its export, and the gate for schema changes."""
