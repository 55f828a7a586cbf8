"""``RecordWriter``: TFRecord files, written frame by frame as TensorFlow writes them."""

from __future__ import annotations

import os
import warnings
import zlib
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from ckptfmt.errors import CorruptError, DamageWarning, NotReadableError, NotWritableError
from ckptfmt.record.frame import HEADER_SIZE, encode_frame
from ckptfmt.record.inflate import WBITS, Compression
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output import GrowingFile, OutputFile
from ckptfmt.storage.target import target_kind
from ckptfmt.wire.crc32c import crc32c, mask

Data: TypeAlias = bytes | bytearray | memoryview
"""What can be written: bytes, or the ``data`` of an array, which is written in C order."""

LENGTH_SIZE = 8
"""Bytes of a length, without its checksum."""

LONGEST_BEGUN = 1 << 32
"""No record is this long: a file whose first 8 bytes are a larger number does not begin with a frame."""


class RecordWriter:
    """Writes records to a file; a context manager.

    A new file grows in place, as does one that is appended to: it exists from the beginning, and its records
    are in it after :meth:`flush` or :meth:`close`, so others may read it meanwhile. It stays if an exception
    ends the ``with`` block. If the program dies, it stays as far as it was written, which may be empty or end
    within a record: it can be read up to the last whole record and, if it is not compressed, appended to.

    An existing file that is replaced changes only when the writer is closed; see ``overwrite``.

    Parameters
    ----------
    path
        The file. A link is written through; a device or a pipe is written to directly.
    compression
        None, ``"GZIP"`` or ``"ZLIB"``, as in TensorFlow's ``TFRecordOptions``.
    append
        Whether to write after the records of an existing file, which must not be compressed. An incomplete
        last record is cut off, unless whole records follow within its bytes.
    overwrite
        Whether an existing file may be replaced, which happens when the writer is closed: records are written
        beside it, where others do not see them, even after :meth:`flush`. The file stays as it was until
        then, and for good if an exception ends the ``with`` block or the writer is never closed. A link that
        leads nowhere counts as an existing file. A new file grows in place with ``overwrite`` too.

    Raises
    ------
    AlreadyExistsError
        The file exists, and neither ``append`` nor ``overwrite`` is given.
    CorruptError
        The file to append to is damaged, or is not a file of records.
    NotWritableError
        The file cannot be written. :meth:`write`, :meth:`flush` and :meth:`close` raise it too, for example
        if the disk is full; nothing can be written after that, and the last records may be incomplete.
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
        """Offset of the next frame, before compression."""
        if compression is not None and compression not in WBITS:
            raise ValueError(f"compression: got {compression!r}, want None, 'GZIP' or 'ZLIB'")
        if append and (compression is not None or overwrite):
            raise ValueError("append= cannot be combined with compression= or overwrite=")
        self._deflater = zlib.compressobj(wbits=WBITS[compression]) if compression is not None else None
        kind = target_kind(self.name)
        self._output: OutputFile | GrowingFile
        if append:
            # A device or a pipe cannot be read back: its offsets count from the first record written here.
            self.position = _end_of(self.name) if kind == "file" else 0
            self._output = GrowingFile(self.name, append_at=self.position)
        elif overwrite and kind is not None:
            self._output = OutputFile(self.name, overwrite=True)
        else:
            self._output = GrowingFile(self.name)

    def write(self, data: Data) -> int:
        """Write one record, and return the offset of its frame before compression.

        Raises NotWritableError if the file cannot be written, ValueError if the writer is closed.
        """
        view = memoryview(data)
        # Only C-contiguous memory can be cast to bytes, and not if it is empty.
        view = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
        head, foot = encode_frame(view)
        self._output.check_open()
        begin = self.position
        for piece in (head, view, foot):
            self._output.write(piece if self._deflater is None else self._deflater.compress(piece))
        self.position += len(head) + len(view) + len(foot)
        return begin

    def flush(self) -> None:
        """Hand what was written to the system; raises as :meth:`write` does.

        Others can read it then, unless an existing file is being replaced.
        """
        self._output.check_open()
        if self._deflater is not None:
            # Ends the current deflate block on a byte, so that readers can decompress all that was written.
            self._output.write(self._deflater.flush(zlib.Z_SYNC_FLUSH))
        self._output.flush()

    def close(self) -> None:
        """Write what is left, sync it to disk, and close the file.

        Raises NotWritableError if that fails. The file is closed even so, and a file that was to be
        replaced is left as it was.
        """
        if self._output.is_closed:
            return
        try:
            if not self._output.has_failed:
                if self._deflater is not None:
                    self._output.write(self._deflater.flush())
                self._output.commit()
        finally:
            self._output.discard()  # does nothing after commit()

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
            # The exception that ended the block matters more than one from closing.
            with suppress(NotWritableError):
                self.close()


def _end_of(path: str) -> int:
    """Return where the last whole record of a file ends, which is where the next one is appended."""
    try:
        source = Source(path, LocalFilesystem("pread"))
    except NotReadableError as error:
        raise NotWritableError(path, error.what) from error
    try:
        if source.compression is not None:
            raise CorruptError(f"cannot append to a file compressed with {source.compression}", file=path)
        reader = RecordReader(source)
        with warnings.catch_warnings():
            # Damage in the middle of the file stays as it is, and is nothing to warn about here.
            warnings.simplefilter("ignore", DamageWarning)
            for _ in reader.batches(with_data=False):
                pass
        # A damaged end may hold anything, even records, so it is neither cut off nor written after.
        if reader.damage and reader.damage[-1].offset + reader.damage[-1].skipped == source.size:
            raise reader.damage[-1].error
        if not _is_begun(source.read(0, HEADER_SIZE)):
            raise CorruptError("not a file of records: it does not begin with a length", file=path, offset=0)
        if (place := reader.find_in_tail()) is not None:
            # Whether that record is in the incomplete one or after it, cutting the tail off would lose it.
            what = f"cannot append: a complete record at 0x{place:x} follows the damaged tail"
            raise CorruptError(what, file=path, offset=reader.position)
        return reader.position
    finally:
        source.close()


def _is_begun(head: bytes) -> bool:
    """Whether the first bytes of a file are a whole header, or may be the beginning of one.

    Fewer bytes than a length do not count as one: they could come from any small file.
    """
    if not head or len(head) == HEADER_SIZE:
        return True  # reading has checked a whole header
    length, stored = head[:LENGTH_SIZE], head[LENGTH_SIZE:]
    is_length = len(length) == LENGTH_SIZE and int.from_bytes(length, "little") < LONGEST_BEGUN
    return is_length and mask(crc32c(length)).to_bytes(4, "little").startswith(stored)
