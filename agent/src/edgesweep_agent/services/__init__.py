"""One servicer per service: each translates between messages and domain types, and delegates."""
