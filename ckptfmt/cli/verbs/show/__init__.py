"""The verb ``show``."""
