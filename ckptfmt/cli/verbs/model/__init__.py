"""The verb `model`."""
