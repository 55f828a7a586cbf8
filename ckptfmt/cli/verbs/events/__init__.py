"""The verb ``events``."""
