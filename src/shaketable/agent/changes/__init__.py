"""What the fault agent does to a target: one file for each mechanism, each change with its undo."""
