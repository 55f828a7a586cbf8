"""Claims: files that exist while a program is at work on something that only one may change at a time."""

from __future__ import annotations

import os
import weakref

from ckptfmt.errors import NotWritableError
from ckptfmt.storage.output.names import remove_temporary
from ckptfmt.storage.target import not_writable
from ckptfmt.storage.temporary import lock_or_raise

_MOST_NOTED = 1 << 16
"""Bytes of the longest note that is read from a file that a program left."""


class LocalClaim:
    """A file that says that a program is at work, and that exists only as long: one program has it at a time.

    It is locked like a temporary file (:mod:`ckptfmt.storage.temporary`), so that one that a killed program
    left is recognised, and taken over with what the program noted in it.

    Raises NotWritableError if another program has it, or the system refuses to create it.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self.noted = b""
        """What a killed program noted; empty if there was none."""
        try:
            self._descriptor = _take(path)
        except BlockingIOError as error:
            raise NotWritableError(name, "another program is writing it") from error
        except (OSError, ValueError) as error:
            raise not_writable(name, error) from error
        self.noted = os.pread(self._descriptor, _MOST_NOTED, 0)
        self._remains = weakref.finalize(self, remove_temporary, path, self._descriptor, os.getpid())

    def note(self, data: bytes) -> None:
        """Keep some bytes for whoever takes over if this program is killed; NotWritableError if refused."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, data, 0)
            os.fsync(self._descriptor)
        except OSError as error:
            raise not_writable(self._path, error) from error

    def release(self) -> None:
        """Remove the file, and let others have it."""
        self._remains()


def _take(path: str) -> int:
    """Return a locked descriptor of a file that exists; BlockingIOError if another process has the lock."""
    while True:
        # Not what a link leads to: the file is written to, and then removed.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o666)
        try:
            lock_or_raise(descriptor)
            if os.fstat(descriptor).st_nlink and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # its last owner removed it before it was locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
