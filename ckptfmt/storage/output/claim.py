"""Claims: files that exist while a program is at work on something that only one may change at a time."""

from __future__ import annotations

import errno
import os
import stat
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress

from ckptfmt.errors import NotWritableError
from ckptfmt.storage.target import not_writable
from ckptfmt.storage.temporary import disown, lock_or_raise, own

_MOST_NOTED = 1 << 16
"""Bytes of the longest note that is read from a file that a program left."""

_PAUSES = (0.01, 0.02, 0.04, 0.08)
"""Seconds to wait for another program before it counts as the owner: one that only cleans up is quick."""

_MOST_ATTEMPTS = 100
"""Attempts to lock a file that others create and remove meanwhile."""

_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Not what a link leads to, because the file is written to; and a pipe of that name would block."""


class LocalClaim:
    """A file that says that a program is at work, and that exists only as long: one program has it at a time.

    It is locked like a temporary file (:mod:`ckptfmt.storage.temporary`), so that one that a killed program
    left is recognised, and taken over with what the program noted in it. On a file system without locks, its
    existence is the claim, and what a killed program left has to be removed by hand.

    Raises NotWritableError if another program has it, or the system refuses to create it.
    """

    def __init__(self, path: str, name: str, *, wait: bool = True) -> None:
        self._name = name
        self._process = os.getpid()
        try:
            # Absolute, so that it is found again after a change of the working directory.
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            self._descriptor = _take(path, _PAUSES if wait else ())
        except (OSError, ValueError) as error:
            raise not_writable(name, error) from error
        own(path)
        self._path = path
        self._remains = weakref.finalize(self, _remove, path, self._descriptor, self._process)
        _claims.add(self)
        try:
            self.noted = os.read(self._descriptor, _MOST_NOTED)
            """What a killed program noted; empty if there was none."""
        except OSError as error:
            self.leave()
            raise not_writable(name, error) from error

    def note(self, data: bytes, *, sync: bool = True) -> None:
        """Keep some bytes for whoever takes over if this program is killed; NotWritableError if refused."""
        if os.getpid() != self._process:
            raise NotWritableError(self._name, "this process is a fork of the one that writes it")
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            if os.write(self._descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            raise not_writable(self._name, error) from error

    def append(self, data: bytes) -> None:
        """Keep some bytes after those that are kept; raises what :meth:`note` does."""
        if os.getpid() != self._process:
            raise NotWritableError(self._name, "this process is a fork of the one that writes it")
        try:
            os.lseek(self._descriptor, 0, os.SEEK_END)
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise not_writable(self._name, error) from error

    def read(self, limit: int) -> bytes | None:
        """Return all that is kept, None if it is more than ``limit`` bytes; NotWritableError if refused."""
        try:
            if os.fstat(self._descriptor).st_size > limit:
                return None
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            pieces = []
            while piece := os.read(self._descriptor, 1 << 20):
                pieces.append(piece)
            return b"".join(pieces)
        except OSError as error:
            raise not_writable(self._name, error) from error

    def release(self) -> None:
        """Remove the file, and let others have it."""
        self._remains()

    def leave(self) -> None:
        """Let others have the file, and find in it what was noted, as if this program had been killed."""
        if self._remains.detach() is not None:
            disown(self._path)
            os.close(self._descriptor)


_claims: weakref.WeakSet[LocalClaim] = weakref.WeakSet()


def _disown() -> None:
    """Close the claims of the parent in a forked process, which would hold their locks as long as it runs."""
    for claim in list(_claims):
        claim.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)


def _take(path: str, pauses: Sequence[float]) -> int:
    """Return a locked descriptor of a file that exists; BlockingIOError if another program has it."""
    for pause in pauses:
        try:
            return _take_now(path)
        except BlockingIOError:
            time.sleep(pause)
    return _take_now(path)


def _take_now(path: str) -> int:
    for attempt in range(_MOST_ATTEMPTS):
        try:
            descriptor, is_new = _open(path)
        except FileNotFoundError:
            # Its owner may have removed it between the two attempts to open it.
            if attempt == _MOST_ATTEMPTS - 1 or not os.path.isdir(os.path.dirname(path)):
                raise
            continue
        try:
            if _is_taken(descriptor, path, is_new=is_new):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise BlockingIOError(errno.EAGAIN, "other programs are writing it")


def _open(path: str) -> tuple[int, bool]:
    """Return a descriptor of a file, and whether it is new."""
    try:
        return os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:
        return os.open(path, _OPEN), False


def _is_taken(descriptor: int, path: str, *, is_new: bool) -> bool:
    """Lock a file; return False if its last owner has removed it. Raises BlockingIOError, OSError."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        # Under its other name, the file may be anything.
        raise OSError(errno.EEXIST, "not a regular file, or one with several names")
    if not lock_or_raise(descriptor) and not is_new:
        what = "another program is writing it, or was killed: remove this file if no program is"
        raise BlockingIOError(errno.EAGAIN, what)
    with suppress(FileNotFoundError):
        return os.fstat(descriptor).st_nlink > 0 and os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False


def _remove(path: str, descriptor: int, process: int) -> None:
    """Remove a claim, then end the lock on it, so that nobody takes it in between.

    A forked process only closes its descriptor: the claim still belongs to the parent.
    """
    disown(path)
    if os.name == "nt":
        os.close(descriptor)  # Windows removes no file that is open
    with suppress(OSError):
        if os.getpid() == process:
            os.unlink(path)
    if os.name != "nt":
        os.close(descriptor)
