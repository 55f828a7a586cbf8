"""Local files: mapped into memory, or read through a descriptor."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NoReturn
from weakref import WeakKeyDictionary

import numpy as np

from ckptfmt.errors import NotReadableError, PathNotFoundError, TruncatedError
from ckptfmt.locks import new_lock
from ckptfmt.storage.file import RandomAccessFile, check_bounds
from ckptfmt.storage.foreign_paths import check_is_local, without_file_scheme
from ckptfmt.wire.buffers import new_buffer

GUARDED_FROM = 64 << 10
"""Reads of a mapped file of this many bytes and more first check whether it has been cut short.

The check takes 2 µs, as long as the checksum of 20 kB.
"""

MAPPED_FROM = 64 << 10
"""Bytes from which a file is mapped. Reading a smaller one takes a third of the time that mapping it does."""

# O_NONBLOCK: otherwise opening a named pipe would wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_ASKED_AT_ONCE = 64 << 20
"""Bytes to ask the system for in one call; some refuse more than 2 GiB."""

_AHEAD_AT_ONCE = 128 << 10
"""Bytes to have the system read ahead in one call.

Linux ignores all that exceeds the read-ahead size of the device, which is usually this.
"""


class _Opened:
    """A regular file, open for the length of a ``with`` block, which gets its descriptor and status.

    Not a generator: entering and leaving one takes as long as the system takes to open a small file.
    """

    __slots__ = ("_descriptor", "_full_path", "_path")

    def __init__(self, path: str, full_path: str) -> None:
        """Take the path that errors name, and the one to open."""
        self._path = path
        self._full_path = full_path

    def __enter__(self) -> tuple[int, os.stat_result]:
        try:
            self._descriptor = os.open(self._full_path, _OPEN_FLAGS)
            try:
                return self._descriptor, self._regular_status()
            except BaseException:
                os.close(self._descriptor)
                raise
        except (OSError, ValueError) as error:
            self._raise(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if isinstance(error, (OSError, ValueError)):
            self._raise(error)

    def _regular_status(self) -> os.stat_result:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            is_directory = stat.S_ISDIR(status.st_mode)
            what = os.strerror(errno.EISDIR) if is_directory else "not a regular file"
            raise NotReadableError(self._path, what)
        return status

    def _raise(self, error: OSError | ValueError) -> NoReturn:
        if isinstance(error, NotReadableError):
            raise error
        if isinstance(error, FileNotFoundError):
            check_is_local(self._path, self._full_path)
            raise PathNotFoundError("no such file", file=self._path) from error
        # ValueError: the path holds a NUL, or the file shrank under the call.
        raise NotReadableError(self._path, getattr(error, "strerror", None) or str(error)) from error


def resolve_path(path: str, directory: str) -> str:
    """Return the path to open for one that counts from a directory, or from the working directory."""
    if os.sep == "/" == path[:1]:
        return path  # absolute, as most are: a path is resolved five times while a checkpoint is opened
    path = without_file_scheme(path)
    if not path or not directory or os.path.isabs(path) or directory == working_directory():
        # Keep a relative path: a process can open it even if it may not enter all the directories above. An
        # empty path leads nowhere, and joined to the directory it would lead there.
        return path
    return os.path.join(directory, path)


def working_directory() -> str:
    """Return the working directory, or ``""`` if it has been deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


_MAPPED: WeakKeyDictionary[mmap.mmap, tuple[str, tuple[int, int]]] = WeakKeyDictionary()
"""For each mapping the absolute path of its file, and its device and number."""


def is_mapped_here(mapping: mmap.mmap) -> bool:
    """Return whether this package has mapped it, read-only; another's may change."""
    return mapping in _MAPPED


def reopen(mapping: object) -> int | None:
    """Return a new descriptor of a file that is mapped; None if it has gone, or nothing here mapped it."""
    known = _MAPPED.get(mapping) if isinstance(mapping, mmap.mmap) else None
    if known is None:
        return None
    path, identity = known
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return None
    with suppress(OSError):
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == identity:
            return descriptor
    os.close(descriptor)
    return None


def _closed(file: RandomAccessFile) -> ValueError:
    return ValueError(f"{file.name}: the file is closed")


def _shrank(file: RandomAccessFile, offset: int, wanted: int, available: int) -> TruncatedError:
    return TruncatedError(
        "file was truncated while open",
        wanted=wanted,
        available=max(0, available),
        file=file.name,
        offset=offset,
    )


