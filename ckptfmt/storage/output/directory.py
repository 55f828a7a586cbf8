"""Directories to write, which appear under their names when they are whole.

A directory is filled under a temporary name beside its target, ``.ckptfmt-HEX.tmp``, locked as temporary
files are (:mod:`ckptfmt.storage.temporary`), and renamed at the end. So whenever the process is killed, the
name leads to nothing, to the old directory or to the whole new one, and the next writer removes what is left.

Replacing a directory exchanges the two names in one step (``renameat2`` on Linux, ``renamex_np`` on macOS).
Systems that cannot do this move the old directory to ``.ckptfmt-HEX.old`` first. If the process is killed
right then, the old directory is whole under that name, which no writer removes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing
from types import TracebackType
from typing import Protocol

from ckptfmt.errors import AlreadyExistsError, CkptfmtError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem, walk
from ckptfmt.storage.foreign_paths import check_is_writable
from ckptfmt.storage.local import LOCAL, LocalFilesystem
from ckptfmt.storage.local_file import resolve_path
from ckptfmt.storage.output.local_output import OutputFile
from ckptfmt.storage.output.names import (
    CAN_SYNC_ALL,
    CREATE,
    WRITE,
    copy_mode,
    sync_directory,
    sync_filesystem,
)
from ckptfmt.storage.output.output import Data, Output
from ckptfmt.storage.output.transaction import Transaction
from ckptfmt.storage.target import not_writable
from ckptfmt.storage.temporary import lock, remove_tree, sweep, temporary_name

_CANNOT_LINK = {
    *(errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
    *(errno.EMLINK, errno.EXDEV),
}
"""Errors of ``link`` for files that have to be copied: on another device, or without hard links."""

_CANNOT_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
"""Errors of file systems that cannot exchange two names."""


class OutputDirectory(Protocol):
    """A directory being written; a context manager that commits it, or discards it after an exception."""

    @property
    def fs(self) -> Filesystem:
        """The file system that :meth:`path` is in."""

    def path(self, name: str) -> str:
        """Return where the file of this name, a path in the directory, is until the directory is whole.

        The directory that it is in exists.
        """

    def create(self, name: str, *, sync: bool = True) -> Output:
        """Begin the file of this name; raises what :meth:`Filesystem.create` does.

        Without ``sync``, it outlasts a power cut as soon as the directory has its name: for many small files,
        which the system then writes together.
        """

    def write(self, name: str, parts: Iterable[Data]) -> None:
        """Write a file at once, as :meth:`create` without ``sync``: for very many small files.

        Raises NotWritableError.
        """

    def take(self, fs: Filesystem, path: str, name: str, *, link: bool = True) -> None:
        """Take a file of a file system over, unchanged.

        With ``link``, local files become hard links, if the system can link them; else they are copied, by
        the system if it can.

        Raises NotWritableError, and the errors of :meth:`Filesystem.open`.
        """

    def make_directory(self, name: str) -> None:
        """Make a directory in it, unless it exists."""

    def __enter__(self) -> OutputDirectory: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def create_directory(
    fs: Filesystem, path: str, *, overwrite: bool = False, check: Callable[[], None] = lambda: None
) -> OutputDirectory:
    """Begin a directory, or a new version of one.

    Parameters
    ----------
    fs, path
        Its file system, and its path there. A symbolic link is written through. An empty directory counts as
        missing.
    overwrite
        Whether a directory that is not empty may be replaced, with all that is in it.
    check
        Called before one is replaced, at the beginning and at the end; raises if it must not be.

    Raises
    ------
    AlreadyExistsError
        The directory exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses, or the path leads to a file.
    """
    if isinstance(fs, LocalFilesystem):
        return LocalDirectory(fs, path, overwrite=overwrite, check=check)
    return _PlainDirectory(fs, path, overwrite=overwrite, check=check)


class LocalDirectory(Transaction):
    """A directory on this machine, filled under a temporary name."""

    _rewrites = False
    """Whether a file in it may be begun again."""
    _is_synced = True
    """Whether all files in it were synced one by one."""

    def __init__(self, fs: LocalFilesystem, path: str, *, overwrite: bool, check: Callable[[], None]) -> None:
        self._name = path
        self._overwrite = overwrite
        self._check = check
        full_path = resolve_path(path, fs.directory)
        check_is_writable(path, full_path)
        try:
            self._target = os.path.realpath(full_path)
            self._refuse_existing()
            parent = os.path.dirname(self._target)
            os.makedirs(parent, exist_ok=True)
            sweep(parent)
            self._temporary = self._begin(parent)
        except CkptfmtError:
            raise  # a check refuses, or an existing directory is not to be replaced
        except (OSError, ValueError) as error:
            raise not_writable(self._name, error) from error
        self._made = {""}

    def _begin(self, parent: str) -> str:
        """Make the directory under its temporary name, and return that."""
        path, held = _make_temporary(parent)
        self._remains = weakref.finalize(self, _remove, path, held, os.getpid())
        return path

    def _refuse_existing(self) -> None:
        """Raise if something is at the target that must not be replaced."""
        if not os.path.lexists(self._target):
            return
        if not os.path.isdir(self._target):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if os.listdir(self._target):
            if not self._overwrite:
                raise AlreadyExistsError(self._name)
            self._check()

    @property
    def fs(self) -> Filesystem:
        """The file system of this machine."""
        return LOCAL

    def path(self, name: str) -> str:
        """Return where a file is until the directory is whole."""
        self.make_directory(os.path.dirname(name))
        return os.path.join(self._temporary, name)

    def create(self, name: str, *, sync: bool = True) -> OutputFile:
        """Begin a file."""
        sync = sync or not CAN_SYNC_ALL
        self._is_synced = self._is_synced and sync
        return OutputFile(
            self.path(name), name=os.path.join(self._name, name), overwrite=self._rewrites, sync=sync
        )

    def write(self, name: str, parts: Iterable[Data]) -> None:
        """Write a file at once."""
        # Under its own name: until it is whole, the directory has a temporary one. That takes a quarter of
        # the time of a file that gets its name later.
        self._is_synced = self._is_synced and not CAN_SYNC_ALL
        try:
            descriptor = os.open(self.path(name), WRITE if self._rewrites else CREATE, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                if not CAN_SYNC_ALL:
                    file.flush()
                    os.fsync(file.fileno())
        except (OSError, ValueError) as error:
            raise not_writable(os.path.join(self._name, name), error) from error

    def make_directory(self, name: str) -> None:
        """Make a directory in it, unless it exists."""
        if name in self._made:
            return
        try:
            os.makedirs(os.path.join(self._temporary, name), exist_ok=True)
        except (OSError, ValueError) as error:
            raise not_writable(os.path.join(self._name, name), error) from error
        while name not in self._made:
            self._made.add(name)
            name = os.path.dirname(name)

    def take(self, fs: Filesystem, path: str, name: str, *, link: bool = True) -> None:
        """Take a file over, unchanged; see :class:`OutputDirectory`."""
        target = self.path(name)
        if not isinstance(fs, LocalFilesystem):
            _stream(fs, path, self.create(name))
            return
        # What a link leads to: the name that it leads to may be given to another file later.
        source = os.path.realpath(resolve_path(path, fs.directory))
        try:
            if not (link and _link(source, target)):
                with closing(fs.open(path)) as file:
                    _copy(file, source, target)
        except CkptfmtError:
            raise
        except (OSError, ValueError) as error:
            raise not_writable(os.path.join(self._name, name), error) from error

    def commit(self) -> None:
        """Give the directory its name."""
        try:
            self._commit()
        except CkptfmtError:
            raise  # a check refuses, or an existing directory is not to be replaced
        except (OSError, ValueError) as error:
            raise not_writable(self._name, error) from error
        finally:
            self.discard()

    def _commit(self) -> None:
        self._sync()
        self._refuse_existing()
        if os.path.isdir(self._target):
            copy_mode(self._target, self._temporary)
        self._rename()
        sync_directory(self._target)

    def _sync(self) -> None:
        """Sync the files that were not synced, and the names of all."""
        if not self._is_synced:
            sync_filesystem(self._temporary)
            self._is_synced = True
            return
        for name in self._made:
            sync_directory(os.path.join(self._temporary, name, os.curdir))

    def _rename(self) -> None:
        if not os.path.isdir(self._target) or not os.listdir(self._target):
            if os.name == "nt" and os.path.isdir(self._target):
                os.rmdir(self._target)
            try:
                os.rename(self._temporary, self._target)  # replaces an empty directory only
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise AlreadyExistsError(self._name) from error
                raise
        elif not _exchange(self._temporary, self._target):
            old = self._temporary.removesuffix(".tmp") + ".old"
            os.rename(self._target, old)
            try:
                os.rename(self._temporary, self._target)
            except OSError:
                os.rename(old, self._target)
                raise
            remove_tree(old)

    def discard(self) -> None:
        """Remove what is under the temporary name: the new directory, or the old one after an exchange."""
        self._remains()


class _PlainDirectory:
    """A directory in a file system that has no directories to rename: each file appears by itself.

    Callers write the file that makes the directory what it is last.
    """

    def __init__(self, fs: Filesystem, path: str, *, overwrite: bool, check: Callable[[], None]) -> None:
        self.fs = fs
        self._path = path
        self._overwrite = overwrite
        listing = fs.list_directory(path)
        if fs.path_type(path) == "file" or listing.files or listing.directories:
            if not overwrite:
                raise AlreadyExistsError(path)
            check()
            # What is there must not be taken for part of the new directory.
            for folder, each in list(walk(fs, path)):
                for name in each.files:
                    fs.remove(os.path.join(folder, name))

    def path(self, name: str) -> str:
        return os.path.join(self._path, name)

    def create(self, name: str, *, sync: bool = True) -> Output:
        return self.fs.create(self.path(name), overwrite=self._overwrite, sync=sync)

    def write(self, name: str, parts: Iterable[Data]) -> None:
        with self.create(name, sync=False) as output:
            output.write_all(parts)

    def make_directory(self, name: str) -> None:
        """Do nothing: a directory exists if a file is in it."""

    def take(self, fs: Filesystem, path: str, name: str, *, link: bool = True) -> None:
        _stream(fs, path, self.create(name))

    def __enter__(self) -> _PlainDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: each file was committed or discarded by itself."""


