"""Freezing: a graph from a graph, its variables replaced by constants."""
