"""Bytes and numbers: varints, message fields, checksums, ordered keys, threads; nothing here knows files."""
