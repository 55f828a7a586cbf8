"""Targets: what a path to write to leads to, through links, and whether it may be written.

::

    file        a regular file, or a name that is free: what a link leads to, not the link
    special     a device, a pipe or an open descriptor of this process, such as ``/dev/stdout``
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Literal, TypeAlias

from ckptfmt.errors import AlreadyExistsError, NotWritableError

TargetKind: TypeAlias = Literal["file", "special", "dangling"]
"""A regular file; a device, a pipe or an open descriptor; a link that leads nowhere."""

# Nine digits at most: a longer number is no descriptor, and os.dup() refuses it with OverflowError.
_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr)|(?:/dev|/proc/self)/fd/(\d{1,9})")
"""Paths of this process's open descriptors."""

_DESCRIPTORS = "/proc/self/fd"
"""The directory of them that ``/dev/fd`` and ``/dev/stdout`` lead to on Linux."""

_MOST_LINKS = 40
"""Links that Linux follows in one path before it gives up."""


def check_target(path: str, *, overwrite: bool) -> None:
    """Raise what an output at a path would, before any work is done for a file that cannot be written.

    Raises AlreadyExistsError if the file exists and ``overwrite`` is not given, NotWritableError if it is a
    directory, or there is no directory for it.
    """
    try:
        target = find_target(path, path, overwrite=overwrite)
        if target is not None and not os.path.isdir(os.path.dirname(target)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    except AlreadyExistsError:
        raise
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error


def target_kind(path: str) -> TargetKind | None:
    """Return what an output at a path would find there; None if nothing exists.

    Raises NotWritableError if it is a directory, or the system refuses to tell.
    """
    try:
        target = find_target(path, path, overwrite=True)
        if target is None:
            return "special"
        if os.path.exists(target):
            return "file"
        return "dangling" if os.path.islink(path) else None
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error


def find_target(path: str, name: str, *, overwrite: bool) -> str | None:
    """Return the file that a path leads to, None if it leads to a device, a pipe or an open descriptor.

    Raises AlreadyExistsError, or OSError and ValueError as the system does.
    """
    if descriptor_of(path) is not None:
        return None
    mode = _mode_of(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if mode is not None and not stat.S_ISREG(mode):
        return None
    if os.path.basename(path) in ("", os.curdir, os.pardir):
        # realpath() would turn the path of a missing directory into the path of a file.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not overwrite and os.path.lexists(path):
        raise AlreadyExistsError(name)
    return os.path.realpath(path)


def find_own_target(path: str, name: str, *, overwrite: bool) -> str:
    """Return the path of a file that is replaced as itself: a link, and not what that leads to.

    Raises AlreadyExistsError, or OSError and ValueError as the system does.
    """
    directory, basename = os.path.split(path)
    if basename in ("", os.curdir, os.pardir):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not overwrite:
            raise AlreadyExistsError(name)
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise FileExistsError(errno.EEXIST, "not a regular file")
    return os.path.join(os.path.realpath(directory), basename)


def _mode_of(path: str) -> int | None:
    """Return the type and permissions of what a path leads to, None if nothing exists there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def descriptor_of(path: str) -> int | None:
    """Return the number of the open descriptor that a path leads to, None if it does not lead to one.

    Links are followed one at a time, because the path of a descriptor is itself a link: resolved at once,
    the standard output of ``> out.txt`` would be an ordinary file, to be refused or replaced.
    """
    for _ in range(_MOST_LINKS):
        if (number := _descriptor_number(path)) is not None:
            return number
        try:
            directory = os.path.realpath(os.path.dirname(path))
            if directory == os.path.realpath(_DESCRIPTORS):  # which holds the number of this process
                directory = _DESCRIPTORS
            path = os.path.join(directory, os.path.basename(path))
            if (number := _descriptor_number(path)) is not None:
                return number
            path = os.path.join(directory, os.readlink(path))
        except (OSError, ValueError):
            return None  # missing, not a link, or a path that holds a NUL
    return None


def _descriptor_number(path: str) -> int | None:
    """Return the number of the open descriptor that a path names, None if it names none."""
    if (match := _DESCRIPTOR.fullmatch(path)) is None:
        return None
    return {"stdout": 1, "stderr": 2}[match[1]] if match[1] else int(match[2])


def not_writable(name: str, error: OSError | ValueError) -> NotWritableError:
    """Return the error for a file that the system refuses to write."""
    return NotWritableError(name, getattr(error, "strerror", None) or str(error))
