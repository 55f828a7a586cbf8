"""Freezing: a graph whose variables have become constants."""
