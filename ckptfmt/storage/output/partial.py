"""Files that are kept beside their targets when writing stops, so that a later call goes on with them.

::

    NAME.partial            what was written so far
    NAME.partial.journal    which parts of it are whole

    {"key": "9f86d0…"}                     what is being written, as its writer identifies it
    [0, null]                              a note: after so many bytes, whatever the writer noted
    [67108864, ["dense/kernel", 3735928559]]
    {"committed": [2049, 131, 134217728]}  the target is whole: device, number, size of the file

A note goes into the journal after the bytes that it is about have been synced, so a journal never says too
much. Both files stay when a writer is killed or stopped by an error. A later writer with the same key cuts
the file off after the last note and goes on there; one with another key begins anew. The journal is locked
like any claim (:mod:`ckptfmt.storage.output.claim`), so that one program at a time writes a target.

The journal outlasts the rename, until :meth:`PartialFile.forget`: a program that writes several files finds
those that have their names already.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from contextlib import suppress
from typing import Any

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.output.claim import LocalClaim
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

_MOST_JOURNAL_BYTES = 256 << 20
"""Bytes of the largest journal that is read: that of millions of tensors."""

_OPEN = (
    os.O_WRONLY
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Not what a link leads to, and a pipe of that name would block."""


class Journal:
    """What is whole of something that is being written, kept beside it."""

    def __init__(self, path: str, name: str, key: str) -> None:
        """Open the journal of a target, or begin one; NotWritableError if another program has it."""
        self._claim = LocalClaim(path, name)
        self.notes: list[tuple[int, Any]] = []
        """The notes of earlier writers with this key: bytes that were written, and what was noted."""
        self.committed: list[int] | None = None
        """The file that has its name already: its device, number and size."""
        self.is_new = True
        """Whether nobody has begun yet, or only somebody with another key."""
        self.has_other_key = False
        """Whether somebody with another key has begun."""
        self._key = key
        try:
            self._read(self._claim.read(_MOST_JOURNAL_BYTES))
        except BaseException:
            self._claim.leave()
            raise

    def _read(self, data: bytes | None) -> None:
        """Take the notes of earlier writers, up to the first line that is not whole."""
        lines = (data or b"").split(b"\n")[:-1]
        for number, line in enumerate(lines):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                return
            if number == 0:
                self.has_other_key = value != {"key": self._key}
                if self.has_other_key:
                    return
                self.is_new = False
            elif isinstance(value, dict):
                self.committed = value.get("committed")
            elif isinstance(value, list) and len(value) == 2 and type(value[0]) is int:
                self.notes.append((value[0], value[1]))
            else:
                return

    def begin(self) -> None:
        """Begin anew."""
        self.notes, self.committed, self.is_new = [], None, False
        self._claim.note(_line({"key": self._key}))

    def restart_after(self, count: int) -> None:
        """Keep only the first notes."""
        del self.notes[count:]
        self.committed = None
        self._claim.note(b"".join(map(_line, [{"key": self._key}, *self.notes])))

    def add(self, notes: list[tuple[int, Any]]) -> None:
        """Add notes about what has been synced."""
        self._claim.append(b"".join(map(_line, notes)))

    def commit(self, status: os.stat_result) -> None:
        """Note that a file is whole, and is about to get its name."""
        self._claim.append(_line({"committed": list(_identity(status))}))

    def is_committed(self, target: str) -> bool:
        """Whether the target is the whole file of an earlier writer."""
        try:
            return self.committed == list(_identity(os.stat(target)))
        except OSError:
            return False

    def leave(self) -> None:
        """Keep it for a later writer."""
        self._claim.leave()

    def remove(self) -> None:
        """Remove it."""
        self._claim.release()


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
        """What earlier writers noted, in order: after the last of these, the file goes on."""
        unfinished.add(self)

    def _open(self, journal: Journal) -> None:
        """Open the file, cut off after the last note that it holds the bytes of."""
        if journal.is_committed(self._target):
            self.is_whole = True
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


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_size
