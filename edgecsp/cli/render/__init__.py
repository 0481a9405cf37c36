"""Text output of commands: tables, charts, lines."""
