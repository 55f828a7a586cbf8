"""Files read by offset.

Everything above asks for bytes with ``read(offset, size)`` and gets a view, or has them put where it wants
them with ``read_into(offset, out)``; no cursor is shared, so any thread may read at any time. A local file
is mapped into memory or read through a descriptor: see :data:`BACKENDS`. A remote file needs only to provide
:class:`RandomAccessFile`, and an :data:`Opener` that returns it for a path.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np

from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, NotReadableError, TruncatedError
from ckptfmt.wire.buffers import new_buffer
from ckptfmt.wire.crc32c import crc32c

COPIED_AT_ONCE = 2 << 20
"""Bytes copied before their checksum is computed: they are still in the cache then.

Not less: from 1 MiB or so on, C libraries copy without reading the destination first.
"""

STREAMED_AT_ONCE = 1 << 20
"""Bytes in memory of a stretch of which only the checksum is wanted."""

GUARDED_FROM = 64 << 10
"""Reads of a mapped file of this many bytes and more first look whether it has been cut short.

That takes 2 µs, as long as the checksum of 20 kB.
"""

_ASKED_AT_ONCE = 64 << 20
"""Bytes that the system is asked for in one call; some take no more than 2 GiB."""

_AHEAD_AT_ONCE = 128 << 10
"""Bytes that the system is told to read ahead in one call: Linux leaves out what is over its own measure
for the device, of which this is the usual value.
"""


class RandomAccessFile(Protocol):
    """A file of a fixed size, read by offset."""

    @property
    def name(self) -> str:
        """What errors call the file: its path."""

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""

    @property
    def has_views(self) -> bool:
        """Whether what ``read`` returns is there already, and takes no memory and no time."""

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``; TruncatedError where the file does not hold them."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out``, writable bytes, from ``offset`` on; TruncatedError where the file has fewer.

        After an error ``out`` may be filled in part.
        """

    def prefetch(self, offset: int, size: int) -> None:
        """Say that these bytes will be needed soon; does not wait for them, and never fails.

        Not free where they are in memory already: 3 µs for 128 KiB on Linux, which also reads them into
        small pages that are slower to map and copy. Worth it for what the system would not guess.
        """

    def release(self, offset: int, size: int) -> None:
        """Say that these bytes will not be needed soon; what was returned stays valid."""

    def close(self) -> None:
        """Let go of the file; views already returned stay valid."""


Opener: TypeAlias = Callable[[str], RandomAccessFile]
"""Opens a path; raises CheckpointNotFoundError or NotReadableError."""


def read_with_crc(file: RandomAccessFile, offset: int, out: memoryview) -> int:
    """Fill ``out``, writable bytes, from ``offset`` on, and return the CRC-32C of what is in it then.

    Memory is passed once: the checksum is that of ``out``, computed while it is in the cache. Errors as of
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

    Errors as of :meth:`RandomAccessFile.read`.
    """
    stop = offset + size
    while offset < stop:
        # Up to a border of pages, so that they can be released whole.
        border = min(offset - offset % STREAMED_AT_ONCE + STREAMED_AT_ONCE, stop)
        crc = crc32c(file.read(offset, border - offset), crc)
        file.release(offset, border - offset)
        offset = border
    return crc


@contextmanager
def _opened(path: str, place: str | None = None) -> Iterator[tuple[int, os.stat_result]]:
    """The descriptor of a regular file, open for as long as it is needed, and its status.

    ``path`` is what errors name, ``place`` what is opened where that is another path.
    """
    try:
        # Not to wait for a writer, should the path be that of a pipe.
        descriptor = os.open(
            place or path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                is_directory = stat.S_ISDIR(status.st_mode)
                raise NotReadableError(
                    path, os.strerror(errno.EISDIR) if is_directory else "not a regular file"
                )
            yield descriptor, status
        finally:
            os.close(descriptor)
    except NotReadableError:
        raise
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"{path}: no such file", tried=[path]) from error
    except (OSError, ValueError) as error:
        # ValueError: the path holds a NUL, or the file shrank under the call.
        raise NotReadableError(path, getattr(error, "strerror", None) or str(error)) from error


