"""Batches of frames, the form in which records come out of a file.

A batch is a stretch of bytes and the borders of the frames in it. A decoder of many small records works on
the whole stretch at once; cut at its borders, it gives records one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import ChecksumError, CkptfmtError, LimitError
from ckptfmt.example.parse import Features, SequenceExample, parse_example, parse_sequence_example
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.page import to_html
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE, OVERHEAD
from ckptfmt.text.quoting import beginning
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, unmask

T = TypeVar("T")


class Record(NamedTuple):
    """A record of a file."""

    view: Buffer
    """Its data; a view of the mapped file if they are large."""
    offset: int
    """Where its frame begins in the file; in a compressed file, in the decompressed bytes."""
    file: str
    """The file."""

    def _card(self) -> Card:
        begins = beginning(bytes(self.view[:16]), len(self.view))
        return Card("Record", self.file, [("offset", self.offset), ("data", begins)])

    def _repr_html_(self) -> str:
        return to_html(self._card)

    @property
    def data(self) -> bytes:
        """The data as bytes, a copy if :attr:`view` is a view. Raises LimitError if memory runs out."""
        try:
            return bytes(self.view)
        except MemoryError as error:
            size = len(self.view)
            what = "bytes of memory"
            raise LimitError(what, limit=memory_size(), asked=size, file=self.file) from error

    def example(self) -> Features:
        """Return the features of the ``tf.train.Example`` in the data: see :func:`ckptfmt.parse_example`."""
        return self._parse(parse_example)

    def sequence_example(self) -> SequenceExample:
        """Return the ``tf.train.SequenceExample``: see :func:`ckptfmt.parse_sequence_example`."""
        return self._parse(parse_sequence_example)

    def _parse(self, parse: Callable[[Buffer], T]) -> T:
        try:
            return parse(self.view)
        except CkptfmtError as error:
            raise error.at(self.file, self.offset + HEADER_SIZE) from error.__cause__


@dataclass(frozen=True)
class Batch:
    """Frames that follow one another, not verified yet."""

    data: Buffer
    """Bytes that hold all the frames."""
    base: int
    """Offset of these bytes in the file."""
    borders: np.ndarray
    """Where each frame begins in the bytes, and where the last one ends (int64)."""

    @cached_property
    def begins(self) -> np.ndarray:
        """Where the data of each record begin in the bytes (int64)."""
        return self.borders[:-1] + HEADER_SIZE

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of data bytes of each record (int64)."""
        return np.diff(self.borders) - OVERHEAD

    def __len__(self) -> int:
        return len(self.borders) - 1

    def check(self, number: int, file: str) -> ChecksumError | None:
        """Return the error if the data of record ``number`` do not match their checksum, else None."""
        begin, end = int(self.borders[number]) + HEADER_SIZE, int(self.borders[number + 1]) - FOOTER_SIZE
        computed = crc32c(memoryview(self.data)[begin:end])
        stored = unmask(int.from_bytes(self.data[end : end + FOOTER_SIZE], "little"))
        if computed == stored:
            return None
        return ChecksumError(
            "record: checksum mismatch",
            stored=stored,
            computed=computed,
            file=file,
            offset=self.base + begin - HEADER_SIZE,
        )
