"""The bytes that frames are read from: a file as it is, or what it decompresses to.

Only its first bytes can tell that a file is compressed, and a frame, whole or damaged, may begin with the
same bytes. So a file counts as compressed if it does not begin with a header that matches its checksum, and
its first bytes decompress. Offsets are then those of the decompressed bytes.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

from ckptfmt.errors import CorruptError, PathNotFoundError
from ckptfmt.record.frame import HEADER_SIZE, decode_header
from ckptfmt.record.inflate import (
    COMPRESSED_AT_ONCE,
    MAX_RATIO,
    WBITS,
    Compression,
    InflatedStream,
    no_memory,
)
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c

CHECKED_AT_ONCE = 1 << 20
"""Bytes held in memory while a checksum is computed."""

_HEAD_SIZE = 64
"""First bytes by which a file is recognised; in an event file they include the time it was created."""


class Source:
    """A file that frames are read from, forwards.

    After :meth:`close`, :meth:`refresh` makes the file readable again, and reading goes on where it was.

    Parameters
    ----------
    path
        The file.
    fs
        The file system that the file is in.
    changing
        Whether the file may be cut short while it is read.

    Raises PathNotFoundError if the file does not exist, NotReadableError if the system refuses to open it.
    """

    def __init__(self, path: str, fs: Filesystem, *, changing: bool = False) -> None:
        self._fs = fs
        self._changing = changing
        self._status = fs.status(path)
        self._file = fs.open(path, changing=changing)
        # Neither open nor closed: refreshed after a close without anything new to read. Opened when needed.
        self._is_open = True
        self._is_closed = False
        self.name = self._file.name
        """The file."""
        self.restarts = 0
        """How often the file was replaced by another one, which is read from its beginning."""
        self.is_missing = False
        """Whether the file was missing at the last :meth:`refresh`."""
        self._begin()

    def _begin(self) -> None:
        self._head = bytes(self._file.read(0, min(self._file.size, _HEAD_SIZE)))
        self.compression, self._is_sure = _recognise(self._file)
        """How the file is compressed, None if it is not."""
        self._inflated = None if self.compression is None else InflatedStream(self.compression)
        self._read_up_to = self._released_up_to = 0

    @property
    def size(self) -> int | None:
        """Number of bytes; None for a compressed file, which does not say."""
        return self._file.size if self._inflated is None else None

    @property
    def end(self) -> int:
        """Where the bytes end; for a compressed file, those decompressed so far."""
        return self._file.size if self._inflated is None else self._inflated.end

    @property
    def at_most(self) -> int:
        """Upper bound of :attr:`end`, however much is decompressed."""
        return self._file.size * (1 if self._inflated is None else MAX_RATIO)

    @property
    def extent(self) -> tuple[int, int]:
        """A value that changes whenever there is something new to read."""
        return self.restarts, self._file.size

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file read so far, and bytes of the file."""
        at = self._read_up_to if self._inflated is None else self._inflated.input_at
        return at, self._file.size

    @property
    def error(self) -> CorruptError | None:
        """Why the file does not decompress any further, as an error without a place; None if it does."""
        fault = None if self._inflated is None else self._inflated.fault
        return None if fault is None else CorruptError(fault)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to decompress; true if the file is not compressed."""
        return self._inflated is None or self._inflated.is_exhausted(self._file.size)

    @property
    def is_cut(self) -> bool:
        """Whether all of the file was read, and it ends before its compressed data do."""
        inflated = self._inflated
        return inflated is not None and inflated.is_exhausted(self._file.size) and inflated.is_cut

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on, or as many as there are.

        Reading forwards is cheap; reading back from a compressed file decompresses it from its start again.
        If the file does not decompress any further, :attr:`error` says so. Raises LimitError if memory runs
        out.
        """
        try:
            return bytes(self._bytes(offset, size))
        except MemoryError as error:
            raise no_memory(self.name, size) from error

    def view(self, offset: int, size: int) -> Buffer:
        """Return the same as :meth:`read`, without a copy of bytes that are mapped or in memory already."""
        self._read_up_to = max(self._read_up_to, min(offset + size, self.end))
        return self._bytes(offset, size, release=False)

    def stored(self, size: int) -> bytes:
        """Return the first bytes of the file as they are stored, also if it is compressed."""
        self._reopen()
        return bytes(self._file.read(0, min(size, self._file.size)))

    def crc(self, offset: int, size: int) -> int:
        """Return the CRC-32C of ``size`` bytes from ``offset`` on, which must exist."""
        if self._inflated is not None:
            return crc32c(self.view(offset, size))
        crc = 0
        for at in range(offset, offset + size, CHECKED_AT_ONCE):
            crc = crc32c(self.view(at, min(CHECKED_AT_ONCE, offset + size - at)), crc)
        return crc

    def _bytes(self, offset: int, size: int, *, release: bool = True) -> memoryview:
        if self._inflated is not None:
            if self._inflated.end < offset + size and not self.is_exhausted:
                self._reopen()
            return self._inflated.view(self._file, offset, size)
        size = max(0, min(size, self._file.size - offset))
        if not size:
            return memoryview(b"")
        self._reopen()
        data = self._file.read(offset, size)
        if release:
            # The bytes before this read were copied, and are not read again: their pages can go.
            self._file.release(self._released_up_to, offset - self._released_up_to)
            self._released_up_to = max(offset, self._released_up_to)
            self._read_up_to = max(self._read_up_to, offset + size)
        return data

    def _reopen(self) -> None:
        """Open the file if :meth:`refresh` left it closed."""
        if self._is_closed:
            raise ValueError(f"{self.name}: the file is closed")
        if not self._is_open:
            self._file = self._fs.open(self.name, changing=self._changing)
            self._is_open = True

    def refresh(self) -> None:
        """Look whether the file has grown, and make it readable again if it was closed.

        A file that has been replaced, or is smaller than before, is read from its beginning: see
        :attr:`restarts`. If it is missing, :attr:`is_missing` is set. Other errors are those of opening it.
        """
        status = self._fs.status(self.name)
        # The time of the last change is left out: only identity and size tell whether there is more to read.
        if status is not None and status[:2] == (self._status or ())[:2] and status.size == self._file.size:
            # Nothing is new. A closed file stays closed until it is read, so that a program can watch more
            # files than it may have open.
            self._is_closed = self.is_missing = False
            return
        try:
            file = self._fs.open(self.name, changing=self._changing)
        except PathNotFoundError:
            self.is_missing = True
            return
        # The same identity does not settle it: file systems give the inode of a deleted file to a new one. So
        # the size and the first bytes are compared too.
        is_same = status is None or self._status is None or status.identity == self._status.identity
        if is_same and file.size >= self._file.size:
            is_same = bytes(file.read(0, len(self._head))) == self._head
        else:
            is_same = False
        self._file.close()
        self._file, self._status = file, status
        self._is_open, self._is_closed, self.is_missing = True, False, False
        if not is_same:
            self.restarts += 1
            self._begin()
        elif not self._is_sure:
            # The file was too short to tell whether it is compressed, so nothing has been read yet.
            self._begin()
        elif len(self._head) < _HEAD_SIZE:
            self._head = bytes(file.read(0, min(file.size, _HEAD_SIZE)))

    @property
    def has_ended(self) -> bool:
        """Whether the file is missing and was closed, so that nothing more can be read."""
        return self.is_missing and self._is_closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._is_open, self._is_closed = False, True


