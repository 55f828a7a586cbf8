"""Bytes and numbers: random-access files, variable-length integers, checksums."""
