"""The verb ``model``."""
