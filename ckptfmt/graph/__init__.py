"""Graphs: nodes, functions and constants, looked at and changed without being run."""
