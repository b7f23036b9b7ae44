"""The command line: one file per noun, no logic, nothing heavy imported before a command needs it."""
