"""The verb `events`."""
