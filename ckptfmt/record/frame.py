"""Frames: the bytes around each record, and finding frames in a buffer.

::

    frame:  length uint64 | masked CRC-32C of these 8 bytes uint32 | data | masked CRC-32C of the data uint32

Frames follow one another without padding, and nothing marks where one begins: a frame is found by walking
from the one before or, after damage, by trying every offset. A length is believed only if its checksum
matches, which random bytes do once in 2^32. Source: TensorFlow ``lib/io/record_writer.cc``.
"""

from __future__ import annotations

import struct

import numpy as np

from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, mask
from ckptfmt.wire.crc_rows import crc_of_words, mask_all

HEADER_SIZE = 12
FOOTER_SIZE = 4
OVERHEAD = HEADER_SIZE + FOOTER_SIZE
"""Bytes of a frame without its data."""

MAX_KNOWN = 4096
"""Headers whose length is cached: writers of small records use few lengths."""

PROBE = 64
"""Frames to walk before looking for a period in their lengths; at least two of the longest period."""

MAX_PROBE = 4096
"""The same, once many looks have found none."""

MAX_PERIOD = 24
"""Longest period looked for: a program writes the same few summaries in every step."""

MIN_REPEATS = 8
"""Repetitions that make comparing all headers at once worth it."""

NEAR = 4
"""Offsets at which a header is looked for one by one, before all others are searched at once."""

FEW = 8
"""Headers whose checksums are computed one by one, because arrays cost more."""

_HEADER = struct.Struct("<QI")
_WORD = np.dtype("<u8")
_CRC = np.dtype("<u4")


def encode_frame(data: Buffer) -> tuple[bytes, bytes]:
    """Return the header and the footer that enclose the data of a record."""
    length = len(data).to_bytes(8, "little")
    return length + mask(crc32c(length)).to_bytes(4, "little"), mask(crc32c(data)).to_bytes(4, "little")


def decode_header(header: Buffer) -> int | None:
    """Return the length in a 12-byte header, None if its checksum does not match."""
    length, stored = _HEADER.unpack(header)
    return length if mask(crc32c(header[:8])) == stored else None


def may_become_header(header: bytes) -> bool:
    """Whether the beginning of a header may be that of a record, which a program is about to write.

    Four letters of a text are more than half a gigabyte, longer than any record that is written in one piece.
    """
    return int.from_bytes(header[:8], "little") < 1 << 29


def find_frames(data: Buffer, known: dict[bytes, int]) -> np.ndarray:
    """Return the borders of the whole frames at the start of ``data`` (int64).

    Frame ``i`` is between borders ``i`` and ``i + 1``; without any frame the result is ``[0]``. The walk
    ends at the first header whose checksum does not match or whose record does not fit in ``data``. Only
    headers are checked, not the data of records.

    ``known`` caches lengths by the bytes of their header, between calls.
    """
    # A header costs 0.3 µs in Python, as much as the checksum of a kilobyte. But programs write records of
    # few sizes in an order that repeats. So frames are walked only until the last lengths show a period;
    # NumPy then compares all the headers that should follow with those one period earlier. A file without a
    # period pays for looking, half as often after each look.
    pos, probe = 0, PROBE
    parts: list[np.ndarray] = []
    while True:
        walked, pos = _walk(data, pos, probe, known)
        parts.append(np.array(walked, np.int64))
        if len(walked) < probe:
            break
        repeated = _repeat(data, walked, pos)
        if repeated is None:
            probe = min(2 * probe, MAX_PROBE)
        else:
            borders, pos = repeated
            parts.append(borders)
            probe = PROBE
    parts.append(np.array([pos], np.int64))
    return np.concatenate(parts)


def _walk(data: Buffer, pos: int, count: int, known: dict[bytes, int]) -> tuple[list[int], int]:
    """Return where up to ``count`` frames begin, and where the last of them ends."""
    begins: list[int] = []
    last = len(data) - OVERHEAD
    while pos <= last and len(begins) < count:
        header = data[pos : pos + HEADER_SIZE]
        if not isinstance(header, bytes):
            header = bytes(header)  # a memoryview of mutable memory cannot be hashed
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
    """Return where frames from ``pos`` on begin whose headers repeat the last ones, and where they end.

    None if the last lengths have no period, or too few frames repeat it.
    """
    # A false period costs time and nothing else: only headers that are equal byte by byte are taken.
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
    # Every stride-th header, for each place in the period: headers equal to one that is known to match need
    # no checksum of their own, and the first that differs ends the repetition.
    for offset in pattern[:-1].tolist():
        header = pos + offset - stride
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
    """Return the first of :func:`find_headers`, or None."""
    # If a few bytes were inserted, the next header is so near that arrays would cost more than they save.
    for place in range(start, min(start + NEAR, len(data) - HEADER_SIZE + 1)):
        length = decode_header(data[place : place + HEADER_SIZE])
        if length is not None and length <= longest:
            return place
    headers = find_headers(data, start, longest)
    return int(headers[0]) if headers.size else None


def find_headers(data: bytes, start: int, longest: int) -> np.ndarray:
    """Return every offset from ``start`` on with a header that matches its checksum (int64).

    Headers of records longer than ``longest`` do not count.
    """
    count = len(data) - HEADER_SIZE + 1 - start
    if count <= 0:
        return np.empty(0, np.int64)
    # Overlapping views, with a stride of one byte: the length and the checksum at every offset. Most are too
    # large to be a length, so few checksums are left to compute.
    words = np.ndarray((count,), _WORD, data, start, (1,))
    stored = np.ndarray((count,), _CRC, data, start + 8, (1,))
    # A run of zeros, which is common, is not a header: the checksum of length 0 is not 0.
    likely = np.flatnonzero((words <= np.uint64(longest)) & ((words | stored) != 0))
    if not likely.size:
        return likely
    if likely.size <= FEW:
        places = (start + likely).tolist()
        return np.array(
            [at for at in places if decode_header(data[at : at + HEADER_SIZE]) is not None], np.int64
        )
    headers: np.ndarray = likely[mask_all(crc_of_words(words[likely])) == stored[likely]]
    return headers + start
