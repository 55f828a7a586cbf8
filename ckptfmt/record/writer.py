"""Writing TFRecord files, frame by frame as TensorFlow does."""

from __future__ import annotations

import os
import warnings
import zlib
from types import TracebackType

from ckptfmt.errors import CorruptError, DamageWarning, NotReadableError
from ckptfmt.record.frame import encode_frame
from ckptfmt.record.reader import RecordReader
from ckptfmt.record.source import Compression, open_source
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.file import DescriptorFile

_WBITS: dict[Compression, int] = {"GZIP": 31, "ZLIB": 15}


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
        that is not all there is cut off.
    overwrite
        Whether to replace a file that is there.

    Raises
    ------
    FileExistsError
        There is one already, and neither ``append`` nor ``overwrite``.
    CorruptError
        The file to append to is damaged.
    NotReadableError
        The system refuses.
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
        if compression is not None and compression not in _WBITS:
            raise ValueError(f"compression: got {compression!r}, want None, 'GZIP' or 'ZLIB'")
        if append and (compression is not None or overwrite):
            raise ValueError("append: want neither compression nor overwrite with it")
        self._deflater = zlib.compressobj(wbits=_WBITS[compression]) if compression is not None else None
        if append and os.path.exists(self.name):  # noqa: PTH110
            self.position = _end_of(self.name)
        mode = "r+b" if self.position else "wb" if overwrite or append else "xb"
        try:
            self._file = open(self.name, mode)  # noqa: SIM115, PTH123  (closed by close)
            if self.position:
                self._file.truncate(self.position)
                self._file.seek(self.position)
        except FileExistsError:
            raise FileExistsError(f"{self.name}: got a file that is there already, want a new one") from None
        except (OSError, ValueError) as error:
            raise NotReadableError(self.name, getattr(error, "strerror", None) or str(error)) from error

    def write(self, data: Buffer) -> int:
        """Write one record, and return where its frame begins (before compression)."""
        view = memoryview(data).cast("B")
        head, foot = encode_frame(view)
        begin = self.position
        for piece in (head, view, foot):
            self._write(piece if self._deflater is None else self._deflater.compress(piece))
        self.position += len(head) + len(view) + len(foot)
        return begin

    def _write(self, data: Buffer) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise NotReadableError(self.name, error.strerror or str(error)) from error

    def flush(self) -> None:
        """Hand all that was written to the system, so that other processes can read it."""
        if self._deflater is not None:
            self._write(self._deflater.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def close(self) -> None:
        """Write what is left, and close the file."""
        if not self._file.closed:
            if self._deflater is not None:
                self._write(self._deflater.flush())
            self._file.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        return reader.position
    finally:
        source.close()
