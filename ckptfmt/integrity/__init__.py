"""Judging files: which bytes of a checkpoint are intact."""
