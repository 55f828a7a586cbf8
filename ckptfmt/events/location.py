"""Locations: a file of a run and an offset in it as one integer, which a column holds and which sorts."""

from __future__ import annotations

OFFSET_BITS = 44
"""The number of the file is above these bits, an offset in it below: 16 TiB, as ext4 has."""

MAX_FILES = 1 << 63 - OFFSET_BITS
"""Files of a run."""


def pack(file: int, offset: int) -> int:
    """Return the location of an offset in a file, given by its number."""
    return (file << OFFSET_BITS) + offset


def unpack(location: int) -> tuple[int, int]:
    """Return the number of the file and the offset of a location."""
    return location >> OFFSET_BITS, location & ((1 << OFFSET_BITS) - 1)
