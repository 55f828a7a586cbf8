"""Writing TFRecord files, frame by frame as TensorFlow does."""

from __future__ import annotations

import errno
import os
import stat
import warnings
import weakref
import zlib
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from ckptfmt.errors import CorruptError, DamageWarning, NotReadableError
from ckptfmt.record.frame import HEADER_SIZE, encode_frame
from ckptfmt.record.input import WBITS, Compression, open_source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.file import DescriptorFile
from ckptfmt.wire.crc32c import crc32c, mask

Data: TypeAlias = bytes | bytearray | memoryview
"""What can be written; arrays too, in C order."""

LENGTH_SIZE = 8
"""Bytes of a length, before its checksum."""

LONGEST_BEGUN = 1 << 32
"""A length that no record has: bytes that would be one are not the beginning of a frame."""


class RecordWriter:
    """Writes records to a file, which anybody may read meanwhile; a context manager.

    A record is in the file when it was flushed or the writer closed. Should the program end before that,
    what is there can be read up to the last whole record, and appended to.

    Parameters
    ----------
    path
        The file.
    compression
        None, ``"GZIP"`` or ``"ZLIB"``, as TensorFlow's ``TFRecordOptions`` has them.
    append
        Whether to go on behind the records of a file that is there. It must not be compressed; a last record
        that is not all there is cut off, unless whole records stand in what would be.
    overwrite
        Whether to replace a file that is there. That happens when the writer is closed; until then, and where
        an exception ends the ``with`` block, or the writer is never closed, the file is what it was.

    Raises
    ------
    FileExistsError
        There is one already, and neither ``append`` nor ``overwrite``.
    CorruptError
        The file to append to is damaged, or not one of records.
    NotReadableError
        The system refuses. :meth:`write`, :meth:`flush` and :meth:`close` raise it too, where a disk is full
        for example; nothing can be written then any more, and the last records may not be all there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: Compression | None = None,
        append: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.name = os.fspath(path)
        """The path."""
        self.position = 0
        """Where the next frame begins, before compression."""
        if compression is not None and compression not in WBITS:
            raise ValueError(f"compression: got {compression!r}, want None, 'GZIP' or 'ZLIB'")
        if append and (compression is not None or overwrite):
            raise ValueError("append: want neither compression nor overwrite with it")
        self._deflater = zlib.compressobj(wbits=WBITS[compression]) if compression is not None else None
        self._beside: str | None = None
        self._remains: weakref.finalize[[str, int], RecordWriter] | None = None
        self._error: NotReadableError | None = None
        if append and os.path.exists(self.name):
            self.position = _end_of(self.name)
            mode = "r+b"
        else:
            mode = "xb"
        try:
            path = self._path(overwrite=overwrite)
            mode = "wb" if overwrite and path == self.name else mode
            if append and mode == "xb":
                path = os.path.realpath(path)  # a link may lead to a file that is to be made
            self._file = open(path, mode)  # noqa: SIM115  (closed by close)
            if self._beside is not None:
                self._remains = weakref.finalize(self, _remove, self._beside, os.getpid())
            if mode == "r+b":
                self._file.truncate(self.position)
                self._file.seek(self.position)
        except FileExistsError:
            raise FileExistsError(f"{self.name}: got a file that is there already, want a new one") from None
        except (OSError, ValueError) as error:
            raise NotReadableError(self.name, getattr(error, "strerror", None) or str(error)) from error

    def _path(self, *, overwrite: bool) -> str:
        """Where to write: beside a file that is to be replaced."""
        if not overwrite:
            return self.name
        # Where a link leads to, so that it stays one.
        self._replaced = os.path.realpath(self.name)
        try:
            status = os.stat(self._replaced)
        except FileNotFoundError:
            return self.name
        if not stat.S_ISREG(status.st_mode):
            return self.name  # a device or a pipe
        # A short name, since with that of the file it may be longer than the system allows.
        directory = os.path.dirname(self._replaced)
        self._beside = os.path.join(directory, f".{os.urandom(8).hex()}.tmp")
        return self._beside

    def write(self, data: Data) -> int:
        """Write one record, and return where its frame begins (before compression).

        Raises NotReadableError where the system refuses, ValueError where the writer is closed.
        """
        view = memoryview(data)
        # Other layouts than that of bytes cannot be cast, nor can those of no items.
        view = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
        head, foot = encode_frame(view)
        self._check_open()
        begin = self.position
        for piece in (head, view, foot):
            self._write(piece if self._deflater is None else self._deflater.compress(piece))
        self.position += len(head) + len(view) + len(foot)
        return begin

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error
        if self._file.closed:
            raise ValueError(f"{self.name}: the writer is closed")

    def _write(self, data: bytes | memoryview) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> NotReadableError:
        """What is raised from now on, since nobody knows how much of a record is in the file."""
        self._error = NotReadableError(self.name, error.strerror or str(error))
        return self._error

    def flush(self) -> None:
        """Hand all that was written to the system, so that others can read it; errors as of :meth:`write`."""
        self._check_open()
        if self._deflater is not None:
            self._write(self._deflater.flush(zlib.Z_SYNC_FLUSH))
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write what is left, see that it is on the disk, and close the file.

        Raises NotReadableError where the system refuses; the file is closed all the same, and one that was to
        be replaced is not.
        """
        if self._file.closed:
            return
        try:
            if self._error is None:
                if self._deflater is not None:
                    self._write(self._deflater.flush())
                self._file.flush()
                self._sync()
                self._file.close()
                if self._beside is not None:
                    os.replace(self._beside, self._replaced)
                    self._beside = None
                    self._forget()
        except OSError as error:
            if isinstance(error, NotReadableError):
                raise
            raise self._failed(error) from error
        finally:
            self._discard()

    def _sync(self) -> None:
        if self._beside is not None:
            os.chmod(self._beside, stat.S_IMODE(os.stat(self._replaced).st_mode))
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            # A pipe or a device has nothing to sync.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
                raise

    def _discard(self) -> None:
        """Close the file, without an error, and remove it where it was to replace another one."""
        with suppress(OSError):
            self._file.close()
        if self._beside is not None:
            with suppress(OSError):
                os.unlink(self._beside)
            self._beside = None
            self._forget()

    def _forget(self) -> None:
        """There is nothing left that would have to be removed."""
        if self._remains is not None:
            self._remains.detach()
            self._remains = None

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._beside is not None:
            self._discard()
        else:
            # What ended the block is told, not what follows from it.
            with suppress(NotReadableError):
                self.close()


