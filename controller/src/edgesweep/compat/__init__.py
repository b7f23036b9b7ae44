"""What cannot load where, told before any board is touched: an artifact's facts held against a runtime's limits."""
