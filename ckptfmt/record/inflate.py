"""The decompressed bytes of a file that is compressed as a whole, read forwards."""

from __future__ import annotations

import zlib
from typing import Literal, TypeAlias

from ckptfmt.errors import LimitError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.buffers import memory_size

Compression: TypeAlias = Literal["GZIP", "ZLIB"]

COMPRESSED_AT_ONCE = 1 << 18
"""Bytes of a compressed file read at once, and decompressed at once."""

MAX_RATIO = 1032
"""Most bytes that one byte of deflated data can stand for: a match of 258 bytes takes 2 bits."""

WBITS: dict[Compression, int] = {"GZIP": 31, "ZLIB": 15}
"""The ``wbits`` that select the format in zlib: a window of 32 KiB, and 16 more for the header of gzip."""


class InflatedStream:
    """What a compressed file decompresses to; offsets are those of the decompressed bytes.

    A stretch of the bytes is in memory, from ``_base`` on. Reading ahead drops everything before the offset
    asked for, so little more is in memory than one call asks for; reading back decompresses the file
    from its start again.

    The file may grow: :meth:`view` takes it as it is now, and goes on where the last call stopped.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression: Compression = compression
        self._begin()

    def _begin(self) -> None:
        self.fault: str | None = None
        """What is wrong with the compressed data; nothing more can be decompressed after that."""
        self.input_at = 0
        """Bytes of the file read so far."""
        self._inflater = zlib.decompressobj(WBITS[self._compression])
        self._pending = b""  # input that was read and not consumed
        self._base = 0
        self._data = bytearray()  # never resized once there are views of it
        self._dry_at = -1  # size of the file when all of it was decompressed

    @property
    def end(self) -> int:
        """Bytes decompressed so far."""
        return self._base + len(self._data)

    @property
    def is_cut(self) -> bool:
        """Whether the compressed data, as far as they were read, do not end."""
        return self.fault is None and not self._inflater.eof

    def is_exhausted(self, size: int) -> bool:
        """Return whether a file of ``size`` bytes has nothing left to decompress."""
        return self.fault is not None or self._dry_at == size

    def view(self, file: RandomAccessFile, offset: int, size: int) -> memoryview:
        """Return ``size`` bytes from ``offset`` on, or as many as there are.

        Raises LimitError if memory runs out.
        """
        if self.end < offset + size or offset < self._base:
            try:
                if offset < self._base:
                    self._begin()
                self._fill(file, offset, size)
            except BaseException as error:
                # An interruption (Ctrl-C, no memory) leaves input consumed and its output lost. Starting over
                # is the only way back to a consistent stream.
                self._begin()
                if isinstance(error, MemoryError):
                    raise no_memory(file.name, size) from error
                raise
        at = offset - self._base
        return memoryview(self._data)[at : at + size].toreadonly()

    def _fill(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Decompress up to ``offset + size``, and drop everything before ``offset``.

        The bytes go into a new buffer, because callers may hold views of the old one.
        """
        output = self._inflate(file)
        if not output:
            self._dry_at = file.size
            return
        kept = min(max(0, offset - self._base), len(self._data))
        data = bytearray(memoryview(self._data)[kept:])
        base = self._base + kept
        self._data, self._base = data, base
        while output:
            data += output
            if base + len(data) >= offset + size:
                break
            if base + len(data) <= offset:
                base = self._base = base + len(data)
                data.clear()
            output = self._inflate(file)
        else:
            self._dry_at = file.size

    def _inflate(self, file: RandomAccessFile) -> bytes:
        """Decompress a little more; return nothing at the end of the file, or if there is a :attr:`fault`."""
        while self.fault is None:
            if not self._pending:
                size = min(COMPRESSED_AT_ONCE, file.size - self.input_at)
                if size > 0:
                    self._pending = bytes(file.read(self.input_at, size))
                    self.input_at += size
                elif self._inflater.eof:
                    return b""
            if self._inflater.eof:
                # One file may hold several compressed members (RFC 1952, section 2.2).
                self._inflater = zlib.decompressobj(WBITS[self._compression])
            # An error loses the output of the bytes before it; from a copy, that can be made again.
            before = self._inflater.copy()
            has_input = bool(self._pending)
            try:
                # Even without input, zlib may hold output back that did not fit in the last call.
                output = self._inflater.decompress(self._pending, COMPRESSED_AT_ONCE)
            except zlib.error as error:
                self._inflater = before
                output, taken = self._salvage()
                at = self.input_at - len(self._pending) + taken
                self.fault = f"{self._compression} data do not decompress at byte {at} of the file: {error}"
                return output
            self._pending = (
                self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            )
            if output or not has_input:
                return output
        return b""

    def _salvage(self) -> tuple[bytes, int]:
        """Decompress the pending input byte by byte up to the damage.

        Return the output, and how many bytes of input it took.
        """
        output = bytearray()
        for at, byte in enumerate(self._pending):
            try:
                output += self._inflater.decompress(bytes([byte]))
            except zlib.error:
                return bytes(output), at
        return bytes(output), len(self._pending)


def no_memory(name: str, size: int) -> LimitError:
    """Return the error for ``size`` bytes of a file that do not fit into memory."""
    return LimitError("bytes of memory", limit=memory_size(), asked=size, file=name)
