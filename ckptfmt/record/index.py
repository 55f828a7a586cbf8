"""An index of records: where each one is, so that any can be read by its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from ckptfmt.errors import CorruptError
from ckptfmt.notebook.card import Card, Cell, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.frame import HEADER_SIZE, OVERHEAD, decode_header
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.printing import size_text


class RecordIndex(Sequence[Record]):
    """The records of one or more files by number, each read on access."""

    def __init__(
        self,
        files: tuple[str, ...],
        counts: list[int],
        offsets: np.ndarray,
        sizes: np.ndarray,
        fs: Filesystem,
        verify: bool,
    ) -> None:
        self.files = files
        """The files."""
        self.file_numbers = np.repeat(np.arange(len(counts)), counts)
        """For each record, the number of its file in :attr:`files` (int64)."""
        self.offsets = offsets
        """For each record, where its frame begins in its file (int64)."""
        self.sizes = sizes
        """For each record, the number of its data bytes (int64)."""
        self._fs = fs
        self._verify = verify
        self._opened: dict[int, RandomAccessFile] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Return a record, or those of a slice.

        Raises ChecksumError if its data are damaged, TruncatedError if the file was truncated,
        CorruptError if the record is no longer at this offset, for example because the file was replaced.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        offset, size = int(self.offsets[index]), int(self.sizes[index])
        number = int(self.file_numbers[index])
        file = self._opened.get(number)
        if file is None:
            file = self._opened[number] = self._fs.open(self.files[number])
        data = file.read(offset, size + OVERHEAD)
        # The header shows whether the file still has this record here, which costs no second read.
        if decode_header(data[:HEADER_SIZE]) != size:
            what = "the record is no longer at this offset: the file changed after scan()"
            raise CorruptError(what, file=file.name, offset=offset)
        batch = Batch(data, offset, np.array([0, len(data)], np.int64))
        error = batch.check(0, file.name) if self._verify else None
        if error is not None:
            raise error
        return Record(data[HEADER_SIZE : HEADER_SIZE + size], offset, file.name)

    def close(self) -> None:
        """Close the files."""
        for file in self._opened.values():
            file.close()
        self._opened.clear()

    def __repr__(self) -> str:
        return f"<RecordIndex of {len(self)} records in {len(self.files)} files>"

    def _card(self) -> Card:
        files = Table("Files", ("file",), lambda: self.files, lambda file: (file,))
        records = Table(
            "Records", ("number", "offset", "bytes", "file"), lambda: range(len(self)), self._cells
        )
        facts = ("records", len(self)), ("data", size_text(int(self.sizes.sum())))
        return Card("RecordIndex", facts=facts, parts=[files, records])

    def _cells(self, at: int) -> tuple[Cell, ...]:
        return at, int(self.offsets[at]), int(self.sizes[at]), self.files[int(self.file_numbers[at])]

    def _repr_html_(self) -> str:
        return to_html(self._card)
