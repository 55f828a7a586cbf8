"""Files read by offset.

Readers ask for bytes with ``read(offset, size)``, which returns a view, or have them put into memory of their
own with ``read_into(offset, out)``. There is no shared cursor, so any thread may read at any time.
"""

from __future__ import annotations

import mmap
from typing import Protocol

from ckptfmt.errors import TruncatedError
from ckptfmt.wire.crc32c import crc32c

COPIED_AT_ONCE = 2 << 20
"""Bytes copied before their checksum is computed, while they are still in the cache.

Not fewer: from about 1 MiB on, C libraries copy without first reading the destination.
"""

STREAMED_AT_ONCE = 1 << 20
"""Bytes in memory at a time when only the checksum of a stretch is wanted."""


class RandomAccessFile(Protocol):
    """A file of a fixed size, read by offset."""

    @property
    def name(self) -> str:
        """Path of the file, as errors name it."""

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""

    @property
    def has_views(self) -> bool:
        """Whether ``read`` returns views of memory that exists anyway, at no cost in time or memory."""

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``; TruncatedError if the file does not hold them."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out``, writable bytes, from ``offset`` on; TruncatedError if the file has fewer.

        After an error ``out`` may be filled in part.
        """

    def prefetch(self, offset: int, size: int) -> None:
        """Tell the system that these bytes will be needed soon; does not wait for them, and never fails.

        Not free if they are in memory already: 3 µs for 128 KiB on Linux, which also reads them into small
        pages that are slower to map and copy. Worth it for reads that the system would not guess.
        """

    def release(self, offset: int, size: int) -> None:
        """Tell the system that these bytes will not be needed soon; what was returned stays valid."""

    def close(self) -> None:
        """Close the file; views already returned stay valid."""


def read_with_crc(file: RandomAccessFile, offset: int, out: memoryview) -> int:
    """Fill ``out``, writable bytes, from ``offset`` on, and return the CRC-32C of its new content.

    Memory is passed over once: the checksum of each part is computed while it is in the cache, from ``out``
    and not from the file, which might change in between. Raises the same errors as
    :meth:`RandomAccessFile.read_into`.
    """
    crc = 0
    for start in range(0, out.nbytes, COPIED_AT_ONCE):
        part = out[start : start + COPIED_AT_ONCE]
        file.read_into(offset + start, part)
        crc = crc32c(part, crc)
    return crc


def stream_crc(file: RandomAccessFile, offset: int, size: int, crc: int = 0) -> int:
    """Return the CRC-32C of bytes of a file that need not stay in memory, going on from ``crc``.

    Raises the same errors as :meth:`RandomAccessFile.read`.
    """
    stop = offset + size
    while offset < stop:
        # Up to a multiple of the step, and so of the page size: whole pages can be released.
        border = min(offset - offset % STREAMED_AT_ONCE + STREAMED_AT_ONCE, stop)
        crc = crc32c(file.read(offset, border - offset), crc)
        file.release(offset, border - offset)
        offset = border
    return crc


def check_bounds(file: RandomAccessFile, offset: int, size: int) -> None:
    """Raise TruncatedError unless a file holds ``size`` bytes at ``offset``."""
    if offset < 0 or size < 0 or offset + size > file.size:
        available = max(0, file.size - offset) if offset >= 0 else 0
        raise TruncatedError(
            "file too short", wanted=size, available=available, file=file.name, offset=offset
        )


def is_mapping(base: object) -> bool:
    """Return whether an object is the mapping under views of a mapped file."""
    return isinstance(base, mmap.mmap)
