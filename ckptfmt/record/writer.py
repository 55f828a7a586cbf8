"""Writing TFRecord files, frame by frame as TensorFlow does."""

from __future__ import annotations

import os
import warnings
import zlib
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from ckptfmt.errors import CorruptError, DamageWarning, NotWritableError
from ckptfmt.record.frame import HEADER_SIZE, encode_frame
from ckptfmt.record.inflate import WBITS, Compression
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LOCAL, LocalFilesystem
from ckptfmt.storage.output import GrowingFile, OutputFile
from ckptfmt.wire.crc32c import crc32c, mask

Data: TypeAlias = bytes | bytearray | memoryview
"""What can be written; arrays too, in C order."""

LENGTH_SIZE = 8
"""Bytes of a length, before its checksum."""

LONGEST_BEGUN = 1 << 32
"""A length that no record has: bytes that would be one are not the beginning of a frame."""


class RecordWriter:
    """Writes records to a file, which anybody may read meanwhile; a context manager.

    A record is in the file after a flush, or when the writer is closed. Should the program end before that,
    what is there can be read up to the last whole record, and appended to.

    Parameters
    ----------
    path
        The file. A link is written through; a device or a pipe is written to as it is.
    compression
        None, ``"GZIP"`` or ``"ZLIB"``, as TensorFlow's ``TFRecordOptions`` has them.
    append
        Whether to go on after the records of an existing file. It must not be compressed; an incomplete last
        record is cut off, unless whole records follow in its bytes.
    overwrite
        Whether to replace an existing file. That happens when the writer is closed; until then, and if
        an exception ends the ``with`` block, or the writer is never closed, the file stays as it was.

    Raises
    ------
    AlreadyExistsError
        The file exists, and neither ``append`` nor ``overwrite`` is given.
    CorruptError
        The file to append to is damaged, or not one of records.
    NotWritableError
        The system refuses. :meth:`write`, :meth:`flush` and :meth:`close` raise it too, if a disk is full
        for example; nothing can be written after that, and the last records may be incomplete.
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
        exists = LOCAL.path_type(self.name) is not None
        self._output: OutputFile | GrowingFile
        if append:
            self.position = _end_of(self.name) if exists else 0
            self._output = GrowingFile(self.name, append_at=self.position)
        elif overwrite and exists:
            self._output = OutputFile(self.name, overwrite=True)
        else:
            self._output = GrowingFile(self.name)

    def write(self, data: Data) -> int:
        """Write one record, and return where its frame begins (before compression).

        Raises NotWritableError if the system refuses, ValueError if the writer is closed.
        """
        view = memoryview(data)
        # Other layouts than that of bytes cannot be cast, nor can those of no items.
        view = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
        head, foot = encode_frame(view)
        self._output.check_open()
        begin = self.position
        for piece in (head, view, foot):
            self._output.write(piece if self._deflater is None else self._deflater.compress(piece))
        self.position += len(head) + len(view) + len(foot)
        return begin

    def flush(self) -> None:
        """Hand everything written to the system, so that others can read it; errors as of :meth:`write`."""
        self._output.check_open()
        if self._deflater is not None:
            self._output.write(self._deflater.flush(zlib.Z_SYNC_FLUSH))
        self._output.flush()

    def close(self) -> None:
        """Write what is left, make sure that it is on the disk, and close the file.

        Raises NotWritableError if the system refuses; the file is closed all the same, and one that was to
        be replaced is not.
        """
        if self._output.is_closed:
            return
        try:
            if not self._output.has_failed:
                if self._deflater is not None:
                    self._output.write(self._deflater.flush())
                self._output.commit()
        finally:
            self._output.discard()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif isinstance(self._output, OutputFile):
            self._output.discard()
        else:
            # What ended the block is raised, not what follows from it.
            with suppress(NotWritableError):
                self.close()


def _end_of(path: str) -> int:
    """Where the last whole record of a file ends."""
    source = Source(path, LocalFilesystem("pread"))
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
            # Records after an incomplete one, or within it: nobody can tell, and they would be lost.
            what = f"refusing to append: a complete record at 0x{place:x} follows the damaged tail"
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
