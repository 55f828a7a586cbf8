"""Locations: the number of a file and an offset in it as one integer, which sorts and fits into a column."""

from __future__ import annotations

OFFSET_BITS = 44
"""Bits of the offset, below those of the file's number: 16 TiB, the largest file on ext4."""

MAX_FILES = 1 << 63 - OFFSET_BITS
"""Files that a run may have: a location must fit an int64."""


def pack(file: int, offset: int) -> int:
    """Return the location of an offset in a file, given by its number."""
    return (file << OFFSET_BITS) + offset


def unpack(location: int) -> tuple[int, int]:
    """Return the number of the file and the offset of a location."""
    return location >> OFFSET_BITS, location & ((1 << OFFSET_BITS) - 1)
