"""Reading graphs from files."""
