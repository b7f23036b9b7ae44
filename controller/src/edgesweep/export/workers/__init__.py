"""The processes that export: killable slots, the worker in them, models kept warm, one variant from end to end."""