class MappedFile:
    """A local file mapped into memory: ``read`` returns views, and pages come in when they are touched.

    A file of less than 64 KiB is read instead when it is opened, which is faster and safe.

    Nobody should cut a mapped file short: touching a page that the file no longer has kills the process
    (SIGBUS on POSIX; Windows lets nobody cut a mapped file). A read of 64 KiB or more notices a cut, as long
    as the file has the same path, and raises TruncatedError. Smaller reads, views already returned, and the
    moments while bytes are copied or checked cannot be guarded. If files change under their readers,
    :class:`DescriptorFile` is safe.
    """

    has_views = True

    def __init__(self, path: str, directory: str = "") -> None:
        """Open a path, which counts from ``directory``, or from the working directory if that is empty."""
        self.name = path
        full_path = resolve_path(path, directory)
        with _Opened(path, full_path) as (descriptor, status):
            self.size = status.st_size
            self._map: mmap.mmap | None = None
            self._view: memoryview | None
            if self.size < MAPPED_FROM or not self.size:  # an empty file cannot be mapped
                self._view = memoryview(_read_whole(self, descriptor))
            else:
                self._identity = status.st_dev, status.st_ino
                # Absolute, so that the checks work after a change of the working directory.
                self._path = os.path.abspath(full_path)
                self._map = _map(path, descriptor, self.size)
                _MAPPED[self._map] = self._path, self._identity
                self._view = memoryview(self._map)

    def read(self, offset: int, size: int) -> memoryview:
        """Return a read-only view of ``size`` bytes at ``offset``; no copy is made."""
        view = self._view  # another thread may close the file
        if view is None:
            raise _closed(self)
        check_bounds(self, offset, size)
        if size >= GUARDED_FROM:
            self._check_not_cut(offset, size)
        return view[offset : offset + size]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Copy ``out.nbytes`` bytes at ``offset`` into ``out``.

        Faster than ``preadv``, which on common kernels reads the destination before it writes to it.
        """
        view = self.read(offset, out.nbytes)
        if view:
            # Unlike an assignment to ``out``, this lets other threads run meanwhile.
            np.copyto(np.frombuffer(out, np.uint8), np.frombuffer(view, np.uint8))

    def _check_not_cut(self, offset: int, size: int) -> None:
        try:
            status = os.stat(self._path)
        except OSError:
            return  # removed or renamed: the mapping keeps the file as it is
        # By path, not by descriptor: a process may have few of those, and since Python 3.13 a mapping needs
        # none.
        if (status.st_dev, status.st_ino) == self._identity and offset + size > status.st_size:
            raise _shrank(self, offset, size, status.st_size - offset)

    def reopened(self) -> int | None:
        """Return a new descriptor of the file, which a mapping does not keep; None if the file has gone."""
        return reopen(self._map)

    def prefetch(self, offset: int, size: int) -> None:
        """Have the system read these bytes ahead, if it supports that."""
        start = max(0, offset) // mmap.PAGESIZE * mmap.PAGESIZE
        stop = min(offset + size, self.size) if size > 0 else 0
        for step in range(start, stop, _AHEAD_AT_ONCE):
            self._advise("MADV_WILLNEED", step, min(step + _AHEAD_AT_ONCE, stop))

    def release(self, offset: int, size: int) -> None:
        """Drop the pages that are wholly within these bytes; a later touch reads them from the file again."""
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        self._advise("MADV_DONTNEED", start, min(offset + size, self.size) // mmap.PAGESIZE * mmap.PAGESIZE)

    def _advise(self, advice: str, start: int, stop: int) -> None:
        mapping = self._map
        if mapping is not None and start < stop and hasattr(mmap, advice):
            # The system refuses it for locked memory, and some sandboxes refuse it altogether.
            with suppress(OSError):
                mapping.madvise(getattr(mmap, advice), start, stop - start)

    def close(self) -> None:
        """Drop the mapping; it is unmapped together with the last array that views it."""
        self._view = self._map = None

    def __repr__(self) -> str:
        return f"<MappedFile {self.name!r} {self.size} bytes>"


def _read_whole(file: MappedFile, descriptor: int) -> bytes:
    """Return the content of a small file that has just been opened."""
    content = os.read(descriptor, file.size)
    while len(content) < file.size:  # a network file system may give less at once
        more = os.read(descriptor, file.size - len(content))
        if not more:
            raise NotReadableError(file.name, "the file was cut short while it was read")
        content += more
    return content


def _map(path: str, descriptor: int, size: int) -> mmap.mmap:
    """Map a file; NotMappableError if it exists but cannot be mapped."""
    try:
        # Given the size, mmap refuses a file that has shrunk since it was asked for.
        if sys.version_info >= (3, 13):
            # Without a descriptor of its own, a mapping does not count towards the limit of open files.
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, trackfd=False)
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise  # too many open files: the other backend needs a descriptor too
        # A file system without mappings, or a file larger than the address space or a limit on it.
        reason = getattr(error, "strerror", None) or str(error)
        raise NotMappableError(path, f"cannot be mapped ({reason})") from error


class NotMappableError(NotReadableError):
    """A file can perhaps be read, but not mapped."""


class _Descriptor:
    """An open file descriptor, closed with its last user, such as a read in another thread.

    If it were closed while a read runs, its number could be another file's a moment later.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = new_lock()

    def read_into(self, offset: int, out: memoryview) -> int:
        """Read up to ``out.nbytes`` bytes, as many as the system gives at once, and return how many.

        That is 0 at the end of the file.
        """
        if hasattr(os, "preadv"):
            return os.preadv(self.number, [out], offset)
        # Windows has one cursor for each descriptor.
        with self._lock:
            os.lseek(self.number, offset, os.SEEK_SET)
            data = os.read(self.number, out.nbytes)
        out[: len(data)] = data
        return len(data)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        with suppress(OSError):
            close(self.number)


