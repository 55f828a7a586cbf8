"""Names of files: how a file gets one, changes it and loses it."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from contextlib import suppress

from ckptfmt.storage.target import not_writable
from ckptfmt.storage.temporary import Held, disown, lock, own, sweep, temporary_name, tempstate_name

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
"""How a file is opened that must not exist."""

WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
"""How one is opened that may."""

_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of ``link`` on file systems without hard links (FAT, some network ones)."""


_FAILURES = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors after which a name may not be on the disk, though the file system could have brought it there."""


def make_directory(path: str) -> None:
    """Make a directory and those above it, if they do not exist; NotWritableError if the system refuses."""
    try:
        missing: list[str] = []
        each = path
        while each and not os.path.isdir(each) and each not in missing[-1:]:
            missing.append(each)
            each = os.path.dirname(each)  # a drive that does not exist is its own parent
        for each in reversed(missing):
            os.makedirs(each, exist_ok=True)
            sync_directory(each)  # a file outlasts a power cut only together with the directories it is in
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error


def remove_file(path: str) -> None:
    """Remove a file if it exists, not what a link leads to; NotWritableError if the system refuses."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error


def create_temporary(directory: str, named_after: str = "") -> tuple[str, int, Held]:
    """Create a temporary file; return its path, a descriptor to write to, and one that holds the lock.

    It is named after a file if one is given, unless that makes the name longer than the system allows.
    """
    sweep(os.path.abspath(directory))
    path = os.path.join(directory, tempstate_name(named_after) if named_after else temporary_name())
    while True:
        try:
            descriptor = os.open(path, CREATE, 0o666)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG or not named_after:
                raise
            named_after = ""
            path = os.path.join(directory, temporary_name())
            continue
        try:
            if lock(descriptor):
                own(path)
                return path, descriptor, Held(descriptor)
        except OSError:
            remove_temporary(path, None, os.getpid())
            os.close(descriptor)
            raise
        # Another process took the file for a leftover before it was locked, and removes it.
        os.close(descriptor)


def copy_mode(source: str, target: str) -> None:
    """Give a file the permissions of another one, if that exists and the file system has permissions."""
    with suppress(OSError):
        os.chmod(target, stat.S_IMODE(os.stat(source).st_mode))


def rename_to_free_name(temporary: str, target: str) -> None:
    """Give a file a name that is not taken; FileExistsError if it is.

    ``rename`` would replace an existing file, and reserving the name first would leave an empty file if the
    process is killed. A hard link takes the name or fails, in one step. If the process is killed right after
    that, the file keeps both names.
    """
    if os.name == "nt":
        os.rename(temporary, target)  # refuses to replace
        return
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Two writers at the same moment may both find the name free here; neither leaves half a file.
        if os.path.lexists(target):
            raise FileExistsError from error
        os.replace(temporary, target)


def sync_directory(path: str) -> None:
    """Sync the directory of a file, which holds its name; not every system can. OSError if the disk fails."""
    try:
        descriptor = os.open(os.path.dirname(path) or os.curdir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _FAILURES:
            raise


CAN_SYNC_ALL = hasattr(os, "sync")
"""Whether :func:`sync_filesystem` works: not on Windows."""


def sync_filesystem(path: str) -> None:
    """Sync all files of the file system that a directory is in: for many small files, less than one by one.

    OSError if the disk fails.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def remove_temporary(path: str, held: Held | None, process: int) -> None:
    """Remove the temporary file of a writer, and end the lock on it.

    A forked process only closes its descriptor: the file still belongs to the parent.
    """
    with suppress(OSError):
        if os.getpid() == process:
            os.unlink(path)
    disown(path)
    if held is not None:
        held.end()
