"""Frames: how records lie one behind the other, and where they go on behind a damaged one.

::

    frame:  length uint64 | masked CRC-32C of these 8 bytes uint32 | data | masked CRC-32C of the data uint32

The length is believed only where its checksum holds. Source: TensorFlow ``lib/io/record_writer.cc``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, mask
from ckptfmt.wire.crc_rows import crc_of_words, mask_all

HEADER_SIZE = 12
FOOTER_SIZE = 4
OVERHEAD = HEADER_SIZE + FOOTER_SIZE
"""Bytes of a frame without its data."""

MAX_KNOWN = 4096
"""Headers that are kept: writers of small records use few lengths."""

PROBE = 64
"""Frames walked over before it is asked whether their lengths repeat."""

MAX_PROBE = 4096
"""The same, where they have often been found not to."""

MAX_PERIOD = 24
"""Frames that may repeat together: a program writes the same summaries in every step."""

MIN_REPEATS = 8
"""Repetitions that make it worth to compare all headers at once."""

_HEADER = struct.Struct("<QI")
_WORD = np.dtype("<u8")
_CRC = np.dtype("<u4")


class Frames(NamedTuple):
    """The whole frames at the beginning of some bytes."""

    borders: np.ndarray
    """Where each begins and, last, where the last one ends (int64)."""

    @property
    def begins(self) -> np.ndarray:
        """Where the data of each begin."""
        return self.borders[:-1] + HEADER_SIZE

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of the data of each."""
        return np.diff(self.borders) - OVERHEAD

    @property
    def end(self) -> int:
        """Behind the last whole frame."""
        return int(self.borders[-1])


def encode_frame(data: Buffer) -> tuple[bytes, bytes]:
    """Return what stands before and behind the data of a record."""
    length = len(data).to_bytes(8, "little")
    return length + mask(crc32c(length)).to_bytes(4, "little"), mask(crc32c(data)).to_bytes(4, "little")


def decode_header(header: Buffer) -> int | None:
    """Return the length in the 12 bytes before the data, None where its checksum does not hold."""
    length, stored = _HEADER.unpack(header)
    return length if mask(crc32c(header[:8])) == stored else None


def find_frames(data: Buffer, known: dict[bytes, int]) -> Frames:
    """Return the frames that lie whole in ``data``, up to the first header that does not hold.

    Only headers are checked. ``known`` keeps the length of headers seen before.
    """
    pos, patience = 0, PROBE
    parts: list[np.ndarray] = []
    while True:
        walked, pos = _walk(data, pos, patience, known)
        parts.append(np.array(walked, np.int64))
        if len(walked) < patience:
            break
        repeated = _repeat(data, walked, pos)
        if repeated is None:
            patience = min(2 * patience, MAX_PROBE)
        else:
            borders, pos = repeated
            parts.append(borders)
            patience = PROBE
    parts.append(np.array([pos], np.int64))
    return Frames(np.concatenate(parts))


def _walk(data: Buffer, pos: int, count: int, known: dict[bytes, int]) -> tuple[list[int], int]:
    """Where up to ``count`` frames begin, and where the last one of them ends."""
    begins: list[int] = []
    last = len(data) - OVERHEAD
    while pos <= last and len(begins) < count:
        header = data[pos : pos + HEADER_SIZE]
        if not isinstance(header, bytes):
            header = bytes(header)  # what it is a view of may have no hash
        size = known.get(header)
        if size is None:
            size = decode_header(header)
            if size is None:
                break
            if len(known) >= MAX_KNOWN:
                known.clear()
            known[header] = size
        if size > last - pos:
            break
        begins.append(pos)
        pos += size + OVERHEAD
    return begins, pos


def _repeat(data: Buffer, walked: list[int], pos: int) -> tuple[np.ndarray, int] | None:
    """The frames from ``pos`` on whose headers repeat those of the last ones, and where they end."""
    lengths = np.diff([*walked[-2 * MAX_PERIOD :], pos]).tolist()
    for period in range(1, MAX_PERIOD + 1):
        if lengths[-period:] == lengths[-2 * period : -period]:
            break
    else:
        return None
    pattern = np.cumsum([0, *lengths[-period:]])
    stride = int(pattern[-1])
    repeats = (len(data) - pos) // stride
    if repeats < MIN_REPEATS:
        return None
    for offset in pattern[:-1].tolist():
        header = pos + offset - stride  # of the same frame a period before, which holds
        for dtype, at in ((_WORD, 0), (_CRC, 8)):
            column = np.ndarray((repeats,), dtype, data, pos + offset + at, (stride,))
            same = column == np.frombuffer(data, dtype, 1, header + at)[0]
            if not same.all():
                repeats = int(same.argmin())
        if repeats < MIN_REPEATS:
            return None
    borders = pos + stride * np.arange(repeats)[:, None] + pattern[:-1]
    return borders.reshape(-1), pos + stride * repeats


def find_header(data: bytes, start: int, longest: int) -> int | None:
    """Return the first offset from ``start`` on where a length stands whose checksum holds, or None.

    A length over ``longest`` is none.
    """
    found = find_headers(data, start, longest)
    return int(found[0]) if found.size else None


def find_headers(data: bytes, start: int, longest: int) -> np.ndarray:
    """Return all offsets from ``start`` on where a length stands whose checksum holds (int64).

    A length over ``longest`` is none.
    """
    count = len(data) - HEADER_SIZE + 1 - start
    if count <= 0:
        return np.empty(0, np.int64)
    words = np.ndarray((count,), _WORD, data, start, (1,))
    stored = np.ndarray((count,), _CRC, data, start + 8, (1,))
    # Zeros, of which there may be many, are no header: the checksum of the length 0 is another one.
    likely = np.flatnonzero((words <= np.uint64(longest)) & ((words | stored) != 0))
    if not likely.size:
        return likely
    found: np.ndarray = likely[mask_all(crc_of_words(words[likely])) == stored[likely]]
    return found + start