def compression_of(file: RandomAccessFile) -> Compression | None:
    """Return how a file of records is compressed, by its first bytes; None if it is not."""
    return _recognise(file)[0]


def begins_with_record(file: RandomAccessFile) -> bool:
    """Return whether a file, or what it decompresses to, begins with the header of a record."""
    compression = compression_of(file)
    head = bytes(file.read(0, min(file.size, HEADER_SIZE if compression is None else COMPRESSED_AT_ONCE)))
    if compression is not None:
        with suppress(zlib.error):
            head = zlib.decompressobj(WBITS[compression]).decompress(head, HEADER_SIZE)
    return len(head) == HEADER_SIZE and decode_header(head) is not None


def _recognise(file: RandomAccessFile) -> tuple[Compression | None, bool]:
    """Return how a file is compressed, and whether it is long enough to be sure."""
    head = bytes(file.read(0, min(file.size, HEADER_SIZE)))
    is_whole = len(head) == HEADER_SIZE
    if is_whole and decode_header(head) is not None:
        return None, True
    compression: Compression
    if head.startswith(b"\x1f\x8b"):
        compression = "GZIP"
    # Method 8 (deflate) with a window of up to 32 KiB, and a check of these two bytes (RFC 1950).
    elif len(head) >= 2 and head[0] & 0x8F == 0x08 and int.from_bytes(head[:2], "big") % 31 == 0:
        compression = "ZLIB"
    else:
        return None, is_whole
    inflater = zlib.decompressobj(WBITS[compression])
    data = bytes(file.read(0, min(file.size, COMPRESSED_AT_ONCE)))
    try:
        start = inflater.decompress(data, HEADER_SIZE)
        if len(start) == HEADER_SIZE and decode_header(start) is not None:
            return compression, True
        # Not records, or the first one is damaged. Bytes that only look compressed soon fail to decompress.
        inflater.decompress(inflater.unconsumed_tail, COMPRESSED_AT_ONCE)
    except zlib.error:
        # Either damaged or not compressed. Three bytes that match gzip's are no accident; zlib's two may be.
        return (compression if head.startswith(b"\x1f\x8b\x08") else None), is_whole
    return compression, len(start) == HEADER_SIZE
