"""Sinks: files of other programs being written, one module for each format."""
