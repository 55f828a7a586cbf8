"""Where records come from: a file as it is, or one that is compressed as a whole.

A compressed file says nowhere that it is one but in its first bytes, which may also be those of a frame, or
of a damaged one: a file is taken as compressed where it does not begin with a length whose checksum holds,
and what is at its beginning decompresses. Offsets in it are those of what it decompresses to.
"""

from __future__ import annotations

import zlib
from typing import Literal, TypeAlias

from ckptfmt.errors import CorruptError, LimitError, PathNotFoundError
from ckptfmt.record.frame import HEADER_SIZE, decode_header
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c

Compression: TypeAlias = Literal["GZIP", "ZLIB"]

COMPRESSED_AT_ONCE = 1 << 18
"""Bytes of a compressed file read at once."""

CHECKED_AT_ONCE = 1 << 20
"""Bytes in memory of a stretch of which only the checksum is wanted."""

MAX_RATIO = 1032
"""Bytes that one byte of deflated data stands for at most (a match of 258 bytes takes 2 bits)."""

WBITS: dict[Compression, int] = {"GZIP": 31, "ZLIB": 15}
"""What tells zlib which of its formats is meant."""

_HEAD_SIZE = 64
"""Bytes at the beginning by which a file is known again: those of an event file tell when it was begun."""


class Source:
    """A file that frames are read from, forwards.

    A file that has been closed is opened again by :meth:`refresh`, and reading goes on where it was.

    Parameters
    ----------
    path
        The file.
    fs
        Where it lies.
    changing
        Whether it may be cut short while it is read, by whoever writes it.

    Raises PathNotFoundError if there is no such file, NotReadableError if the system refuses it.
    """

    def __init__(self, path: str, fs: Filesystem, *, changing: bool = False) -> None:
        self._fs = fs
        self._changing = changing
        self._status = fs.status(path)
        self._file = fs.open(path, changing=changing)
        self._is_open = True
        self._is_closed = False
        self.name = self._file.name
        """The file."""
        self.restarts = 0
        """How often the file was found to be another one: it has been read from its beginning since."""
        self.is_gone = False
        """Whether the file was not there any more at the last look."""
        self._begin()

    def _begin(self) -> None:
        self._head = bytes(self._file.read(0, min(self._file.size, _HEAD_SIZE)))
        self.compression, self._is_sure = _told_by_content(self._file)
        """How the file is compressed as a whole, None where it is not."""
        self._inflated = None if self.compression is None else _Inflated(self.name, self.compression)
        self._read_up_to = self._released_up_to = 0

    @property
    def size(self) -> int | None:
        """Bytes in all; None of a compressed file, which does not tell."""
        return self._file.size if self._inflated is None else None

    @property
    def end(self) -> int:
        """Where the bytes end; of a compressed file those that have been decompressed so far."""
        return self._file.size if self._inflated is None else self._inflated.end

    @property
    def at_most(self) -> int:
        """Bytes that there can be in all."""
        return self._file.size * (1 if self._inflated is None else MAX_RATIO)

    @property
    def extent(self) -> tuple[int, int]:
        """What changes when there is something new to read."""
        return self.restarts, self._file.size

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file that have been read, and all of them."""
        at = self._read_up_to if self._inflated is None else self._inflated.input_at
        return at, self._file.size

    @property
    def error(self) -> CorruptError | None:
        """Why there are no more bytes, where the file does not decompress."""
        return None if self._inflated is None else self._inflated.error

    @property
    def is_exhausted(self) -> bool:
        """Whether no more can be decompressed than has been; True of a file that is not compressed."""
        return self._inflated is None or self._inflated.is_exhausted(self._file.size)

    @property
    def is_cut(self) -> bool:
        """Whether the file was read to its end, and ends before its compressed data do."""
        inflated = self._inflated
        return inflated is not None and inflated.is_exhausted(self._file.size) and inflated.is_cut

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on, which may not lie before that of the last call.

        Fewer where there are no more, or the file does not decompress: :attr:`error` says so. LimitError
        where memory lacks.
        """
        try:
            return bytes(self._bytes(offset, size))
        except MemoryError as error:
            raise _no_memory(self.name, size) from error

    def view(self, offset: int, size: int) -> Buffer:
        """Return the same as :meth:`read`, not copied where it is in memory already."""
        self._read_up_to = max(self._read_up_to, min(offset + size, self.end))
        return self._bytes(offset, size, release=False)

    def crc(self, offset: int, size: int) -> int:
        """Return the CRC-32C of bytes that are there; see :meth:`read`."""
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
            self._file.release(self._released_up_to, offset - self._released_up_to)
            self._released_up_to = max(offset, self._released_up_to)
            self._read_up_to = max(self._read_up_to, offset + size)
        return data

    def _reopen(self) -> None:
        """Open the file where that has been put off."""
        if self._is_closed:
            raise ValueError(f"{self.name}: the file is closed")
        if not self._is_open:
            self._file = self._fs.open(self.name, changing=self._changing)
            self._is_open = True

    def refresh(self) -> None:
        """Look whether the file has grown, and go on reading it where it has been closed.

        A file that is smaller now, or has been replaced, is read from its beginning: see :attr:`restarts`.
        One that is not there any more has ended: see :attr:`is_gone`. Errors are those of opening it.
        """
        status = self._fs.status(self.name)
        # The time of the last change does not count: only size and first bytes tell what is to be read.
        if status is not None and status[:2] == (self._status or ())[:2] and status.size == self._file.size:
            # Nothing new: opened again only where something is still to be read.
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
            # Too little was there to tell, so that nothing has been read.
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
    """Return how a file of records is compressed, None where it is not, told by its beginning."""
    return _told_by_content(file)[0]


