"""Text: patterns over names, near names, and names in messages."""
