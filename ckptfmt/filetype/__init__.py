"""File types: what a file is, going by its content, and what reads it."""
