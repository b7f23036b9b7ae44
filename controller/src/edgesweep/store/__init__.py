"""What is kept of every run: SQL tables, raw samples beside them, and the records they hold."""