class DescriptorFile:
    """A local file read through its descriptor: each ``read`` returns memory of its own.

    For file systems that cannot map files or do so badly, address spaces smaller than the files, and files
    that may change while they are read: if one is cut short, any read beyond its end raises TruncatedError.
    """

    has_views = False

    def __init__(self, path: str, directory: str = "") -> None:
        """Open a path, which counts from ``directory``, or from the working directory if that is empty."""
        self.name = path
        with _Opened(path, resolve_path(path, directory)) as (descriptor, status):
            self.size = status.st_size
            self._descriptor: _Descriptor | None = _Descriptor(os.dup(descriptor))
            if hasattr(os, "O_NONBLOCK"):
                # A file system may obey the flag of os.open, and refuse reads that would wait.
                os.set_blocking(descriptor, True)

    def read(self, offset: int, size: int) -> memoryview:
        """Return ``size`` read-only bytes at ``offset``, in new memory; LimitError if that is short."""
        self._open_descriptor()
        check_bounds(self, offset, size)
        out = new_buffer(size, "bytes of memory", self.name)
        self.read_into(offset, out)
        return out.toreadonly()

    def read_into(self, offset: int, out: memoryview) -> None:
        """Read ``out.nbytes`` bytes at ``offset`` into ``out``; NotReadableError if the disk fails."""
        descriptor = self._open_descriptor()
        check_bounds(self, offset, out.nbytes)
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
        """Have the system read these bytes ahead, if it supports that."""
        descriptor = self._descriptor
        stop = min(offset + size, self.size)
        if descriptor is not None and hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                for step in range(max(0, offset), stop, _AHEAD_AT_ONCE):
                    length = min(_AHEAD_AT_ONCE, stop - step)
                    os.posix_fadvise(descriptor.number, step, length, os.POSIX_FADV_WILLNEED)

    def release(self, offset: int, size: int) -> None:
        """Do nothing: nothing is kept here, and what the system keeps serves other processes too."""

    def close(self) -> None:
        """Close the descriptor, or let the last running read close it."""
        self._descriptor = None

    def __repr__(self) -> str:
        return f"<DescriptorFile {self.name!r} {self.size} bytes>"


@contextmanager
def borrowed_descriptor(file: RandomAccessFile) -> Iterator[int | None]:
    """Lend a descriptor of a local file for the length of a ``with`` block, so that the kernel can copy.

    None if the file is not a local one, was read into memory, is closed, or has lost its path to another.
    """
    if isinstance(file, DescriptorFile):
        held = file._descriptor  # until the block ends, whoever closes the file meanwhile
        yield None if held is None else held.number
        return
    descriptor = file.reopened() if isinstance(file, MappedFile) else None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
