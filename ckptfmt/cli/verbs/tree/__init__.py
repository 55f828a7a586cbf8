"""The verb `tree`."""