def _place(path: str, directory: str) -> str:
    """Where a path leads that counts from a directory, in place of the working directory."""
    if not directory or directory == working_directory():
        return path  # whoever may not look into all directories above it can open it so
    return os.path.join(directory, path)


def working_directory() -> str:
    """Return the working directory; ``""`` where it is no more."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def read_file(path: str) -> bytes:
    """Return all bytes of a file that is needed as a whole; errors as of :class:`MappedFile`."""
    with _opened(path) as (descriptor, status), os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(status.st_size)


def _check_bounds(file: RandomAccessFile, offset: int, size: int) -> None:
    if offset < 0 or size < 0 or offset + size > file.size:
        available = max(0, file.size - offset) if offset >= 0 else 0
        raise TruncatedError(
            "file too short", wanted=size, available=available, file=file.name, offset=offset
        )


def _closed(file: RandomAccessFile) -> ValueError:
    return ValueError(f"{file.name}: the file is closed")


def _shrank(file: RandomAccessFile, offset: int, wanted: int, available: int) -> TruncatedError:
    return TruncatedError(
        "file has been cut short while open",
        wanted=wanted,
        available=max(0, available),
        file=file.name,
        offset=offset,
    )


class MappedFile:
    """A local file mapped into memory: ``read`` returns views, and pages come in when they are touched.

    Nobody should cut a mapped file short. A read of 64 KiB or more finds out that somebody has, as long as
    the file goes by the same path, and raises TruncatedError. What cannot be guarded are smaller reads,
    views already returned and the moments while bytes are copied or checked: to touch what is no more in
    the file ends the process (SIGBUS on POSIX; Windows lets nobody cut a mapped file). Where files change
    under their readers, :class:`DescriptorFile` is safe.
    """

    has_views = True

    def __init__(self, path: str, directory: str = "") -> None:
        """Open a path, which counts from ``directory`` or, without one, from the working directory."""
        self.name = path
        place = _place(path, directory)
        with _opened(path, place) as (descriptor, status):
            self.size = status.st_size
            self._identity = status.st_dev, status.st_ino
            # Whatever becomes the working directory.
            self._path = os.path.abspath(place)
            # An empty file cannot be mapped.
            self._map = _map(path, descriptor, self.size) if self.size else None
        self._view: memoryview | None = memoryview(self._map if self._map is not None else b"")

    def read(self, offset: int, size: int) -> memoryview:
        """Return a read-only view of ``size`` bytes at ``offset``; no copy is made."""
        view = self._view  # another thread may close the file
        if view is None:
            raise _closed(self)
        _check_bounds(self, offset, size)
        if size >= GUARDED_FROM:
            self._check_still_there(offset, size)
        return view[offset : offset + size]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Copy ``out.nbytes`` bytes at ``offset`` into ``out``.

        Faster than ``preadv``, which on common kernels reads the destination before it writes to it.
        """
        view = self.read(offset, out.nbytes)
        if view:
            # Other than by assignment to ``out``, other threads run meanwhile.
            np.copyto(np.frombuffer(out, np.uint8), np.frombuffer(view, np.uint8))

    def _check_still_there(self, offset: int, size: int) -> None:
        try:
            status = os.stat(self._path)
        except OSError:
            return  # removed or renamed: what is mapped is there all the same
        # By path: from Python 3.13 on a mapping needs no descriptor, of which a process has few.
        if (status.st_dev, status.st_ino) == self._identity and offset + size > status.st_size:
            raise _shrank(self, offset, size, status.st_size - offset)

    def prefetch(self, offset: int, size: int) -> None:
        """Have the system read these bytes ahead, where it can be told to."""
        start = max(0, offset) // mmap.PAGESIZE * mmap.PAGESIZE
        stop = min(offset + size, self.size) if size > 0 else 0
        for step in range(start, stop, _AHEAD_AT_ONCE):
            self._advise("MADV_WILLNEED", step, min(step + _AHEAD_AT_ONCE, stop))

    def release(self, offset: int, size: int) -> None:
        """Drop the pages that lie wholly in these bytes; touched again, they come back from the file."""
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        self._advise("MADV_DONTNEED", start, min(offset + size, self.size) // mmap.PAGESIZE * mmap.PAGESIZE)

    def _advise(self, advice: str, start: int, stop: int) -> None:
        mapping = self._map
        if mapping is not None and start < stop and hasattr(mmap, advice):
            # Refused of memory that is locked, and by some sandboxes.
            with suppress(OSError):
                mapping.madvise(getattr(mmap, advice), start, stop - start)

    def close(self) -> None:
        """Forget the mapping; it goes away with the last array that views it."""
        self._view = self._map = None

    def __repr__(self) -> str:
        return f"<MappedFile {self.name!r} {self.size} bytes>"


def _map(path: str, descriptor: int, size: int) -> mmap.mmap:
    try:
        # With the size given, a file that shrank under the call is refused.
        if sys.version_info >= (3, 13):
            # Without a descriptor of its own, a mapping does not count against the limit of open files.
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False)
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise
        # A file system without mappings, or more than the address space or a limit on it has room for.
        reason = getattr(error, "strerror", None) or str(error)
        raise NotReadableError(path, f"cannot be mapped ({reason}): try backend='pread'") from error


