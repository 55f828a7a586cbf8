"""Decoding many scalar events at once, as rows of bytes."""