def _make_temporary(parent: str) -> tuple[str, int | None]:
    """Make a temporary directory; return its path, and a descriptor that holds the lock on it."""
    while True:
        path = os.path.join(parent, temporary_name())
        os.mkdir(path)
        if sys.platform == "win32":
            return path, None  # directories cannot be opened there; sweep() leaves them alone
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            remove_tree(path)
            raise
        if lock(descriptor):
            return path, descriptor
        # Another process took the directory for a leftover before it was locked, and removes it.
        os.close(descriptor)


def _remove(path: str, held: int | None, process: int) -> None:
    """Remove what is under the temporary name, and end the lock.

    A forked process only closes its descriptor.
    """
    if os.getpid() == process:
        remove_tree(path)
    if held is not None:
        os.close(held)


def _link(source: str, target: str) -> bool:
    """Give a file a second name; return False if it has to be copied instead."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return False
    return True


def _copy(file: RandomAccessFile, source: str, target: str) -> None:
    """Copy a local file, with its permissions."""
    with OutputFile(target) as output:
        output.copy_from(file, 0, file.size)
    copy_mode(source, target)


def _stream(fs: Filesystem, path: str, output: Output) -> None:
    """Copy a file of any file system."""
    with output, closing(fs.open(path)) as file:
        output.copy_from(file, 0, file.size)


def _exchange(one: str, other: str) -> bool:
    """Exchange the names of two directories in one step; return False if the system cannot."""
    if sys.platform == "win32":
        return False
    here = -2 if sys.platform == "darwin" else -100  # AT_FDCWD, unused: both paths are absolute
    name, arguments = (
        ("renamex_np", (os.fsencode(one), os.fsencode(other), 2))  # RENAME_SWAP
        if sys.platform == "darwin"
        else ("renameat2", (here, os.fsencode(one), here, os.fsencode(other), 2))  # RENAME_EXCHANGE
    )
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        return False
    if function(*arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number not in _CANNOT_EXCHANGE:
        raise OSError(number, os.strerror(number))
    return False
