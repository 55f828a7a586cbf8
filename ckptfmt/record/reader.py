"""Reading one file of records: batches of whole frames, and what to do where they are damaged.

A reader goes forwards and remembers where it is: at the end of a file that is still being written it stops
before the record that is not all there, and goes on from there when it is asked again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    CorruptError,
    DamageWarning,
    LimitError,
    TruncatedError,
)
from ckptfmt.record.frame import (
    FOOTER_SIZE,
    HEADER_SIZE,
    OVERHEAD,
    decode_header,
    find_frames,
    find_header,
)
from ckptfmt.record.source import Compression, Source
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, unmask

WINDOW = 4 << 20
"""Bytes read at once; a longer record is read alone."""

LARGE = 32 << 10
"""Bytes of a record from which on it is not worth to copy some of them at once."""

LIMIT = 2 << 30
"""Bytes of a compressed file without the end of a record that are read unless the caller says otherwise: as
many as a message may have."""


class Record(NamedTuple):
    """A record of a file."""

    view: Buffer
    """Its bytes: of a large one a view of the mapped file."""
    offset: int
    """Where its frame begins in the file; in a compressed one, in what it decompresses to."""
    file: str
    """The file."""

    @property
    def data(self) -> bytes:
        """Its bytes, copied where they are a view."""
        return bytes(self.view)


@dataclass(frozen=True)
class Damage:
    """A stretch of a file that was skipped because it is damaged."""

    file: str
    offset: int
    """Where it begins; see :attr:`Record.offset`."""
    skipped: int
    """Bytes up to the next frame that was read, or to the end."""
    error: CkptfmtError
    """What is wrong there."""

    def __str__(self) -> str:
        return f"{self.error}: {self.skipped} bytes skipped"


@dataclass(frozen=True)
class Batch:
    """Frames that lie one behind the other, their data not yet verified."""

    data: Buffer
    """Bytes with all of them."""
    base: int
    """Offset of these bytes in the file."""
    borders: np.ndarray
    """Where in the bytes each frame begins, and where the last one ends (int64)."""

    @cached_property
    def begins(self) -> np.ndarray:
        """Where in the bytes the data of each record begin."""
        return self.borders[:-1] + HEADER_SIZE

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of the data of each record."""
        return np.diff(self.borders) - OVERHEAD

    def __len__(self) -> int:
        return len(self.borders) - 1

    def check(self, number: int, file: str) -> ChecksumError | None:
        """Return what is wrong with the data of one record, if anything is."""
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


