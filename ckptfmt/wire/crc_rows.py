"""CRC-32C of many byte strings of one length at once.

A CRC is linear over GF(2) but for a constant: two strings of one length that differ in a few places have
CRCs that differ by what each of these bytes adds, which depends on its difference and on how many bytes
follow it. So the CRC of one string and a table look-up for each place that varies give those of all others.
"""

from __future__ import annotations

import threading

import numpy as np

from ckptfmt.wire.crc32c import crc32c

_STEP = 64
"""Tables made together."""

_lock = threading.Lock()
_tables: list[np.ndarray] = []


def _first_table() -> np.ndarray:
    zero = crc32c(b"\0")
    return np.array([crc32c(bytes([byte])) ^ zero for byte in range(256)], np.uint32)


def added_by(following: int) -> np.ndarray:
    """Return what each value of a byte adds to a CRC where ``following`` others follow it (uint32)."""
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
    """Turn the CRCs of strings (uint32) into those of strings that have other bytes where these have zeros.

    Parameters
    ----------
    crcs
        The CRC of each string.
    columns
        The bytes: an array of uint8, a row for each place and a column for each string.
    following
        How many bytes follow the last place.
    """
    # The indexes as NumPy wants them, and an array to fill: faster than table[column].
    places, added = np.empty(len(crcs), np.intp), np.empty_like(crcs)
    for after, column in zip(range(following + len(columns) - 1, -1, -1), columns, strict=False):
        places[:] = column
        added_by(after).take(places, out=added, mode="wrap")
        crcs ^= added


def crc_before(crcs: np.ndarray, following: int) -> np.ndarray:
    """Return what strings add to the CRC of themselves and what follows, ``following`` bytes, at least 4.

    The CRC of both together is this, combined by exclusive or with the CRC of what follows.
    """
    # A CRC is the state before what follows: as if its bytes were there instead of the first four.
    found = np.zeros(len(crcs), np.uint32)
    add_bytes(found, _bytes_of(crcs, "<u4"), following - 4)
    return found


def crc_of_words(words: np.ndarray) -> np.ndarray:
    """Return the CRC-32C of the 8 little-endian bytes of each word (uint64)."""
    crcs = np.full(len(words), crc32c(bytes(8)), np.uint32)
    add_bytes(crcs, _bytes_of(words, "<u8"), 0)
    return crcs


def _bytes_of(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The bytes of numbers, a row for each place."""
    stored = numbers.astype(dtype, copy=False)
    columns: np.ndarray = stored.view(np.uint8).reshape(-1, stored.itemsize).T
    return columns


def mask_all(crcs: np.ndarray) -> np.ndarray:
    """Return the stored form of CRCs (uint32); see :func:`ckptfmt.wire.crc32c.mask`."""
    rotated: np.ndarray = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    rotated += np.uint32(0xA282EAD8)
    return rotated
