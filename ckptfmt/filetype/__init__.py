"""What a file is, told by its content, and what reads it."""