class _Descriptor:
    """An open file descriptor, closed with its last user: a read in another thread keeps it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = threading.Lock()

    def read_into(self, offset: int, out: memoryview) -> int:
        """Read as many bytes as the system gives at once, at most all; 0 where the file ends."""
        if hasattr(os, "preadv"):
            return os.preadv(self.number, [out], offset)
        # Windows; there is one cursor.
        with self._lock:
            os.lseek(self.number, offset, os.SEEK_SET)
            data = os.read(self.number, out.nbytes)
        out[: len(data)] = data
        return len(data)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        with suppress(OSError):
            close(self.number)


class MemoryFile:
    """Bytes in memory, read as a file is."""

    has_views: bool = True

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "<bytes>") -> None:
        """Take bytes, which nobody may change while they are read, and what errors call them."""
        self.name = name
        view = memoryview(data)
        if not view.c_contiguous or not view.nbytes:
            view = memoryview(view.tobytes())
        self._view = view.cast("B").toreadonly()
        self.size = view.nbytes

    def read(self, offset: int, size: int) -> memoryview:
        """Return a read-only view of ``size`` bytes at ``offset``; no copy is made."""
        _check_bounds(self, offset, size)
        return self._view[offset : offset + size]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Copy ``out.nbytes`` bytes at ``offset`` into ``out``."""
        out.cast("B")[:] = self.read(offset, out.nbytes)

    def prefetch(self, offset: int, size: int) -> None:
        """Do nothing: they are there."""

    def release(self, offset: int, size: int) -> None:
        """Do nothing: they are the caller's."""

    def close(self) -> None:
        """Do nothing."""


