"""Files to write: the one place where this package creates any.

::

    OutputFile      in a temporary file, synced, then renamed   a file that appears whole or not at all
    GrowingFile     in place                                    a log that others read while it is written

Both follow the same rules. A symbolic link is written through, so that it stays a link; one that leads
nowhere counts as a file, which is replaced only with ``overwrite``. A replaced file keeps its mode. A device,
a pipe or an open descriptor is written to and never replaced.

Whenever the process is killed, the name of an :class:`OutputFile` leads to the old file, if any, or to the
whole new one. Its temporary file may remain, until another process writes a file in the same directory
(:mod:`ckptfmt.storage.temporary`).
"""

from __future__ import annotations

import errno
import io
import os
import stat
import weakref
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeVar

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.target import descriptor_of, find_target, not_writable
from ckptfmt.storage.temporary import keep_locked, lock, lock_or_raise, sweep, temporary_name, tempstate_name
from ckptfmt.wire.threads import cut

Data: TypeAlias = "bytes | bytearray | memoryview"

_O = TypeVar("_O", bound="Output")

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

_NOTHING_TO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EROFS}
"""Errors of ``fsync`` on pipes and devices, which keep nothing."""

_MOST_NOTED = 1 << 16
"""Bytes of the longest note that is read from a file that a program left."""

_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of ``link`` on file systems without hard links (FAT, some network ones)."""


class Output(Protocol):
    """A file being written; a context manager that commits it, or discards it after an exception."""

    @property
    def name(self) -> str:
        """Path of the file, as errors name it."""

    @abstractmethod
    def write(self, data: Data) -> None:
        """Write bytes; NotWritableError if that fails, or if an earlier call failed."""

    @abstractmethod
    def flush(self) -> None:
        """Flush the buffer to the operating system; raises the same errors as :meth:`write`."""

    @abstractmethod
    def commit(self) -> None:
        """Finish the file: sync it and give it its name.

        Raises AlreadyExistsError if a file of that name was created meanwhile, NotWritableError if the file
        cannot be written; an existing file then stays unchanged.
        """

    @abstractmethod
    def discard(self) -> None:
        """Discard the file, and leave an existing one unchanged. Does nothing after :meth:`commit`."""

    def write_all(self, pieces: Iterable[Data]) -> None:
        """Write one piece after the other; raises what :meth:`write` and the iterable raise."""
        for piece in pieces:
            self.write(piece)

    def copy_from(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Write ``size`` bytes of another file; raises what :meth:`write` and reading that file raise."""
        for start, length in cut(offset, size):
            self.write(file.read(start, length))

    def __enter__(self: _O) -> _O:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


class NewFile(Output, Protocol):
    """A file that appears under its name when it is committed."""

    @abstractmethod
    def finish(self) -> None:
        """Sync what was written, so that :meth:`commit` has only to give the file its name.

        A program that writes several files finishes all before it commits the first. Raises NotWritableError.
        """

    @abstractmethod
    def retarget(self, path: str) -> None:
        """Have the file committed under another name in the same directory.

        For writers that learn only at the end how many files there are, which the name of each tells.
        """


class _LocalOutput(Output):
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

    def _close(self) -> None:
        # Closing flushes, which after an error fails again; the descriptor is closed nevertheless.
        with suppress(OSError):
            self._file.close()


