"""CRC-32C of many byte strings of one length at once.

Apart from a constant, a CRC is linear over GF(2): for strings of one length, ``crc(a) ^ crc(b)`` depends only
on ``a ^ b``, and is the exclusive or of what each byte of that adds. What a byte adds depends on its value
and on how many bytes follow it, so there is a table of 256 entries for each number of following bytes. Given
the CRC of a string with zeros in the places that vary, the CRC of any other takes a look-up for each place.
"""

from __future__ import annotations

import numpy as np

from ckptfmt.locks import new_lock
from ckptfmt.wire.crc32c import crc32c

_STEP = 64
"""Tables made at a time, which saves most calls the lock."""

_lock = new_lock()
_tables: list[np.ndarray] = []


def _first_table() -> np.ndarray:
    """Return what each value of the last byte adds, compared with a zero there."""
    zero = crc32c(b"\0")
    return np.array([crc32c(bytes([byte])) ^ zero for byte in range(256)], np.uint32)


def added_by(following: int) -> np.ndarray:
    """Return what each value of a byte adds to a CRC if ``following`` others follow it (uint32)."""
    # Each table comes from the one before it, as one more zero byte passes through the CRC: the usual step of
    # a table-driven CRC, for 256 states at once. Tables are only ever appended, so readers need no lock.
    while len(_tables) <= following:
        with _lock:
            if not _tables:
                _tables.append(_first_table())
            first = _tables[0]
            for _ in range(_STEP):
                last = _tables[-1]
                _tables.append(first[last & 0xFF] ^ (last >> np.uint32(8)))
    return _tables[following]


def add_bytes(crcs: np.ndarray, columns: np.ndarray, following: int) -> None:
    """Change the CRCs of strings (uint32) to those of the strings with bytes put in the place of zeros.

    Parameters
    ----------
    crcs
        The CRC of each string with zeros there; changed in place.
    columns
        The bytes: an array of uint8 with a row for each place and a column for each string. The places follow
        one another.
    following
        Number of bytes after the last place.
    """
    # Indices of NumPy's own type and a given output are faster than table[column]; "wrap" skips the check of
    # bounds, which a byte cannot exceed.
    indices, added = np.empty(len(crcs), np.intp), np.empty_like(crcs)
    for after, column in zip(range(following + len(columns) - 1, -1, -1), columns, strict=False):
        indices[:] = column
        added_by(after).take(indices, out=added, mode="wrap")
        crcs ^= added


def crc_before(crcs: np.ndarray, following: int) -> np.ndarray:
    """Return what strings, given by their CRCs, add to the CRC of themselves and ``following`` bytes more.

    ``following`` is at least 4. The CRC of both together is the exclusive or of this and the CRC of what
    follows.
    """
    # When the second part begins, the register differs from a fresh one by exactly the CRC of the first part:
    # the inversions before and after cancel out. The register is added to the data byte by byte, so this has
    # the same effect as the four bytes of that CRC added to the first four bytes that follow.
    added = np.zeros(len(crcs), np.uint32)
    add_bytes(added, _bytes_of(crcs, "<u4"), following - 4)
    return added


def crc_of_words(words: np.ndarray) -> np.ndarray:
    """Return the CRC-32C of the 8 little-endian bytes of each word (uint64)."""
    crcs = np.full(len(words), crc32c(bytes(8)), np.uint32)
    add_bytes(crcs, _bytes_of(words, "<u8"), 0)
    return crcs


def _bytes_of(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Return the bytes of numbers, a row for each place."""
    stored = numbers.astype(dtype, copy=False)
    columns: np.ndarray = stored.view(np.uint8).reshape(-1, stored.itemsize).T
    return columns


def mask_all(crcs: np.ndarray) -> np.ndarray:
    """Return the stored form of CRCs (uint32); see :func:`ckptfmt.wire.crc32c.mask`."""
    rotated: np.ndarray = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    rotated += np.uint32(0xA282EAD8)
    return rotated
