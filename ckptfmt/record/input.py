"""Input: the bytes that frames are read from, out of a file as it is or compressed as a whole.

Nothing but its first bytes says that a file is compressed, and these may also be those of a frame, or of a
damaged one. So a file is taken as compressed if it does not begin with a length whose checksum matches, and
what is at its beginning decompresses. Offsets are then those of the decompressed bytes.
"""

from __future__ import annotations

import zlib

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
"""Bytes in memory of a stretch of which only the checksum is wanted."""

_HEAD_SIZE = 64
"""Bytes at the beginning by which a file is recognised: those of an event file tell when it was begun."""


class Source:
    """A file that frames are read from, forwards.

    A file that has been closed is opened again after :meth:`refresh`, and reading goes on where it was.

    Parameters
    ----------
    path
        The file.
    fs
        The file system that it lies in.
    changing
        Whether its writer may cut it short while it is read.

    Raises PathNotFoundError if there is no such file, NotReadableError if the system refuses it.
    """

    def __init__(self, path: str, fs: Filesystem, *, changing: bool = False) -> None:
        self._fs = fs
        self._changing = changing
        self._status = fs.status(path)
        self._file = fs.open(path, changing=changing)
        # A file is open, closed, or neither: refreshed since it was closed, and opened when it is read.
        self._is_open = True
        self._is_closed = False
        self.name = self._file.name
        """The file."""
        self.restarts = 0
        """How often another file was found under the name, and has been read from its beginning since."""
        self.is_gone = False
        """Whether the file was missing at the last look."""
        self._begin()

    def _begin(self) -> None:
        self._head = bytes(self._file.read(0, min(self._file.size, _HEAD_SIZE)))
        self.compression, self._is_sure = _recognise(self._file)
        """How the file is compressed as a whole, None if it is not."""
        self._inflated = None if self.compression is None else InflatedStream(self.compression)
        self._read_up_to = self._released_up_to = 0

    @property
    def size(self) -> int | None:
        """Bytes in all; None if the file is compressed, which does not say."""
        return self._file.size if self._inflated is None else None

    @property
    def end(self) -> int:
        """Where the bytes end; in a compressed file, those that have been decompressed so far."""
        return self._file.size if self._inflated is None else self._inflated.end

    @property
    def at_most(self) -> int:
        """The number of bytes that there can be in all."""
        return self._file.size * (1 if self._inflated is None else MAX_RATIO)

    @property
    def extent(self) -> tuple[int, int]:
        """A value that changes when there is something new to read."""
        return self.restarts, self._file.size

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file that have been read, and all of them."""
        at = self._read_up_to if self._inflated is None else self._inflated.input_at
        return at, self._file.size

    @property
    def error(self) -> CorruptError | None:
        """Why there are no more bytes, without a place, if the file does not decompress further."""
        fault = None if self._inflated is None else self._inflated.fault
        return None if fault is None else CorruptError(fault)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to decompress; always so if the file is not compressed."""
        return self._inflated is None or self._inflated.is_exhausted(self._file.size)

    @property
    def is_cut(self) -> bool:
        """Whether the file was read to its end, and ends before its compressed data do."""
        inflated = self._inflated
        return inflated is not None and inflated.is_exhausted(self._file.size) and inflated.is_cut

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on, which may not lie before that of the last call.

        Fewer if there are no more, or the file does not decompress, which :attr:`error` tells apart. Raises
        LimitError if memory lacks.
        """
        try:
            return bytes(self._bytes(offset, size))
        except MemoryError as error:
            raise no_memory(self.name, size) from error

    def view(self, offset: int, size: int) -> Buffer:
        """Return the same as :meth:`read`, not copied if it is in memory already."""
        self._read_up_to = max(self._read_up_to, min(offset + size, self.end))
        return self._bytes(offset, size, release=False)

    def crc(self, offset: int, size: int) -> int:
        """Return the CRC-32C of bytes that are known to exist; see :meth:`read`."""
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
            # What was read before was copied, and will not be read again.
            self._file.release(self._released_up_to, offset - self._released_up_to)
            self._released_up_to = max(offset, self._released_up_to)
            self._read_up_to = max(self._read_up_to, offset + size)
        return data

    def _reopen(self) -> None:
        """Open the file if that has been put off."""
        if self._is_closed:
            raise ValueError(f"{self.name}: the file is closed")
        if not self._is_open:
            self._file = self._fs.open(self.name, changing=self._changing)
            self._is_open = True

    def refresh(self) -> None:
        """Look whether the file has grown, and let reading go on if it has been closed.

        A file that is smaller by now, or has been replaced, is read from its beginning: see :attr:`restarts`.
        One that is missing has ended: see :attr:`is_gone`. Other errors are those of opening it.
        """
        status = self._fs.status(self.name)
        # Not the time of the last change: only size and first bytes tell what there is to read.
        if status is not None and status[:2] == (self._status or ())[:2] and status.size == self._file.size:
            # Nothing is new. A closed file is opened only if something is still to be read, so that a program
            # may watch more files than it may have open.
            self._is_closed = self.is_gone = False
            return
        try:
            file = self._fs.open(self.name, changing=self._changing)
        except PathNotFoundError:
            self.is_gone = True
            return
        is_same = status is None or self._status is None or status.identity == self._status.identity
        if is_same and file.size >= self._file.size:
            is_same = bytes(file.read(0, len(self._head))) == self._head
        else:
            is_same = False
        self._file.close()
        self._file, self._status = file, status
        self._is_open, self._is_closed, self.is_gone = True, False, False
        if not is_same:
            self.restarts += 1
            self._begin()
        elif not self._is_sure:
            # There was too little to tell whether the file is compressed, so that nothing has been read.
            self._begin()
        elif len(self._head) < _HEAD_SIZE:
            self._head = bytes(file.read(0, min(file.size, _HEAD_SIZE)))

    @property
    def has_ended(self) -> bool:
        """Whether there is no file to read any more: it is gone, and has been closed."""
        return self.is_gone and self._is_closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._is_open, self._is_closed = False, True


def compression_of(file: RandomAccessFile) -> Compression | None:
    """Return how a file of records is compressed, told by its beginning; None if it is not."""
    return _recognise(file)[0]


def _recognise(file: RandomAccessFile) -> tuple[Compression | None, bool]:
    """Return how a file is compressed, and whether there is enough of it to be sure."""
    head = bytes(file.read(0, min(file.size, HEADER_SIZE)))
    is_whole = len(head) == HEADER_SIZE
    if is_whole and decode_header(head) is not None:
        return None, True
    compression: Compression
    if head.startswith(b"\x1f\x8b"):
        compression = "GZIP"
    # Method 8 with a window of up to 32 KiB, and a check of these two bytes (RFC 1950).
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
        # Not records, or the first one is damaged. Bytes that only look compressed do not decompress far.
        inflater.decompress(inflater.unconsumed_tail, COMPRESSED_AT_ONCE)
    except zlib.error:
        # A damaged beginning. Three bytes of gzip's magic are no accident; two of zlib's may be a length.
        return (compression if head.startswith(b"\x1f\x8b\x08") else None), is_whole
    return compression, len(start) == HEADER_SIZE
