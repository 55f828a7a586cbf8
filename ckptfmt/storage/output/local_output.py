"""Files of this machine that are being written: beside their target, or in place."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.output.kernel_copy import COPIED_BY_KERNEL_FROM, copy_in_kernel
from ckptfmt.storage.output.names import (
    CREATE,
    copy_mode,
    create_temporary,
    remove_temporary,
    rename_to_free_name,
    sync_directory,
)
from ckptfmt.storage.output.output import Data, NewFile, Output
from ckptfmt.storage.output.special import open_null, open_special
from ckptfmt.storage.target import find_own_target, find_target, not_writable
from ckptfmt.storage.temporary import has_claim

_NOTHING_TO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EROFS}
"""Errors of ``fsync`` on pipes and devices, which keep nothing."""


class LocalOutput(Output):
    """What both kinds of local files share: a stream, and the first error."""

    _file: BinaryIO

    def __init__(self, name: str) -> None:
        self._name = name
        self._error: NotWritableError | None = None

    @property
    def name(self) -> str:
        """Path of the file, as errors name it."""
        return self._name

    @property
    def is_closed(self) -> bool:
        """Whether it was committed or discarded."""
        return self._file.closed

    @property
    def has_failed(self) -> bool:
        """Whether the system refused something, so that nothing more can be written."""
        return self._error is not None

    def write(self, data: Data) -> None:
        """Write bytes; NotWritableError if that fails, or if an earlier call failed."""
        self.check_open()
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def copy_from(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Write bytes of another file, which the kernel copies if they are many; see :class:`Output`."""
        done = 0
        if size >= COPIED_BY_KERNEL_FROM:
            self.flush()
            done = copy_in_kernel(file, self._file.fileno(), offset, size)
        super().copy_from(file, offset + done, size - done)

    def flush(self) -> None:
        """Flush the buffer to the operating system; raises the same errors as :meth:`write`."""
        self.check_open()
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def check_open(self) -> None:
        """Raise what :meth:`write` would: NotWritableError after a failure, ValueError once it is closed."""
        if self._error is not None:
            raise self._error
        if self._file.closed:
            raise ValueError(f"{self.name}: the writer is closed")

    def _failed(self, error: OSError) -> NotWritableError:
        """Return the error that every call raises from now on: the last piece may be written in part."""
        self._error = not_writable(self.name, error)
        return self._error

    def _sync(self) -> None:
        """Bring what was written to the disk, so that it outlasts a power cut."""
        self._file.flush()
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in _NOTHING_TO_SYNC:
                raise

    def disown(self) -> None:
        """Write nothing more in a forked process: the file and what is still in the buffer are its parent's.

        The descriptor leads to the null device from now on, because the buffer is flushed when this process
        ends.
        """
        self._error = NotWritableError(self.name, "this process is a fork of the one that writes it")
        null = open_null()
        os.dup2(null, self._file.fileno(), inheritable=False)
        os.close(null)

    def _close(self) -> None:
        # Closing flushes, which after an error fails again; the descriptor is closed nevertheless.
        with suppress(OSError):
            self._file.close()


