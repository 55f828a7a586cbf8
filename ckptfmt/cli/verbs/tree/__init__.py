"""The verb ``tree``."""
