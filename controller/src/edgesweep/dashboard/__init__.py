"""Shows a running sweep: one view fed by its events, and its renderers."""
