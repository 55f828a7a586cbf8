"""Record files: those that a path stands for, opened together."""