def _told_by_content(file: RandomAccessFile) -> tuple[Compression | None, bool]:
    """How a file is compressed, and whether there is enough of it to be sure."""
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
        # Not records, or the first one is damaged: bytes that only look like compressed ones do not
        # decompress for long.
        inflater.decompress(inflater.unconsumed_tail, COMPRESSED_AT_ONCE)
    except zlib.error:
        # Of a file that is compressed, as far as can be told from so little, the beginning is damaged.
        return (compression if head.startswith(b"\x1f\x8b\x08") else None), is_whole
    return compression, len(start) == HEADER_SIZE


def _no_memory(name: str, size: int) -> LimitError:
    return LimitError(f"memory for {size} bytes", limit=memory_size(), asked=size, file=name)


class _Inflated:
    """What a compressed file decompresses to: what lies before the last bytes read may be forgotten."""

    def __init__(self, name: str, compression: Compression) -> None:
        self._name = name
        self._compression: Compression = compression
        self._begin()

    def _begin(self) -> None:
        self.error: CorruptError | None = None
        self.input_at = 0
        """Bytes of the file that have been read."""
        self._inflater = zlib.decompressobj(WBITS[self._compression])
        self._pending = b""
        self._base = 0
        self._data = bytearray()  # not changed any more once there are views of it
        self._dry_at = -1

    @property
    def end(self) -> int:
        """Bytes that have been decompressed."""
        return self._base + len(self._data)

    @property
    def is_cut(self) -> bool:
        """Whether the compressed data do not end here."""
        return self.error is None and not self._inflater.eof

    def is_exhausted(self, size: int) -> bool:
        """Whether nothing is left of a file of ``size`` bytes."""
        return self.error is not None or self._dry_at == size

    def view(self, file: RandomAccessFile, offset: int, size: int) -> memoryview:
        """Return up to ``size`` bytes from ``offset`` on."""
        if self.end < offset + size or offset < self._base:
            try:
                if offset < self._base:
                    self._begin()
                self._fill(file, offset, size)
            except BaseException as error:
                # What was being decompressed, also when the user interrupts this, is lost: begin anew.
                self._begin()
                if isinstance(error, MemoryError):
                    raise _no_memory(self._name, size) from error
                raise
        at = offset - self._base
        return memoryview(self._data)[at : at + size].toreadonly()

    def _fill(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Decompress up to a place, into memory of its own; what lies before ``offset`` is forgotten."""
        first = self._more(file)
        if not first:
            self._dry_at = file.size
            return
        kept = min(max(0, offset - self._base), len(self._data))
        data = bytearray(memoryview(self._data)[kept:])
        base = self._base + kept
        self._data, self._base = data, base
        while first:
            data += first
            if base + len(data) >= offset + size:
                break
            if base + len(data) <= offset:
                base = self._base = base + len(data)
                data.clear()
            first = self._more(file)
        else:
            self._dry_at = file.size

    def _more(self, file: RandomAccessFile) -> bytes:
        """Decompress some more; nothing where nothing is left."""
        while self.error is None:
            if not self._pending:
                size = min(COMPRESSED_AT_ONCE, file.size - self.input_at)
                if size > 0:
                    self._pending = bytes(file.read(self.input_at, size))
                    self.input_at += size
                elif self._inflater.eof:
                    return b""
            if self._inflater.eof:
                # gzip files may be put one behind the other.
                self._inflater = zlib.decompressobj(WBITS[self._compression])
            before = self._inflater.copy()
            has_input = bool(self._pending)
            try:
                # Without input, what zlib still has of the last one.
                output = self._inflater.decompress(self._pending, COMPRESSED_AT_ONCE)
            except zlib.error as error:
                self._inflater = before
                output, taken = self._salvage()
                at = self.input_at - len(self._pending) + taken
                self.error = CorruptError(
                    f"{self._compression} data do not decompress at byte {at} of the file: {error}",
                    file=self._name,
                    offset=self.end,
                )
                return output
            self._pending = (
                self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            )
            if output or not has_input:
                return output
        return b""

    def _salvage(self) -> tuple[bytes, int]:
        """Decompress what can be of input that is damaged somewhere; also returns how many bytes that are."""
        output = bytearray()
        for at, byte in enumerate(self._pending):
            try:
                output += self._inflater.decompress(bytes([byte]))
            except zlib.error:
                return bytes(output), at
        return bytes(output), len(self._pending)
