"""Comparing: how one checkpoint would restore into another, and what the rest may be."""
