"""Riegeli records, and the split messages stored in them."""
