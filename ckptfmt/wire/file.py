"""Files read by offset.

Everything above asks for bytes with ``read(offset, size)`` and gets a view; no cursor is shared, so any
thread may read at any time. A remote file needs only to provide :class:`RandomAccessFile`, and an
:data:`Opener` that returns it for a path.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeAlias

from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, NotReadableError, TruncatedError


class RandomAccessFile(Protocol):
    """A file of a fixed size, read by offset."""

    @property
    def name(self) -> str:
        """What errors call the file: its path."""

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``; TruncatedError where the file does not hold them."""

    def release(self, offset: int, size: int) -> None:
        """Say that these bytes will not be needed soon; what was returned stays valid."""

    def close(self) -> None:
        """Let go of the file; views already returned stay valid."""


Opener: TypeAlias = Callable[[str], RandomAccessFile]
"""Opens a path; raises CheckpointNotFoundError or NotReadableError."""


def _map(descriptor: int, size: int) -> mmap.mmap:
    # With the size given, a file that shrank under the call is refused.
    if sys.version_info >= (3, 13):
        # Without a descriptor of its own, a mapping does not count against the limit of open files.
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, int]]:
    """The descriptor of a regular file, open for as long as it is needed, and its size."""
    try:
        # Not to wait for a writer, should the path be that of a pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                is_directory = stat.S_ISDIR(status.st_mode)
                raise NotReadableError(
                    path, os.strerror(errno.EISDIR) if is_directory else "not a regular file"
                )
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)
    except NotReadableError:
        raise
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"{path}: no such file", tried=[path]) from error
    except (OSError, ValueError) as error:
        # ValueError: the path holds a NUL, or the file shrank under the call.
        raise NotReadableError(path, getattr(error, "strerror", None) or str(error)) from error


def read_file(path: str) -> bytes:
    """Return all bytes of a file that is needed as a whole; errors as of :class:`MappedFile`."""
    with _opened(path) as (descriptor, size), os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(size)


class MappedFile:
    """A local file mapped into memory: ``read`` returns views, and pages come in when they are touched."""

    def __init__(self, path: str) -> None:
        self.name = path
        with _opened(path) as (descriptor, size):
            self.size = size
            # An empty file cannot be mapped.
            self._map = _map(descriptor, size) if size else None
        self._view: memoryview | None = memoryview(self._map if self._map is not None else b"")

    def read(self, offset: int, size: int) -> memoryview:
        """Return a read-only view of ``size`` bytes at ``offset``; no copy is made."""
        if self._view is None:
            raise ValueError(f"{self.name}: the file is closed")
        if offset < 0 or size < 0 or offset + size > self.size:
            available = max(0, self.size - offset) if offset >= 0 else 0
            raise TruncatedError(
                "file too short", wanted=size, available=available, file=self.name, offset=offset
            )
        return self._view[offset : offset + size]

    def release(self, offset: int, size: int) -> None:
        """Drop the pages that lie wholly in these bytes; touched again, they come back from the file."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = min(offset + size, self.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self._map.madvise(mmap.MADV_DONTNEED, start, stop - start)

    def close(self) -> None:
        """Forget the mapping; it goes away with the last array that views it."""
        self._view = self._map = None

    def __repr__(self) -> str:
        return f"<MappedFile {self.name!r} {self.size} bytes>"


def write_file(path: str, pieces: Iterable[bytes], *, overwrite: bool) -> None:
    """Write pieces to a file, whole or not at all: beside, synced, then under its name.

    Raises
    ------
    FileExistsError
        There is one already, and not ``overwrite``.
    NotReadableError
        The operating system refuses.
    """
    beside = f"{path}.{os.urandom(4).hex()}.tmp"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            if not overwrite:
                # Takes the name, or fails: two writers cannot both find it free.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            os.replace(beside, path)  # noqa: PTH105  (a path may be a string)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)  # noqa: PTH108
            raise
    except CkptfmtError:
        raise  # of the pieces
    except FileExistsError:
        raise FileExistsError(f"{path}: got a file that is there already, want a new one") from None
    except (OSError, ValueError) as error:
        # ValueError: the path holds a NUL.
        raise NotReadableError(path, getattr(error, "strerror", None) or str(error)) from error
