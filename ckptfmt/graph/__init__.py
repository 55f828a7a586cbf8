"""Graphs: what a ``.meta`` file says without being run."""
