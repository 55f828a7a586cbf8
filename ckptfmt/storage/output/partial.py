"""Files that stay beside their targets when writing stops, so that a later call can continue them.

::

    NAME.partial            what was written so far
    NAME.partial.journal    which parts of it are whole (:mod:`ckptfmt.storage.output.journal`)

A note goes into the journal after the bytes that it is about have been synced, so a journal never says too
much. Both files stay when a writer is killed or stopped by an error. A later writer with the same key cuts
the file off after the last note and goes on there; one with another key starts over. The journal is locked
like any claim (:mod:`ckptfmt.storage.output.claim`), so that one program at a time writes a target.

The journal outlasts the rename, until :meth:`PartialFile.forget`: a program that writes several files finds
those that have their names already.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import Any

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.output.journal import Journal
from ckptfmt.storage.output.local_output import LocalOutput, unfinished
from ckptfmt.storage.output.names import copy_mode, rename_to_free_name, sync_directory
from ckptfmt.storage.output.output import Data, NewFile
from ckptfmt.storage.output.special import open_null
from ckptfmt.storage.target import find_target, not_writable

PARTIAL = ".partial"
"""End of the name of a file that is not whole."""

JOURNAL = ".partial.journal"
"""End of the name of its journal."""

NOTED_EVERY = 64 << 20
"""Bytes after which notes go into the journal: what a kill may lose. Each time takes two syncs."""

NOTED_AFTER = 5.0
"""Seconds after which they do, for sources that are slow."""

_OPEN = (
    os.O_WRONLY
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Not what a link leads to, and a pipe of that name would block."""


class PartialFile(LocalOutput, NewFile):
    """A file that appears under its name when it is whole, and is kept until then.

    Parameters
    ----------
    path, overwrite, name
        As for :class:`OutputFile`.
    key
        What is being written: a later writer goes on only if this is the same.

    Raises
    ------
    AlreadyExistsError
        The file exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses, or another program is writing the file.
    """

    def __init__(self, path: str, key: str, *, overwrite: bool = False, name: str | None = None) -> None:
        super().__init__(path if name is None else name)
        self._overwrite = overwrite
        self._waiting: list[tuple[int, Any]] = []
        self._noted = 0  # bytes up to the last note in the journal
        self._noted_at = time.monotonic()
        self.is_whole = False
        """Whether an earlier writer has finished the file and given it its name."""
        try:
            target = find_target(path, self.name, overwrite=True)
            if target is None:
                raise OSError(errno.EINVAL, "a device or a pipe cannot be resumed")
            self._target, self._partial = target, target + PARTIAL
            journal = Journal(target + JOURNAL, self.name, key)
        except (OSError, ValueError) as error:
            raise not_writable(self.name, error) from error
        self._journal: Journal | None = journal
        try:
            self.was_begun = not journal.is_new
            """Whether an earlier writer with this key has begun the file."""
            self.was_another = journal.has_other_key
            """Whether what an earlier writer began had another key, and is lost."""
            self._open(journal)
        except BaseException as error:
            if journal.is_new:
                journal.remove()
            else:
                journal.leave()
            if isinstance(error, (OSError, ValueError)) and not isinstance(error, AlreadyExistsError):
                raise not_writable(self.name, error) from error
            raise
        self.notes = [note for _, note in journal.notes]
        """What earlier writers noted, in order; the file continues after the last of these."""
        self.start = self._noted
        """Bytes that earlier writers wrote."""
        unfinished.add(self)

    def _open(self, journal: Journal) -> None:
        """Open the file, cut off after the last note that it holds the bytes of."""
        if journal.is_committed(self._target):
            self.is_whole = True
            self._noted = os.stat(self._target).st_size
            self._file = os.fdopen(open_null(), "wb")
            remove_second_name(self._partial, self._target)
            return
        if not self._overwrite and os.path.lexists(self._target):
            raise AlreadyExistsError(self.name)
        descriptor = os.open(self._partial, _OPEN, 0o666)
        self._file = os.fdopen(descriptor, "wb")
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(errno.EEXIST, f"{PARTIAL}: not a regular file, or one with several names")
            # Before anything is written: if only the owner may read the old file, nobody else may read the
            # new.
            copy_mode(self._target, self._partial)
            held = sum(position <= status.st_size for position, _ in journal.notes)
            if journal.is_new:
                journal.begin()
            elif held < len(journal.notes) or journal.committed is not None:
                journal.restart_after(held)
            self._noted = journal.notes[-1][0] if journal.notes else 0
            os.ftruncate(descriptor, self._noted)
            os.lseek(descriptor, self._noted, os.SEEK_SET)
        except BaseException:
            self._close()
            raise

    def note(self, note: Any) -> None:  # noqa: ANN401  (whatever JSON holds)
        """Note something about all that was written so far, in the journal soon.

        Raises NotWritableError as :meth:`write` does.
        """
        if self.is_whole:
            return
        self.check_open()
        position = self._file.tell()
        self._waiting.append((position, note))
        if position - self._noted >= NOTED_EVERY or time.monotonic() - self._noted_at >= NOTED_AFTER:
            self._keep()

    def _keep(self) -> None:
        """Sync what was written, then write the notes about it into the journal."""
        if not self._waiting or self._journal is None:
            return
        try:
            self._sync()
        except OSError as error:
            raise self._failed(error) from error
        self._journal.add(self._waiting)
        self._noted = self._waiting[-1][0]
        self._noted_at = time.monotonic()
        self._waiting = []

    def write(self, data: Data) -> None:
        """Write bytes; NotWritableError if that fails, or if an earlier call failed."""
        if not self.is_whole:
            super().write(data)

    def copy_from(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Write bytes of another file; see :class:`Output`."""
        if not self.is_whole:
            super().copy_from(file, offset, size)

    def finish(self) -> None:
        """Sync what was written and close the file, which still has its temporary name."""
        if self._file.closed or self.is_whole:
            self._file.close()
            return
        try:
            self.check_open()
            self._keep()
            self._sync()
            self._file.close()
        except NotWritableError:
            self.discard()
            raise
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def retarget(self, path: str) -> None:
        """Refuse: a later writer would look for the file under its first name."""
        raise NotImplementedError(path)

    def commit(self) -> None:
        """Finish the file: sync it and give it its name; see :class:`OutputFile`."""
        self.finish()
        if self._journal is None or self.is_whole:
            return
        try:
            self._journal.commit(os.stat(self._partial))
            if self._overwrite:
                os.replace(self._partial, self._target)
            else:
                rename_to_free_name(self._partial, self._target)
                remove_second_name(self._partial, self._target)
            sync_directory(self._target)
        except FileExistsError as error:
            raise AlreadyExistsError(self.name) from error
        except OSError as error:
            raise self._failed(error) from error
        self.is_whole = True

    def discard(self) -> None:
        """Close the file, and keep what was written and noted for a later writer."""
        if self._journal is None:
            return
        if not self._file.closed and not self.is_whole and not self.has_failed:
            with suppress(NotWritableError):  # the last notes are lost, and what they are about written again
                self._keep()
        self._close()
        self._journal.leave()
        self._journal = None

    def forget(self) -> None:
        """Remove the journal of a file that has its name."""
        if self._journal is not None:
            self._journal.remove()
            self._journal = None


def remove_second_name(partial: str, target: str) -> None:
    """Remove the name that a file had before, which a kill may have left it."""
    try:
        if os.path.samestat(os.lstat(partial), os.stat(target)):
            os.unlink(partial)
    except FileNotFoundError:
        return
