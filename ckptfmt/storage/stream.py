"""Files as file objects, for libraries that read from nothing else, and parts of files as files."""

from __future__ import annotations

import io
import os
from typing import Any

from ckptfmt.storage.file import RandomAccessFile, check_bounds

RELEASED_FROM = 1 << 16
"""Bytes of a read after which the system may forget them: they are copied, so the pages are not needed."""


class SeekableStream(io.RawIOBase):
    """The base of file objects that know their size: where the next byte is, and going elsewhere."""

    def __init__(self, size: int = 0) -> None:
        """Begin at the first byte."""
        self._position = 0
        self.size = size
        """Bytes of the file."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset from the beginning, from here or from the end; ValueError if it is negative."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"offset: got {base + offset}, want at least 0")
        self._position = base + offset
        return self._position


class InputStream(SeekableStream):
    """A file object over a :class:`RandomAccessFile`; closing it leaves the file open."""

    def __init__(self, file: RandomAccessFile) -> None:
        """Take an open file; whoever opened it also closes it."""
        super().__init__(file.size)
        self._file = file

    def readinto(self, out: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Fill a buffer as far as the file goes; raises what :meth:`RandomAccessFile.read_into` does."""
        view = memoryview(out).cast("B")
        size = max(0, min(view.nbytes, self.size - self._position))
        if size:
            self._file.read_into(self._position, view[:size])
        if size >= RELEASED_FROM:
            self._file.release(self._position, size)
        self._position += size
        return size


class FilePart:
    """A stretch of a file, as a file of its own: a member of an archive that is not compressed."""

    def __init__(self, file: RandomAccessFile, start: int, size: int, name: str) -> None:
        """Take an open file, which is closed with this one, and the stretch of it.

        Raises TruncatedError if the file does not hold it.
        """
        check_bounds(file, start, size)
        self._file = file
        self._start = start
        self.size = size
        self.name = name

    @property
    def has_views(self) -> bool:
        """Whether ``read`` returns views of memory that exists anyway."""
        return self._file.has_views

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``."""
        check_bounds(self, offset, size)
        return self._file.read(self._start + offset, size)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out``, writable bytes, from ``offset`` on."""
        check_bounds(self, offset, out.nbytes)
        self._file.read_into(self._start + offset, out)

    def prefetch(self, offset: int, size: int) -> None:
        """Tell the system that these bytes will be needed soon."""
        self._file.prefetch(self._start + offset, size)

    def release(self, offset: int, size: int) -> None:
        """Tell the system that these bytes will not be needed soon."""
        self._file.release(self._start + offset, size)

    def close(self) -> None:
        """Close the file that this is a part of."""
        self._file.close()
