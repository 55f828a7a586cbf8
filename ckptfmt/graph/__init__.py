"""Graphs: nodes, functions and constants, read and changed without being run."""
