"""Strings stored back to back, with their lengths before them: in bundles and in ``tensor_content``."""

from __future__ import annotations

import io

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.errors import CorruptError
from ckptfmt.wire.coding import Buffer

STRINGS_AT_ONCE = 4096
"""Strings taken out at a time, whose bytes are in memory twice meanwhile."""


def split_strings(data: Buffer, lengths: np.ndarray) -> Array:
    """Return the strings (``object``) of the given lengths (uint64); together they are all of ``data``."""
    sizes = lengths.tolist()
    total = sum(sizes)  # in Python's integers, which do not overflow
    if total != len(data):
        raise CorruptError(f"strings: got {len(data)} bytes, want {total}", offset=0)
    values = np.empty(len(sizes), object)
    pos = 0
    for start in range(0, len(sizes), STRINGS_AT_ONCE):
        some = sizes[start : start + STRINGS_AT_ONCE]
        end = pos + sum(some)
        # Reading from a stream takes a third of the time of slicing.
        read = io.BytesIO(data[pos:end]).read
        values[start : start + len(some)] = np.fromiter(map(read, some), object, len(some))
        pos = end
    return values
