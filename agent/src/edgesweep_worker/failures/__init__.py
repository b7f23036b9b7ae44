"""What a runtime's words mean: patterns as data, the reading of them, and a hash for what none of them knows."""
