"""Inflate: what a file compressed as a whole decompresses to, read forwards."""

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
"""Bytes that one byte of deflated data stands for at most: a match of 258 bytes takes 2 bits."""

WBITS: dict[Compression, int] = {"GZIP": 31, "ZLIB": 15}
"""How zlib is told which of its formats to read or write."""


class InflatedStream:
    """What a compressed file decompresses to.

    Offsets are those of the decompressed bytes. A stretch of them is in memory, from ``_base`` on. Reading
    further on forgets what lies before the offset asked for, so that memory holds what one call asks for and
    a little more; reading further back decompresses the file from its beginning again.

    The file may grow: :meth:`view` takes it as it is by then, and what follows is decompressed where the last
    call stopped.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression: Compression = compression
        self._begin()

    def _begin(self) -> None:
        self.fault: str | None = None
        """What is wrong with the compressed data, after which nothing more can be decompressed."""
        self.input_at = 0
        """Bytes of the file that have been read."""
        self._inflater = zlib.decompressobj(WBITS[self._compression])
        self._pending = b""  # input that has been read and not been taken
        self._base = 0
        self._data = bytearray()  # never resized once there are views of it
        self._dry_at = -1  # size of the file when all of it had been decompressed

    @property
    def end(self) -> int:
        """Bytes that have been decompressed."""
        return self._base + len(self._data)

    @property
    def is_cut(self) -> bool:
        """Whether the compressed data have not come to their end."""
        return self.fault is None and not self._inflater.eof

    def is_exhausted(self, size: int) -> bool:
        """Return whether nothing is left to decompress of a file of ``size`` bytes."""
        return self.fault is not None or self._dry_at == size

    def view(self, file: RandomAccessFile, offset: int, size: int) -> memoryview:
        """Return up to ``size`` bytes from ``offset`` on, fewer if there are no more.

        Raises LimitError if memory lacks.
        """
        if self.end < offset + size or offset < self._base:
            try:
                if offset < self._base:
                    self._begin()
                self._fill(file, offset, size)
            except BaseException as error:
                # Input that was taken and output that was not kept, after Ctrl-C too, cannot be put back:
                # only a new beginning leaves the stream whole.
                self._begin()
                if isinstance(error, MemoryError):
                    raise no_memory(file.name, size) from error
                raise
        at = offset - self._base
        return memoryview(self._data)[at : at + size].toreadonly()

    def _fill(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Decompress up to ``offset + size``, and forget what lies before ``offset``.

        The bytes go into memory of their own: there may be views of what was there.
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
        """Decompress some more; nothing if nothing is left, or :attr:`fault` says why."""
        while self.fault is None:
            if not self._pending:
                size = min(COMPRESSED_AT_ONCE, file.size - self.input_at)
                if size > 0:
                    self._pending = bytes(file.read(self.input_at, size))
                    self.input_at += size
                elif self._inflater.eof:
                    return b""
            if self._inflater.eof:
                # Compressed data may follow one another in one file (RFC 1952, section 2.2).
                self._inflater = zlib.decompressobj(WBITS[self._compression])
            before = self._inflater.copy()
            has_input = bool(self._pending)
            try:
                # Without input too: zlib may hold back output of the last one.
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
        """Decompress the pending input byte by byte, up to the one that is damaged.

        Returns the output, and how many bytes of the input it took.
        """
        output = bytearray()
        for at, byte in enumerate(self._pending):
            try:
                output += self._inflater.decompress(bytes([byte]))
            except zlib.error:
                return bytes(output), at
        return bytes(output), len(self._pending)


def no_memory(name: str, size: int) -> LimitError:
    """Return the error of a file whose bytes memory does not hold."""
    return LimitError(f"memory for {size} bytes", limit=memory_size(), asked=size, file=name)
