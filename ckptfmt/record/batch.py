"""Batches: whole frames that follow one another, as they come out of a file; and the records in them.

A batch is one stretch of bytes with the borders of the frames in it. Whoever decodes many small records works
on the stretch as a whole; whoever wants records cuts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ckptfmt.errors import ChecksumError, LimitError
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE, OVERHEAD
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, unmask


class Record(NamedTuple):
    """A record of a file."""

    view: Buffer
    """Its bytes; a view of the mapped file if it is large."""
    offset: int
    """Where its frame begins in the file, or in what a compressed file decompresses to."""
    file: str
    """The file."""

    @property
    def data(self) -> bytes:
        """Its bytes, copied if they are a view. Raises LimitError if memory lacks."""
        try:
            return bytes(self.view)
        except MemoryError as error:
            size = len(self.view)
            what = f"memory for {size} bytes"
            raise LimitError(what, limit=memory_size(), asked=size, file=self.file) from error


@dataclass(frozen=True)
class Batch:
    """Frames that follow one another; their data are not verified yet."""

    data: Buffer
    """Bytes that hold all of them."""
    base: int
    """Offset of these bytes in the file."""
    borders: np.ndarray
    """Where in the bytes each frame begins and, last, where the last one ends (int64)."""

    @cached_property
    def begins(self) -> np.ndarray:
        """Where in the bytes the data of each record begin (int64)."""
        return self.borders[:-1] + HEADER_SIZE

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of the data of each record (int64)."""
        return np.diff(self.borders) - OVERHEAD

    def __len__(self) -> int:
        return len(self.borders) - 1

    def check(self, number: int, file: str) -> ChecksumError | None:
        """Return the error of a record whose data do not match their checksum, None if they do."""
        begin, end = int(self.borders[number]) + HEADER_SIZE, int(self.borders[number + 1]) - FOOTER_SIZE
        computed = crc32c(memoryview(self.data)[begin:end])
        stored = unmask(int.from_bytes(self.data[end : end + FOOTER_SIZE], "little"))
        if computed == stored:
            return None
        return ChecksumError(
            "record checksum mismatch",
            stored=stored,
            computed=computed,
            file=file,
            offset=self.base + begin - HEADER_SIZE,
        )