class RecordReader:
    """Reads the records of one file, forwards.

    Parameters
    ----------
    source
        The file.
    verify
        Whether the checksums of data are verified by :meth:`records`; those of lengths always are.
    strict
        Whether damage is raised; else it is noted in :attr:`damage`, warned of, and skipped.
    limit
        Bytes of a compressed file without the end of a record that are read.
    """

    def __init__(
        self, source: Source, *, verify: bool = True, strict: bool = False, limit: int = LIMIT
    ) -> None:
        self.source = source
        self.name = source.name
        self.verify = verify
        self.strict = strict
        self.position = 0
        """Behind the last record read."""
        self.count = 0
        """Records read, damaged ones left out."""
        self.damage: list[Damage] = []
        """What was skipped so far."""
        self._limit = limit
        self._has_ended = False
        self._average = 0
        self._known: dict[bytes, int] = {}

    @property
    def compression(self) -> Compression | None:
        """How the file is compressed."""
        return self.source.compression

    @property
    def tail(self) -> int:
        """Bytes behind the last whole record, as far as known: of a record that is still being written."""
        return 0 if self.source.size is None else self.source.size - self.position

    def batches(self, *, with_data: bool = True) -> Iterator[Batch]:
        """Iterate over the whole frames from :attr:`position` on, some thousands at once.

        What is at fault in the data of records is for the caller to find out, and to :meth:`report`. Not
        ``with_data``, a record longer than :data:`WINDOW` is passed over without being read.

        Raises
        ------
        CorruptError
            A length is damaged, and reading is strict; or no record was found at all.
        LimitError
            A compressed file decompresses to more than the limit without a record in it.
        """
        source = self.source
        while True:
            # Of large records a view: to copy them takes longer than to check them.
            if self._average > LARGE and source.size is not None:
                window: Buffer = source.view(self.position, min(WINDOW, source.size - self.position))
            else:
                window = source.read(self.position, WINDOW)
            data = window
            frames = find_frames(window, self._known)
            if frames.end:
                yield self._batch(data, frames.borders)
                continue
            header = bytes(window[:HEADER_SIZE])
            if len(header) < HEADER_SIZE:
                return self._end(HEADER_SIZE, len(header))
            length = decode_header(header)
            if length is None:
                self._resynchronise(header)
                continue
            wanted = length + OVERHEAD
            if source.size is not None:
                available = source.size - self.position
            elif wanted > self._limit:
                place = f"{self.name} @0x{self.position:x}"
                raise LimitError(f"{place}: record of a compressed file", limit=self._limit, asked=wanted)
            else:
                data = source.read(self.position, wanted)
                available = len(data)
            if wanted > available:
                return self._end(wanted, available)
            if source.size is not None:
                data = source.view(self.position, wanted) if with_data else b""
            yield self._batch(data, np.array([0, wanted], np.int64))

    def _batch(self, data: Buffer, borders: np.ndarray) -> Batch:
        batch = Batch(data, self.position, borders)
        self.position += int(borders[-1])
        self.count += len(batch)
        self._average = int(borders[-1]) // len(batch)
        return batch

    def _end(self, wanted: int, available: int) -> None:
        """Stop where a record is not all there, which is where a file that is being written ends."""
        if self.source.error is not None and not self._has_ended:
            self._has_ended = True
            self._skip(self.position, available, self.source.error)
        elif available and self.strict:
            raise TruncatedError(
                "record", wanted=wanted, available=available, file=self.name, offset=self.position
            )

    def records(self) -> Iterator[Record]:
        """Iterate over the records from :attr:`position` on; errors as of :meth:`batches`.

        A record whose data do not match their checksum is skipped, or raised where reading is strict.
        """
        name = self.name
        for batch in self.batches():
            data, base = batch.data, batch.base
            borders = batch.borders.tolist()
            begin = borders[0]
            for number, end in enumerate(borders[1:]):
                stop = end - FOOTER_SIZE
                record = data[begin + HEADER_SIZE : stop]
                if self.verify:
                    crc = crc32c(record)
                    # The same as mask(), without a call.
                    stored = ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
                    if stored != data[stop:end]:
                        self.report_record(batch, number)
                        begin = end
                        continue
                yield Record(record, base + begin, name)
                begin = end

    def report_record(self, batch: Batch, number: int, error: CkptfmtError | None = None) -> None:
        """Note that a record is damaged and skipped, or raise that; without an error its checksum is."""
        error = error or batch.check(number, self.name)
        if error is None:
            return
        begin, end = batch.borders[number : number + 2].tolist()
        self.count -= 1
        self._skip(batch.base + begin, end - begin, error)

    def _skip(self, offset: int, size: int, error: CkptfmtError) -> None:
        if self.strict:
            raise error
        damage = Damage(self.name, offset, size, error)
        self.damage.append(damage)
        warnings.warn(str(damage), DamageWarning, stacklevel=2)

    def _resynchronise(self, header: bytes) -> None:
        """Go on behind a header that does not hold, at the next one that does; else at the end."""
        start = self.position
        length, stored = int.from_bytes(header[:8], "little"), int.from_bytes(header[8:], "little")
        error = ChecksumError(
            f"length {length} of a record: checksum mismatch",
            stored=unmask(stored),
            computed=crc32c(header[:8]),
            file=self.name,
            offset=start,
        )
        if self.strict:
            raise error
        at = start + 1
        while True:
            data = self.source.read(at, WINDOW)
            size = self.source.size
            found = find_header(data, 0, self._limit if size is None else max(0, size - at - OVERHEAD))
            if found is not None or len(data) < WINDOW:
                break
            at += WINDOW - HEADER_SIZE + 1
            if size is None and at - start > self._limit:
                raise LimitError(
                    f"{self.name} @0x{start:x}: bytes without a record", limit=self._limit, asked=at - start
                )
        self.position = at + (len(data) if found is None else found)
        if not self.count and not self.damage and found is None:
            raise CorruptError(
                "not a file of records: no length whose checksum holds", file=self.name, offset=0
            )
        self._skip(start, self.position - start, error)
