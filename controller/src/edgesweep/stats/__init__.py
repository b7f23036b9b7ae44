"""Figures and verdicts: pure functions on arrays and plain data."""
