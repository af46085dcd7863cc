"""What the witness looks at: one file for each kind of evidence. Nothing here changes anything."""
