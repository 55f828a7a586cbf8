"""How many bytes a compressed chunk stands for, found without taking the memory for them.

Compressors believe what a chunk says about itself, and a kilobyte of it can stand for gigabytes.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from ckptfmt.errors import CorruptError

_STEP = 1 << 20
"""Bytes that are decompressed at a time, and forgotten."""


def decompressed_size(codec: str, data: bytes, limit: int) -> int:
    """Return a bound of the bytes that a chunk has after a codec, above ``limit`` only if there may be more.

    A frame of zstd may not say its size. It then counts as if all its blocks were full, 128 KiB.

    Raises CorruptError if the chunk says nothing sensible, KeyError if the codec is unknown.
    """
    return _SIZES[codec](data, limit)


def _zstd(data: bytes, limit: int) -> int:
    # RFC 8878, section 3.1. Frames follow one another; each says its size, or is measured by its blocks.
    total = pos = 0
    while pos < len(data) and total <= limit:
        magic = int.from_bytes(data[pos : pos + 4], "little")
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # a skippable frame
            pos += 8 + int.from_bytes(data[pos + 4 : pos + 8], "little")
            continue
        if magic != 0xFD2FB528 or pos + 5 > len(data):
            raise CorruptError("zstd: not a frame")
        descriptor = data[pos + 4]
        is_single = descriptor >> 5 & 1
        pos += 5 + (1 - is_single) + (0, 1, 2, 4)[descriptor & 3]
        width = (is_single, 2, 4, 8)[descriptor >> 6]
        known = int.from_bytes(data[pos : pos + width], "little") + (256 if width == 2 else 0)
        pos += width
        measured, is_last = 0, False
        while not is_last and pos + 3 <= len(data):
            header = int.from_bytes(data[pos : pos + 3], "little")
            is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
            # A raw block has its size, a repeated byte the size that it stands for; others at most 128 KiB.
            measured += size if kind < 2 else 128 << 10
            pos += 3 + (1 if kind == 1 else size)
        total += known if width else measured
        pos += 4 * (descriptor >> 2 & 1)
    return total


def _blosc(data: bytes, limit: int) -> int:
    if len(data) < 16:
        raise CorruptError("blosc: no header")
    return int.from_bytes(data[4:8], "little")


def _lz4(data: bytes, limit: int) -> int:
    if len(data) < 4:
        raise CorruptError("lz4: no header")
    return int.from_bytes(data[:4], "little")


def _streamed(new: Callable[[], Any], data: bytes, limit: int) -> int:
    """Decompress bytes in steps up to the limit; ``new`` makes a decompressor."""
    total = 0
    try:
        while data and total <= limit:
            stream = new()
            chunk = stream.decompress(data, _STEP)
            while total <= limit:
                total += len(chunk)
                if stream.eof or stream.needs_input:
                    break
                chunk = stream.decompress(b"", _STEP)
            data = stream.unused_data if stream.eof else b""
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise CorruptError(f"cannot be decompressed: {error}") from None
    return total


def _deflated(wbits: int) -> Callable[[bytes, int], int]:
    def size(data: bytes, limit: int) -> int:
        # Deflate makes no more than 1032 bytes of one, so most chunks need not be looked at.
        if len(data) * 1032 <= limit:
            return len(data) * 1032
        total = 0
        try:
            while data and total <= limit:
                stream = zlib.decompressobj(wbits)
                while data and not stream.eof and total <= limit:
                    total += len(stream.decompress(data, _STEP))
                    data = stream.unconsumed_tail
                data = stream.unused_data
        except zlib.error as error:
            raise CorruptError(f"cannot be decompressed: {error}") from None
        return total

    return size


_SIZES: dict[str, Callable[[bytes, int], int]] = {
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
    "gzip": _deflated(31),
    "zlib": _deflated(15),
    "bz2": lambda data, limit: _streamed(bz2.BZ2Decompressor, data, limit),
    "lzma": lambda data, limit: _streamed(lzma.LZMADecompressor, data, limit),
}

COMPRESSORS = frozenset(_SIZES)
"""The codecs whose sizes are known."""
