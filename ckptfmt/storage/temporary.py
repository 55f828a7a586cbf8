"""Temporary files: where a writer keeps a file until it is whole, and what killed writers have left.

A temporary file is ``.ckptfmt-HEX.tmp``, in the directory of the file that it becomes. Files of checkpoints
are ``NAME.tempstate0DIGITS`` instead, a name by which everybody knows them: TensorFlow writes its own under
``NAME.tempstateDIGITS``, a random number without a zero in front. Its writer holds a lock on it (``flock``)
until it has been renamed or removed. The system drops the locks of a process that ends, however it ends, so
a temporary file without a lock is a leftover: the next process that writes a file in the directory removes
it, and so does the next writer of the same checkpoint. Windows needs no locks: it lets no one remove a file
that is open.

A temporary directory has such a name too, and its writer holds a lock on the directory itself.

A checkpoint may have thousands of files, and a process may open far fewer. So its writer keeps no lock on
those that are whole: they are its own as long as it has the claim on their prefix, ``PREFIX.tempstate0``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from functools import lru_cache

if sys.platform == "win32":
    import msvcrt
else:
    from fcntl import LOCK_EX, LOCK_NB, flock

_NAME = re.compile(r"\.ckptfmt-[0-9a-f]{16}\.tmp|.+\.tempstate0\d{20}", re.DOTALL)

_CLAIMED = re.compile(r"(.*)(?:\.index|\.data-\d{5,}-of-\d{5,})(\.tempstate0)\d{20}", re.DOTALL)
"""The temporary file of a checkpoint: the path of the claim on its prefix consists of the two groups."""

_mine: set[str] = set()
"""The temporary files and claims of this process."""

_OWNED = "another program is writing it"

_LOCKED = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
"""Errors of ``flock`` on a locked file. Network file systems that use other locks for it say EACCES."""

_LOCKED_BYTE = 1 << 30


def temporary_name() -> str:
    """Return the name for a temporary file.

    It is not made from the final one, which might make it longer than the system allows.
    """
    return f".ckptfmt-{os.urandom(8).hex()}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a name is that of a temporary file or directory."""
    return _NAME.fullmatch(name) is not None


def tempstate_name(name: str) -> str:
    """Return the name for the temporary file of a checkpoint's file."""
    return f"{name}.tempstate0{int.from_bytes(os.urandom(8), 'little'):020d}"


def lock(descriptor: int) -> bool:
    """Lock a temporary file that was just created; return False if another process is removing it.

    Without locks on the file system nobody takes it for a leftover.
    """
    if sys.platform != "win32":
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return os.fstat(descriptor).st_nlink > 0


def lock_or_raise(descriptor: int) -> bool:
    """Lock a file, and return whether the file system has locks; BlockingIOError if another has locked it."""
    if sys.platform == "win32":
        # A byte beyond the content, because Windows lets nobody else read a byte that is locked.
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(errno.EAGAIN, _OWNED) from error
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError as error:
        if error.errno in _LOCKED:
            raise BlockingIOError(errno.EAGAIN, _OWNED) from error
        return False
    return True


def own(path: str) -> None:
    """Note that a temporary file or a claim is that of this process."""
    _mine.add(os.path.realpath(path))


def disown(path: str) -> None:
    """Note that a temporary file or a claim is gone."""
    _mine.discard(os.path.realpath(path))


class Held:
    """A second descriptor of a temporary file, which holds the lock when the first is closed."""

    def __init__(self, descriptor: int) -> None:
        """Duplicate a descriptor, except on Windows, which needs no locks."""
        self._descriptors = [] if sys.platform == "win32" else [os.dup(descriptor)]

    def end(self) -> None:
        """Close the descriptor, which ends the lock."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def has_claim(path: str) -> bool:
    """Return whether this process has the claim on the prefix of a checkpoint's temporary file."""
    match = _CLAIMED.fullmatch(path)
    return match is not None and os.path.realpath(match[1] + match[2]) in _mine


@lru_cache(maxsize=256)
def sweep(directory: str) -> None:
    """Remove leftovers as :func:`sweep_now`, once for each directory in a process.

    So writing many files into one directory does not list it many times.
    """
    sweep_now(directory)


def sweep_now(directory: str) -> None:
    """Remove the temporary files of writers that were killed; what the system refuses stays."""
    with suppress(OSError):
        for name in os.listdir(directory):
            if is_temporary(name):
                _remove_leftover(os.path.join(directory, name))


def _remove_leftover(path: str) -> None:
    """Remove a temporary file or directory unless its writer still runs, or the file system cannot tell."""
    with suppress(OSError):
        if os.path.realpath(path) in _mine or _is_claimed_by_another(path):
            return
        if sys.platform == "win32":
            os.unlink(path)  # which refuses directories: files in them may be in use, but not open
            return
        # Not what a link leads to; and a pipe of that name would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                remove_tree(path)
            else:
                os.unlink(path)
        finally:
            os.close(descriptor)


def _is_claimed_by_another(path: str) -> bool:
    """Return whether another process has the claim on the prefix of a checkpoint's temporary file."""
    match = _CLAIMED.fullmatch(path)
    # With the claim, this process knows its own files, so that this one was left by a killed writer.
    if match is None or sys.platform == "win32" or has_claim(path):
        return False
    try:
        descriptor = os.open(match[1] + match[2], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, but not what links in it lead to; what is refused stays."""
    import shutil  # which takes longer to import than all of this module, and few programs need it

    shutil.rmtree(path, ignore_errors=True)
