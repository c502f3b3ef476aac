"""State: older schemas, backups, restores, and what holds the tables against the log."""
