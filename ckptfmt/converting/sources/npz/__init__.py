"""NumPy's archives and arrays."""
