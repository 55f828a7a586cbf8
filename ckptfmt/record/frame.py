"""Frames: what a file of records is made of, and where frames begin in given bytes.

::

    frame:  length uint64 | masked CRC-32C of these 8 bytes uint32 | data | masked CRC-32C of the data uint32

Frames follow one another without padding, and nothing marks where one begins: a frame is found by walking
from the one before, or, after damage, by trying every offset. The length is believed only if its checksum
matches; bytes that are no header pass for one once in 2^32. Source: TensorFlow ``lib/io/record_writer.cc``.
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
"""Headers that are kept: writers of small records use few lengths."""

PROBE = 64
"""Frames walked before their lengths are checked for a period."""

MAX_PROBE = 4096
"""The same, after many checks have found none."""

MAX_PERIOD = 24
"""Frames that may repeat together: a program writes the same summaries in every step."""

MIN_REPEATS = 8
"""Repetitions from which on comparing all headers at once is faster than walking."""

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


def find_frames(data: Buffer, known: dict[bytes, int]) -> np.ndarray:
    """Return the borders of the whole frames at the beginning of ``data`` (int64).

    A border is where a frame begins; the last one is where the last frame ends, so that there is one border
    more than there are frames. Frames end before the first header that does not match its checksum, or whose
    record is not all in ``data``. The data of records are not looked at.

    ``known`` keeps the length of headers seen before, by their bytes, between calls.
    """
    # A header costs 0.3 µs in Python, as much as the checksum of a kilobyte. Programs write records of few
    # sizes in an order that repeats, so frames are walked only until the sizes of the last ones repeat with
    # some period; then NumPy compares all headers that would follow with those one period before. A file
    # whose sizes never repeat pays for the checks, which get rarer by half each time.
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
            header = bytes(header)  # a view of memory that can change has no hash
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
    """Return where the frames from ``pos`` on begin whose headers repeat the last ones, and where they end.

    None if the sizes of the last frames have no period, or too few frames repeat them.
    """
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
    # One column of the period after another: as long as the headers of a column equal the one before them,
    # which is known to hold, they need no checksum of their own. The first that differs ends the repetition.
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
    """Return the first of :func:`find_headers`, None if there is none."""
    headers = find_headers(data, start, longest)
    return int(headers[0]) if headers.size else None


def find_headers(data: bytes, start: int, longest: int) -> np.ndarray:
    """Return every offset from ``start`` on at which a header matches its checksum (int64).

    Headers of records longer than ``longest`` are left out.
    """
    count = len(data) - HEADER_SIZE + 1 - start
    if count <= 0:
        return np.empty(0, np.int64)
    # Both columns overlap themselves: one word, and one checksum, for each offset. Almost all words are too
    # large for a length, which leaves few checksums to compute.
    words = np.ndarray((count,), _WORD, data, start, (1,))
    stored = np.ndarray((count,), _CRC, data, start + 8, (1,))
    # Zeros, of which a file may have many, are not a header: the length 0 has another checksum.
    likely = np.flatnonzero((words <= np.uint64(longest)) & ((words | stored) != 0))
    if not likely.size:
        return likely
    headers: np.ndarray = likely[mask_all(crc_of_words(words[likely])) == stored[likely]]
    return headers + start