def _remove(path: str, process: int) -> None:
    """Remove what a writer has left that was never closed, unless it is that of another process."""
    if os.getpid() == process:
        with suppress(OSError):
            os.unlink(path)


def _end_of(path: str) -> int:
    """Where the last whole record of a file ends."""
    source = open_source(path, DescriptorFile)
    try:
        if source.compression is not None:
            raise CorruptError(f"compressed with {source.compression}: cannot be appended to", file=path)
        reader = RecordReader(source)
        with warnings.catch_warnings():
            # What is damaged before stays so; a length that is damaged at the end would be cut off.
            warnings.simplefilter("ignore", DamageWarning)
            for _ in reader.batches(with_data=False):
                pass
        if reader.damage and reader.damage[-1].offset + reader.damage[-1].skipped == source.size:
            raise reader.damage[-1].error
        if not _is_begun(source.read(0, HEADER_SIZE)):
            raise CorruptError("not a file of records: it does not begin with a length", file=path, offset=0)
        if (place := reader.find_in_tail()) is not None:
            # Records behind one that was begun, or within it: nobody can tell, and they would be lost.
            what = f"cannot be appended to: in what stands behind the last record there is one @0x{place:x}"
            raise CorruptError(what, file=path, offset=reader.position)
        return reader.position
    finally:
        source.close()


def _is_begun(head: bytes) -> bool:
    """Whether bytes at the beginning of a file may be of a header that is not all there, or are whole.

    Less than a length is not taken for one: any file of a few bytes could be.
    """
    if not head or len(head) == HEADER_SIZE:
        return True  # what is whole has been read
    length, stored = head[:LENGTH_SIZE], head[LENGTH_SIZE:]
    is_length = len(length) == LENGTH_SIZE and int.from_bytes(length, "little") < LONGEST_BEGUN
    return is_length and mask(crc32c(length)).to_bytes(4, "little").startswith(stored)