class OutputFile(_LocalOutput, NewFile):
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
        Whether the temporary file is named after the file, as those of checkpoints are.
    sync
        Whether the content is brought to the disk before the file gets its name.

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
    ) -> None:
        super().__init__(path if name is None else name)
        self._overwrite = overwrite
        self._is_synced = sync
        self._temporary: str | None = None
        try:
            # Refuse an existing file before the work of writing; commit() checks again.
            target = find_target(path, self.name, overwrite=overwrite)
            if target is None:
                self._file = _open_special(path)
                return
            self._target = target
            # In the same directory, because a rename cannot cross file systems.
            directory, basename = os.path.split(target)
            temporary, descriptor, held = _create_temporary(
                directory, tempstate_name(basename) if tempstate else temporary_name()
            )
            self._file = os.fdopen(descriptor, "wb")
            self._temporary = temporary
            # Before anything is written: if only the owner may read the old file, nobody else may read the
            # new.
            copy_mode(target, temporary)
        except AlreadyExistsError:
            raise
        except (OSError, ValueError) as error:
            # ValueError: the path holds a NUL.
            raise not_writable(self.name, error) from error
        # In case the object is dropped without commit() or discard().
        self._remains = weakref.finalize(self, _remove, temporary, held, os.getpid())

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
        except NotWritableError:
            self.discard()
            raise  # the error of an earlier write
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def retarget(self, path: str) -> None:
        """Have the file committed under another name in the same directory."""
        self._target = os.path.join(os.path.dirname(self._target), os.path.basename(path))
        self._name = path

    def commit(self) -> None:
        """Finish the file: sync it and give it its name.

        Raises AlreadyExistsError if a file of that name was created meanwhile, NotWritableError if the file
        cannot be written; an existing file then stays unchanged.
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
            _rename_to_free_name(temporary, self._target)
        sync_directory(self._target)

    def discard(self) -> None:
        """Discard the file, and leave an existing one unchanged. Does nothing after :meth:`commit`."""
        self._close()
        if self._temporary is not None:
            # After a rename the temporary name is free; after a hard link it is a second name of the file.
            self._remains()
            self._temporary = None


class GrowingFile(_LocalOutput):
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
                self._file = _open_special(path)
                return
            # Never with O_TRUNC: what comes before ``append_at`` stays.
            flags = _CREATE if append_at is None else _CREATE & ~os.O_EXCL
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
        if self._target is not None:
            sync_directory(self._target)

    def discard(self) -> None:
        """Close the file; what was written stays."""
        self._close()


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
        self._remains = weakref.finalize(self, _remove, path, self._descriptor, os.getpid())

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


class OutputStream(io.RawIOBase):
    """A file object over an :class:`Output`, for libraries that write to nothing else."""

    def __init__(self, output: Output) -> None:
        """Take an output; whoever began it also commits it."""
        self._output = output
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Write bytes; raises the same errors as :meth:`Output.write`."""
        view = memoryview(data).cast("B")
        self._output.write(view)
        self._position += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position


def make_directory(path: str) -> None:
    """Make a directory and those above it, if they do not exist; NotWritableError if the system refuses."""
    try:
        os.makedirs(path, exist_ok=True)
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


def open_null() -> int:
    """Return a descriptor of the device that swallows what is written to it."""
    return os.open(os.devnull, os.O_WRONLY)


def write_file(path: str, pieces: Iterable[Data], *, overwrite: bool = False) -> None:
    """Write pieces to a local file, whole or not at all; raises the same errors as :class:`OutputFile`."""
    with OutputFile(path, overwrite=overwrite) as file:
        file.write_all(pieces)


def _open_special(path: str) -> BinaryIO:
    """Open a device, a pipe or an open descriptor without creating or replacing anything.

    A descriptor is duplicated, so that writing continues at its position. Opened by path, a file that the
    shell redirects output to would be written from its beginning.
    """
    number = descriptor_of(path)
    if number is None:
        return os.fdopen(os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0)), "wb")
    return os.fdopen(os.dup(number), "wb")


def _create_temporary(directory: str, name: str) -> tuple[str, int, int | None]:
    """Create a temporary file; return its path, a descriptor to write to, and one that holds the lock."""
    sweep(os.path.abspath(directory))
    path = os.path.join(directory, name)
    while True:
        descriptor = os.open(path, _CREATE, 0o666)
        try:
            if lock(descriptor):
                return path, descriptor, keep_locked(descriptor)
        except OSError:
            os.unlink(path)
            os.close(descriptor)
            raise
        # Another process took the file for a leftover before it was locked, and removes it.
        os.close(descriptor)


def copy_mode(source: str, target: str) -> None:
    """Give a file the permissions of another one, if that exists and the file system has permissions."""
    with suppress(OSError):
        os.chmod(target, stat.S_IMODE(os.stat(source).st_mode))


def _rename_to_free_name(temporary: str, target: str) -> None:
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
    """Sync the directory of a file, which holds its name; not every system can."""
    with suppress(OSError):
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: str, held: int | None, process: int) -> None:
    """Remove the temporary file of a writer, and end the lock on it.

    A forked process only closes its descriptor: the file still belongs to the parent.
    """
    with suppress(OSError):
        if os.getpid() == process:
            os.unlink(path)
    if held is not None:
        os.close(held)