class DescriptorFile:
    """A local file read through its descriptor: each ``read`` returns memory of its own.

    For file systems that cannot map, or map badly, address spaces too small for the files, and files that
    may change while they are read: one that was cut short is a TruncatedError, wherever that happens.
    """

    has_views = False

    def __init__(self, path: str, directory: str = "") -> None:
        """Open a path, which counts from ``directory`` or, without one, from the working directory."""
        self.name = path
        with _opened(path, _place(path, directory)) as (descriptor, status):
            self.size = status.st_size
            self._descriptor: _Descriptor | None = _Descriptor(os.dup(descriptor))
            if hasattr(os, "O_NONBLOCK"):
                # A file system may take it at its word.
                os.set_blocking(descriptor, True)

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``, in new memory; LimitError where there is none."""
        self._open_descriptor()
        _check_bounds(self, offset, size)
        out = new_buffer(size, f"{self.name}: memory for {size} bytes")
        self.read_into(offset, out)
        return out.toreadonly()

    def read_into(self, offset: int, out: memoryview) -> None:
        """Read ``out.nbytes`` bytes at ``offset`` straight into ``out``; NotReadableError where it fails."""
        descriptor = self._open_descriptor()
        _check_bounds(self, offset, out.nbytes)
        done = 0
        while done < out.nbytes:
            try:
                count = descriptor.read_into(offset + done, out[done : done + _ASKED_AT_ONCE])
            except OSError as error:
                raise NotReadableError(self.name, error.strerror or str(error)) from error
            if not count:
                raise _shrank(self, offset, out.nbytes, done)
            done += count

    def _open_descriptor(self) -> _Descriptor:
        descriptor = self._descriptor  # another thread may close the file
        if descriptor is None:
            raise _closed(self)
        return descriptor

    def prefetch(self, offset: int, size: int) -> None:
        """Have the system read these bytes ahead, where it can be told to."""
        descriptor = self._descriptor
        stop = min(offset + size, self.size)
        if descriptor is not None and hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                for step in range(max(0, offset), stop, _AHEAD_AT_ONCE):
                    length = min(_AHEAD_AT_ONCE, stop - step)
                    os.posix_fadvise(descriptor.number, step, length, os.POSIX_FADV_WILLNEED)

    def release(self, offset: int, size: int) -> None:
        """Do nothing: this keeps no bytes, and those that the system keeps are for others too."""

    def close(self) -> None:
        """Close the descriptor, or let the last read that is under way do so."""
        self._descriptor = None

    def __repr__(self) -> str:
        return f"<DescriptorFile {self.name!r} {self.size} bytes>"


BACKENDS: Mapping[str, Callable[..., RandomAccessFile]] = {"mmap": MappedFile, "pread": DescriptorFile}
"""What opens local files, by the name under which users choose it."""


def opener_of(backend: str, directory: str = "") -> Opener:
    """Return what opens files in a way of :data:`BACKENDS`; ValueError where there is no such way.

    Paths count from ``directory`` or, without one, from what is the working directory when they are opened;
    what errors name are the paths as they are.
    """
    try:
        opener = BACKENDS[backend]
    except KeyError:
        raise ValueError(f"backend: got {backend!r}, want {' or '.join(map(repr, BACKENDS))}") from None
    return partial(opener, directory=directory) if directory else opener


@contextmanager
def new_file(path: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file to write that is there whole or not at all: beside, synced, then under its name.

    A link under that name is replaced, not followed.

    Raises
    ------
    FileExistsError
        There is one already, and not ``overwrite``.
    NotReadableError
        The operating system refuses.
    """
    beside = f"{path}.{os.urandom(4).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(beside, flags, 0o666)
    except (OSError, ValueError) as error:
        # ValueError: the path holds a NUL.
        raise NotReadableError(path, getattr(error, "strerror", None) or str(error)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            if not overwrite and os.path.lexists(path):
                raise FileExistsError  # before the work, not after it
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not overwrite:
            # Takes the name, or fails: two writers cannot both find it free.
            os.close(os.open(path, flags, 0o666))
        os.replace(beside, path)
    except CkptfmtError:
        raise  # of what is written
    except FileExistsError:
        raise FileExistsError(f"{path}: got a file that is there already, want a new one") from None
    except OSError as error:
        raise NotReadableError(path, error.strerror or str(error)) from error
    finally:
        # Not there any more where all went well.
        with suppress(OSError):
            os.unlink(beside)


def write_file(path: str, pieces: Iterable[bytes | memoryview], *, overwrite: bool) -> None:
    """Write pieces to a file, whole or not at all; errors as of :func:`new_file`."""
    with new_file(path, overwrite=overwrite) as file:
        file.writelines(pieces)
