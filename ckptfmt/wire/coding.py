"""Variable-length integers.

A varint holds 7 bits in each byte, the lowest first, with the top bit set in all bytes but the last; 64 bits
take at most 10 bytes.

Offsets in errors count from the start of the bytes given.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError, TruncatedError

Buffer: TypeAlias = bytes | memoryview
"""Bytes that can be indexed and sliced without a copy."""

MAX_VARINT_BYTES = 10


def encode_varint(value: int) -> bytes:
    """Return the varint of an integer in ``[0, 2**64)``."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_columns(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the varints of integers in ``[0, 2**64)``, a row each, and how many bytes of each row count.

    They are encoded together, a few NumPy operations for each byte of the longest.
    """
    left = values.astype(np.uint64)
    sizes = np.ones(len(left), np.int64)
    columns = [left & np.uint64(0x7F)]
    left >>= np.uint64(7)
    while left.any():
        columns[-1] |= (left != 0).astype(np.uint64) << np.uint64(7)
        sizes += left != 0
        columns.append(left & np.uint64(0x7F))
        left >>= np.uint64(7)
    return np.stack([column.astype(np.uint8) for column in columns], axis=1), sizes


def encode_varints(values: np.ndarray) -> bytes:
    """Return the varints of integers in ``[0, 2**64)``, one after the other.

    :func:`decode_varints` is the inverse.
    """
    if not len(values) or int(values.max()) < 0x80:
        return values.astype(np.uint8).tobytes()  # all of one byte, as most lengths are
    columns, sizes = varint_columns(values)
    return columns[np.arange(columns.shape[1]) < sizes[:, None]].tobytes()


def decode_varint(data: Buffer, pos: int) -> tuple[int, int]:
    """Return the varint at ``pos`` and the position after it."""
    start = pos
    value = shift = 0
    try:
        # The end of the data is found by indexing it: a test for each byte would cost more.
        while True:
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift == 7 * MAX_VARINT_BYTES:
                raise CorruptError(f"varint longer than {MAX_VARINT_BYTES} bytes", offset=start)
    except IndexError:
        raise TruncatedError(
            "varint", wanted=pos - start + 1, available=max(len(data) - start, 0), offset=start
        ) from None
    if value >> 64:
        raise CorruptError(f"varint 0x{value:x} exceeds 64 bits", offset=start)
    return value, pos


def decode_varints(data: Buffer, count: int) -> tuple[np.ndarray, int]:
    """Return the first ``count`` varints of ``data`` (uint64) and the position after them.

    They are decoded together, by a few NumPy operations however many there are: a varint ends with its byte
    below 0x80, which gives the places of all; then their first bytes are added up, their second ones, ….
    """
    if count > len(data):
        raise TruncatedError(f"{count} varints", wanted=count, available=len(data), offset=0)
    # No more than they can take: the data may go on for gigabytes.
    window = np.frombuffer(data, np.uint8, count=min(len(data), count * MAX_VARINT_BYTES))
    if not (window[:count] & 0x80).any():
        return window[:count].astype(np.uint64), count  # all of one byte, as most lengths are
    last = np.flatnonzero(window < 0x80)[:count]
    if len(last) < count:
        # The window has room for ``count`` varints of the greatest length.
        if len(window) < len(data):
            raise CorruptError(f"one of {count} varints is longer than {MAX_VARINT_BYTES} bytes", offset=0)
        raise TruncatedError(f"{count} varints", wanted=len(data) + 1, available=len(data), offset=0)
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    longest = int(lengths.max())
    if longest > MAX_VARINT_BYTES:
        at = int(first[int(lengths.argmax())])
        raise CorruptError(f"varint longer than {MAX_VARINT_BYTES} bytes", offset=at)
    # Step i adds byte i of every varint that has one; few have many.
    values = np.zeros(count, np.uint64)
    for i in range(longest):
        longer = np.flatnonzero(lengths > i)
        groups = window[first[longer] + i]
        # The tenth byte holds the 64th bit alone.
        if i == MAX_VARINT_BYTES - 1 and (groups > 1).any():
            at = int(first[longer[int((groups > 1).argmax())]])
            raise CorruptError("varint exceeds 64 bits", offset=at)
        values[longer] |= (groups & 0x7F).astype(np.uint64) << np.uint64(7 * i)
    return values, int(last[-1]) + 1 if count else 0


def decode_varints_at(
    window: np.ndarray, at: np.ndarray, longest: int = MAX_VARINT_BYTES - 1
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the varints that begin at many positions of bytes (int64), and the positions after them.

    None if one is longer than ``longest`` bytes; 9 bytes hold 63 bits, all that an int64 can take. ``window``
    (uint8) must have ``longest`` bytes from each position on: the caller pads it, and compares the positions
    that are returned with the true end.
    """
    # As in decode_varints, byte by byte over those that go on; here each has its own position.
    values = window[at].astype(np.int64)
    ends = at + 1
    more = np.flatnonzero(values >= 0x80)
    if not more.size:
        return values, ends
    values[more] &= 0x7F
    for i in range(1, longest):
        groups = window[ends[more]].astype(np.int64)
        ends[more] += 1
        values[more] |= (groups & 0x7F) << 7 * i
        more = more[groups >= 0x80]
        if not more.size:
            return values, ends
    return None


def to_signed(value: int) -> int:
    """Return the int64 whose two's complement a varint holds; an int32 is stored sign-extended."""
    return value - (1 << 64) if value >> 63 else value
