"""The file system of this machine: paths, directories, and files in the form that a backend names."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ckptfmt.errors import NotReadableError
from ckptfmt.storage import output
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import FileStatus, Filesystem, Listing, PathType, natural_order
from ckptfmt.storage.foreign_paths import check_is_local, check_is_writable, without_file_scheme
from ckptfmt.storage.local_file import (
    DescriptorFile,
    MappedFile,
    NotMappableError,
    resolve_path,
    working_directory,
)
from ckptfmt.storage.target import target_kind
from ckptfmt.storage.temporary import sweep_now

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}
"""Errors for a path at which nothing exists: it is missing, leads through a file, has too long a name, or has
characters that the file system does not allow (``?`` on Windows)."""


def _open_mapped(path: str, directory: str) -> RandomAccessFile:
    """Map a file, or open it to be read if it cannot be mapped: reading then takes memory, but works."""
    try:
        return MappedFile(path, directory)
    except NotMappableError:
        return DescriptorFile(path, directory)


BACKENDS: Mapping[str, Callable[[str, str], RandomAccessFile]] = {
    "mmap": _open_mapped,
    "pread": DescriptorFile,
}
"""Name that users choose -> what opens a local file."""


@dataclass(frozen=True, slots=True)
class LocalFilesystem:
    """The file system of this machine: a :class:`~ckptfmt.storage.filesystem.Filesystem`."""

    backend: str = "mmap"
    """How files are read, a key of :data:`BACKENDS`."""
    directory: str = ""
    """What relative paths count from; if empty, the working directory at the time of each call. Errors name
    paths as they were given."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"backend: got {self.backend!r}, want {' or '.join(map(repr, BACKENDS))}")

    def anchored(self) -> LocalFilesystem:
        """Return this file system with the present working directory as its directory, unless it has one."""
        return self if self.directory else LocalFilesystem(self.backend, working_directory())

    def path_type(self, path: str) -> PathType | None:
        """Return what is at a path, following links; None if nothing is.

        Raises NotReadableError if the system refuses to tell, PathNotFoundError if the path is remote.
        """
        full_path = resolve_path(path, self.directory)
        try:
            mode = os.stat(full_path).st_mode
        except ValueError:
            return None  # the path holds a NUL
        except OSError as error:
            if error.errno in _MISSING:
                check_is_local(path, full_path)
                return None
            raise NotReadableError(path, error.strerror or str(error)) from error
        return "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"

    def status(self, path: str) -> FileStatus | None:
        """Return what tells a file from its successors; None if it is missing or the system refuses."""
        try:
            status = os.stat(resolve_path(path, self.directory))
        except (OSError, ValueError):
            return None
        return FileStatus((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)

    def link_target(self, path: str) -> str | None:
        """Return the absolute path at the end of a chain of links; None if the path is not a link."""
        full_path = resolve_path(path, self.directory)
        return os.path.realpath(full_path) if os.path.islink(full_path) else None

    def list_directory(self, directory: str) -> Listing:
        """Return what is in a directory; an empty listing if it does not exist.

        Raises NotReadableError if the system refuses to list it, PathNotFoundError if the path is remote.
        """
        directory = directory or os.curdir
        full_path = resolve_path(directory, self.directory)
        files: list[str] = []
        directories: list[str] = []
        try:
            with os.scandir(full_path) as entries:
                for entry in entries:
                    names = _names_of_kind(entry, files, directories)
                    if names is not None:
                        names.append(entry.name)
        except ValueError:
            return Listing([], [])  # the path holds a NUL
        except OSError as error:
            if error.errno in _MISSING:
                check_is_local(directory, full_path)
                return Listing([], [])
            raise NotReadableError(directory, error.strerror or str(error)) from error
        return Listing(sorted(files, key=natural_order), sorted(directories, key=natural_order))

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match a pattern, in natural order; ``**`` means directories at any depth."""
        local_pattern = without_file_scheme(pattern)
        paths = glob.glob(local_pattern, recursive=True, root_dir=self.directory or None)
        if not paths:
            check_is_local(pattern, resolve_path(pattern, self.directory))
        scheme = pattern[: len(pattern) - len(local_pattern)]
        matches = (scheme + path for path in paths if self.path_type(path) != "directory")
        return sorted(matches, key=natural_order)

    def open(self, path: str, *, changing: bool = False) -> RandomAccessFile:
        """Open a file to read.

        Raises PathNotFoundError if it does not exist, NotReadableError if the system refuses.
        """
        # Whoever changes a file may cut it short, which a mapping does not survive.
        return BACKENDS["pread" if changing else self.backend](path, self.directory)

    def create(
        self,
        path: str,
        *,
        overwrite: bool = False,
        tempstate: bool = False,
        sync: bool = True,
        like: str | None = None,
    ) -> output.OutputFile:
        """Begin a new file, or a new version of one; see :class:`~ckptfmt.storage.output.OutputFile`."""
        return output.OutputFile(
            self._writable(path),
            overwrite=overwrite,
            name=path,
            tempstate=tempstate,
            sync=sync,
            like=None if like is None else resolve_path(like, self.directory),
        )

    def create_partial(self, path: str, key: str, *, overwrite: bool = False) -> output.NewFile:
        """Begin a file that is kept until it is whole, or go on with it.

        See :class:`~ckptfmt.storage.output.partial.PartialFile`. Devices and pipes, which keep nothing, are
        written as by :meth:`create`.
        """
        full_path = self._writable(path)
        if target_kind(full_path) == "special":
            return self.create(path, overwrite=overwrite)
        return output.PartialFile(full_path, key, overwrite=overwrite, name=path)

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it, if they do not exist; NotWritableError if refused."""
        output.make_directory(self._writable(path))

    def remove(self, path: str) -> None:
        """Remove a file, if it exists; NotWritableError if refused."""
        output.remove_file(self._writable(path))

    def claim(self, path: str, *, wait: bool = True) -> output.LocalClaim:
        """Take a path that one program at a time may have; NotWritableError if another one has it."""
        full_path = self._writable(path)
        was_left = os.path.lexists(full_path)
        claim = output.LocalClaim(full_path, path, wait=wait)
        if was_left:
            # Whoever had it was killed, and may have left files that are not finished.
            sweep_now(os.path.dirname(os.path.abspath(full_path)))
        return claim

    def _writable(self, path: str) -> str:
        full_path = resolve_path(path, self.directory)
        check_is_writable(path, full_path)
        return full_path


def absolute_path(path: str, fs: Filesystem) -> str:
    """Return a path that does not depend on the working directory; in another file system, as it is."""
    return os.path.abspath(resolve_path(path, fs.directory)) if isinstance(fs, LocalFilesystem) else path


def real_path(path: str, fs: LocalFilesystem) -> str:
    """Return the absolute path that a path leads to, all links followed."""
    return os.path.realpath(resolve_path(path, fs.directory))


LOCAL = LocalFilesystem()
"""The file system of this machine; files are mapped."""


# A program opens many files from one directory.
@lru_cache(maxsize=16)
def _anchored(backend: str, directory: str) -> LocalFilesystem:
    return LocalFilesystem(backend, directory)


def _names_of_kind(entry: os.DirEntry[str], files: list[str], directories: list[str]) -> list[str] | None:
    """Return the list that an entry of a directory belongs to; None for pipes, devices and broken links."""
    try:
        return files if entry.is_file() else directories if entry.is_dir() else None
    except OSError:
        return None  # a link that leads back to itself


def filesystem_of(backend: str = "mmap", fs: Filesystem | None = None) -> Filesystem:
    """Return the file system that an opener reads from: the one given, else this machine's.

    It is anchored, so that files found now can be opened after a change of the working directory.

    Raises
    ------
    ValueError
        There is no such backend, or one was given together with a file system, which has its own.
    """
    if fs is None:
        return _anchored(backend, working_directory())
    if backend != "mmap":
        raise ValueError(f"backend: got {backend!r} and a file system, want only one of them")
    return fs


def writing_filesystem(fs: Filesystem | None) -> Filesystem:
    """Return the file system that files are written to: the one given, else this machine's.

    It is anchored, so that a program may change its working directory before the files are whole.
    """
    fs = filesystem_of(fs=fs)
    return fs.anchored() if isinstance(fs, LocalFilesystem) else fs