class OutputFile(LocalOutput, NewFile):
    """A file that appears under its name when it is whole.

    Parameters
    ----------
    path
        The file. A symbolic link is written through; a device or a pipe is written to as it is.
    overwrite
        Whether an existing file may be replaced.
    name
        What errors call the file, if not ``path``.
    tempstate
        Whether it is one of the files of a checkpoint. Its temporary file is named after it, and a link is
        replaced, because what it leads to may belong to other checkpoints too, as in a cache of downloads.
    sync
        Whether content and name are brought to the disk, in this order.
    like
        A file whose permissions it gets, if that exists. By default they are those of the file that it
        replaces.

    Raises
    ------
    AlreadyExistsError
        The file exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses.
    """

    def __init__(
        self,
        path: str,
        *,
        overwrite: bool = False,
        name: str | None = None,
        tempstate: bool = False,
        sync: bool = True,
        like: str | None = None,
    ) -> None:
        super().__init__(path if name is None else name)
        self._overwrite = overwrite
        self._is_synced = sync
        self._temporary: str | None = None
        find = find_own_target if tempstate else find_target
        try:
            # Refuse an existing file before the work of writing; commit() checks again.
            target = find(path, self.name, overwrite=overwrite)
            if target is None:
                self._file = open_special(path)
                return
            self._target = target
            # In the same directory, because a rename cannot cross file systems.
            directory, basename = os.path.split(target)
            temporary, descriptor, held = create_temporary(directory, basename if tempstate else "")
            self._file = os.fdopen(descriptor, "wb")
            self._temporary, self._held = temporary, held
            # Before anything is written: if only the owner may read the old file, nobody else may read the
            # new.
            copy_mode(like or target, temporary)
        except AlreadyExistsError:
            raise
        except (OSError, ValueError) as error:
            # ValueError: the path holds a NUL.
            raise not_writable(self.name, error) from error
        # In case the object is dropped without commit() or discard().
        self._remains = weakref.finalize(self, remove_temporary, temporary, held, os.getpid())
        unfinished.add(self)

    def finish(self) -> None:
        """Sync what was written and close the file, which still has its temporary name."""
        if self._file.closed:
            return
        try:
            self.check_open()
            # Content first, then the name: a power cut between them in the other order leaves an empty file.
            if self._is_synced:
                self._sync()
            self._file.close()
            if self._temporary is not None and has_claim(self._temporary):
                self._held.end()  # a checkpoint may have more files than a process may have open
        except NotWritableError:
            self.discard()
            raise  # the error of an earlier write
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def retarget(self, path: str) -> None:
        """Have the file committed under another name in the same directory, which has to be free."""
        self._overwrite = False
        self._target = os.path.join(os.path.dirname(self._target), os.path.basename(path))
        self._name = path

    def commit(self) -> None:
        """Finish the file: sync it and give it its name.

        Raises AlreadyExistsError if a file of that name was created meanwhile, NotWritableError if the file
        cannot be written; an existing file then stays unchanged. Only if the disk fails after the file got
        its name, it keeps that.
        """
        self.finish()
        if self._temporary is None:
            return
        try:
            self._rename(self._temporary)
        except FileExistsError as error:
            raise AlreadyExistsError(self.name) from error
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.discard()  # whatever happened, remove the temporary file

    def _rename(self, temporary: str) -> None:
        if self._overwrite:
            os.replace(temporary, self._target)  # atomic; readers that have the old file open keep it
        else:
            rename_to_free_name(temporary, self._target)
        if self._is_synced:
            sync_directory(self._target)

    def discard(self) -> None:
        """Discard the file, and leave an existing one unchanged. Does nothing after :meth:`commit`."""
        self._close()
        if self._temporary is not None:
            # After a rename the temporary name is free; after a hard link it is a second name of the file.
            self._remains()
            self._temporary = None

    def disown(self) -> None:
        """Write nothing more in a forked process: the file is its parent's."""
        if self._temporary is None or self._file.closed:
            return
        super().disown()
        self._remains()  # which only ends the lock here


unfinished: weakref.WeakSet[LocalOutput] = weakref.WeakSet()
"""The files that this process is writing beside their targets."""


def _disown_all() -> None:
    for file in list(unfinished):
        with suppress(OSError):
            file.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


class GrowingFile(LocalOutput):
    """A file written in place, which others may read meanwhile; what was written stays, however it ends.

    Parameters
    ----------
    path
        The file. A symbolic link is written through; a device or a pipe is written to as it is.
    append_at
        Offset at which an existing file is cut off, and from which it is written. None if the file must be
        new.

    Raises AlreadyExistsError, NotWritableError as :class:`OutputFile` does.
    """

    def __init__(self, path: str, *, append_at: int | None = None) -> None:
        super().__init__(path)
        try:
            self._target = find_target(path, path, overwrite=append_at is not None)
            if self._target is None:
                self._file = open_special(path)
                return
            # Never with O_TRUNC: what comes before ``append_at`` stays.
            flags = CREATE if append_at is None else CREATE & ~os.O_EXCL
            self._file = os.fdopen(os.open(path, flags, 0o666), "wb")
            if append_at is not None:
                self._cut_off(append_at)
        except AlreadyExistsError:
            raise
        except FileExistsError as error:
            raise AlreadyExistsError(self.name) from error
        except (OSError, ValueError) as error:
            raise not_writable(self.name, error) from error

    def _cut_off(self, offset: int) -> None:
        try:
            self._file.truncate(offset)
            self._file.seek(offset)
        except OSError:
            self._close()
            raise

    def commit(self) -> None:
        """Sync the file and close it, which happens even if the system refuses to sync: NotWritableError."""
        if self._file.closed:
            return
        try:
            self.check_open()
            self._sync()
            self._file.close()
        except NotWritableError:
            raise  # the error of an earlier write
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._close()
        try:
            if self._target is not None:
                sync_directory(self._target)
        except OSError as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Close the file; what was written stays."""
        self._close()


def write_file(path: str, pieces: Iterable[Data], *, overwrite: bool = False) -> None:
    """Write pieces to a local file, whole or not at all; raises the same errors as :class:`OutputFile`."""
    with OutputFile(path, overwrite=overwrite) as file:
        file.write_all(pieces)
