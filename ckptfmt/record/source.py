"""Where records come from: a file as it is, or one that is compressed as a whole.

A compressed file says nowhere that it is one but in its first bytes, which may also be those of a frame: a
file is taken as compressed where it does not begin with a length whose checksum holds. Offsets in it are
those of what it decompresses to.
"""

from __future__ import annotations

import zlib
from typing import Literal, Protocol, TypeAlias

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.record.frame import HEADER_SIZE, decode_header
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.file import Opener, RandomAccessFile

Compression: TypeAlias = Literal["GZIP", "ZLIB"]

COMPRESSED_AT_ONCE = 1 << 18
"""Bytes of a compressed file read at once."""

_WBITS = {"GZIP": 31, "ZLIB": 15}
"""What tells zlib which of its formats to expect."""


class Source(Protocol):
    """Bytes that frames are read from, forwards."""

    name: str
    """The file."""
    compression: Compression | None
    """How the file is compressed as a whole, None where it is not."""
    error: CorruptError | None
    """Why there are no more bytes, where the file does not decompress."""

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes, or fewer where there are no more; not before the last offset read from."""

    def view(self, offset: int, size: int) -> Buffer:
        """Return the same where all of it is there, as a view where the file has views."""

    @property
    def size(self) -> int | None:
        """Bytes in all, as far as known."""

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file that have been read, and all of them."""

    def refresh(self) -> None:
        """Look whether the file has grown."""

    def close(self) -> None:
        """Close the file."""


def open_source(path: str, opener: Opener) -> Source:
    """Open a file of records; errors are those of the opener."""
    file = opener(path)
    compression = compression_of(file)
    return PlainSource(file, opener) if compression is None else InflatedSource(file, opener, compression)


def compression_of(file: RandomAccessFile) -> Compression | None:
    """Return how a file of records is compressed, None where it is not, told by its first bytes."""
    head = bytes(file.read(0, min(file.size, HEADER_SIZE)))
    if len(head) == HEADER_SIZE and decode_header(head) is not None:
        return None
    if head.startswith(b"\x1f\x8b"):
        return "GZIP"
    # Method 8 with a window of up to 32 KiB, and a check of these two bytes (RFC 1950).
    if len(head) >= 2 and head[0] & 0x8F == 0x08 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "ZLIB"
    return None


class PlainSource:
    """A file that is not compressed."""

    compression: Compression | None = None
    error: CorruptError | None = None

    def __init__(self, file: RandomAccessFile, opener: Opener) -> None:
        self.name = file.name
        self._file = file
        self._opener = opener
        self._read_up_to = self._released_up_to = 0

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._file.size

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes that have been read, and all of them."""
        return self._read_up_to, self._file.size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes; of any offset."""
        size = max(0, min(size, self._file.size - offset))
        data = bytes(self._file.read(offset, size)) if size else b""
        self._file.release(self._released_up_to, offset - self._released_up_to)
        self._released_up_to = max(offset, self._released_up_to)
        self._read_up_to = offset + size
        return data

    def view(self, offset: int, size: int) -> memoryview:
        """Return ``size`` bytes; TruncatedError where there are fewer."""
        self._read_up_to = offset + size
        return self._file.read(offset, size)

    def refresh(self) -> None:
        """Open the file again where it has grown; TruncatedError where it has shrunk."""
        self._file = _reopened(self._file, self._opener)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _reopened(file: RandomAccessFile, opener: Opener) -> RandomAccessFile:
    new = opener(file.name)
    if new.size < file.size:
        new.close()
        raise TruncatedError(
            "file has been cut short while open",
            wanted=file.size,
            available=new.size,
            file=file.name,
            offset=new.size,
        )
    file.close()
    return new


class InflatedSource:
    """A compressed file, decompressed as it is read: what lies before the last read is forgotten."""

    size = None

    def __init__(self, file: RandomAccessFile, opener: Opener, compression: Compression) -> None:
        self.name = file.name
        self.compression: Compression | None = compression
        self.error: CorruptError | None = None
        self._file = file
        self._opener = opener
        self._wbits = _WBITS[compression]
        self._inflater = zlib.decompressobj(self._wbits)
        self._input_at = 0
        self._pending = b""
        self._base = 0
        self._data = bytearray()

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the compressed file that have been read, and all of them."""
        return self._input_at, self._file.size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on, which may not lie before that of the last call.

        Fewer, too, where the file does not decompress: :attr:`error` says so.
        """
        while self._base + len(self._data) < offset + size and self._more():
            if self._base + len(self._data) <= offset:
                self._base += len(self._data)
                self._data.clear()
        skipped = min(offset - self._base, len(self._data))
        del self._data[:skipped]
        self._base += skipped
        return bytes(memoryview(self._data)[:size]) if self._base == offset else b""

    def view(self, offset: int, size: int) -> bytes:
        """Return the same as :meth:`read`."""
        return self.read(offset, size)

    def _more(self) -> bool:
        """Decompress some more; False where nothing is left."""
        if self.error is not None:
            return False
        if not self._pending:
            size = min(COMPRESSED_AT_ONCE, self._file.size - self._input_at)
            if size > 0:
                self._pending = bytes(self._file.read(self._input_at, size))
                self._input_at += size
            elif self._inflater.eof:
                return False
        try:
            if self._inflater.eof:
                # gzip files may be put one behind the other.
                self._inflater = zlib.decompressobj(self._wbits)
            before = self._inflater.copy()
            # Without input, what zlib still has of the last one.
            output = self._inflater.decompress(self._pending, COMPRESSED_AT_ONCE)
        except zlib.error as error:
            self._inflater = before
            at = self._input_at - len(self._pending) + self._salvage()
            what = f"{self.compression} data do not decompress: {error}"
            self.error = CorruptError(what, file=self.name, offset=at)
            return False
        has_input = bool(self._pending)
        self._pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        self._data += output
        return has_input or bool(output)

    def _salvage(self) -> int:
        """Decompress what can be of input that is damaged somewhere; returns how many bytes that are."""
        for at, byte in enumerate(self._pending):
            try:
                self._data += self._inflater.decompress(bytes([byte]))
            except zlib.error:
                return at
        return len(self._pending)

    def refresh(self) -> None:
        """Look whether the file has grown."""
        self._file = _reopened(self._file, self._opener)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
