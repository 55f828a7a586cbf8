"""The reader of one file of records, which goes forwards and skips what is damaged.

It ties together four parts that know nothing of one another's work: a :class:`~ckptfmt.record.input.Source`
gives bytes, :func:`~ckptfmt.record.frame.find_frames` finds the frames in them,
:class:`~ckptfmt.record.recovery.Recovery` decides where to resume after damage, and a
:class:`~ckptfmt.record.damage.DamageLog` keeps what was skipped. The reader adds the position and the loop.

A file may still be being written. The reader then stops before a record that is not complete, and goes on
from there when it is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, LimitError, TruncatedError
from ckptfmt.limits import DEFAULT
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.damage import Damage, DamageLog, OnDamage
from ckptfmt.record.frame import (
    FOOTER_SIZE,
    HEADER_SIZE,
    OVERHEAD,
    decode_header,
    find_frames,
    may_become_header,
)
from ckptfmt.record.inflate import Compression
from ckptfmt.record.input import Source
from ckptfmt.record.recovery import WINDOW, Gap, Recovery
from ckptfmt.text.quoting import beginning
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, unmask
from ckptfmt.wire.text_conversion import SAMPLE_SIZE, text_conversion

E = TypeVar("E", bound=CkptfmtError)

FIRST_WINDOW = 4 << 10
"""Bytes read at once right after damage: if more damage follows, most of a larger window is wasted."""

LARGE = 32 << 10
"""Average record size above which records are viewed instead of copied some at a time."""


class RecordReader:
    """Reads the records of one file, forwards.

    Reading restarts at the beginning, which :attr:`restarts` counts, if the file was replaced by another one
    (see :meth:`Source.refresh`), or if new bytes show that a record skipped as incomplete is valid (see
    :mod:`ckptfmt.record.recovery`).

    Parameters
    ----------
    source
        The file.
    verify
        Whether :meth:`records` verifies the checksums of data; those of lengths are always verified.
    strict
        Whether damage is raised instead of being noted, reported and skipped. The position does not move, so
        that reading on raises the same error again.
    growing
        Whether the file may still be being written, so that ``strict`` accepts an incomplete last record.
    limit
        Bytes allowed for one record of a compressed file, and for a stretch of it without any.
    on_damage
        Called with each stretch of damage, in place of a warning.
    """

    def __init__(
        self,
        source: Source,
        *,
        verify: bool = True,
        strict: bool = False,
        growing: bool = False,
        limit: int = DEFAULT.record,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.source = source
        self.verify = verify
        self.strict = strict
        self.growing = growing
        self.position = 0
        """Where reading goes on. A batch that the caller abandons is read again."""
        self.count = 0
        """Records read, except damaged ones."""
        self.restarts = 0
        """How often reading restarted at the beginning."""
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._recovery = Recovery(source, verify=verify, limit=limit)
        self._log = DamageLog(source.name, on_damage)
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self._source_restarts = self.source.restarts
        self._ended_at: tuple[int, int] | None = None  # the source when all of it had been read
        self._has_records = False
        self._is_fault_noted = False  # whether the damage of compressed data was noted
        self._gap: Gap | None = None
        self._window = WINDOW
        self._average = 0  # bytes per frame in the last batch
        # About the batch in the hands of the caller: its damaged records, and where to go on if not after it.
        self._spoiled = 0
        self._resume_at: int | None = None
        self._log.begin()
        self._recovery.begin()

    @property
    def name(self) -> str:
        """The file."""
        return self.source.name

    @property
    def compression(self) -> Compression | None:
        """How the file is compressed."""
        return self.source.compression

    @property
    def damage(self) -> list[Damage]:
        """What was skipped so far, always the same list."""
        return self._log.stretches

    @property
    def tail(self) -> int:
        """Bytes after the last whole record: the beginning of one that is being written.

        At least 1 if a compressed file ends before its compressed data do.
        """
        source = self.source
        return max(0, source.end - self.position, 1 if source.is_cut else 0)

    def find_in_tail(self) -> int | None:
        """Return where a whole record begins in the tail, None if none does."""
        return self._recovery.find_frame(self.position + 1, self.source.end).place

    # --- frames --------------------------------------------------------------------------------------------

    def batches(self, *, with_data: bool = True) -> Iterator[Batch]:
        """Iterate over the whole frames from :attr:`position` on, thousands at a time.

        The data of records are not verified. The caller does that, and calls :meth:`report_record` for
        damaged ones before asking for the next batch. Asking for it also marks the batch as used; a batch
        that is never marked is read again.

        With ``with_data=False``, a record longer than :data:`WINDOW` is skipped without reading its data.

        Raises
        ------
        CorruptError
            The file has no records at all; or reading is strict, and a length is damaged or the last record
            is incomplete.
        LimitError
            A record of a compressed file is longer than the limit, or a stretch of it without records is; or
            memory runs out.
        """
        source = self.source
        if source.restarts != self._source_restarts:
            self.restarts += 1
            self._begin()
        if source.has_ended or self._ended_at == source.extent:
            return
        if self._recovery.is_disproved():
            # The same file, but what was returned and noted no longer holds.
            self.restarts += 1
            self.count = 0
            self._log.clear()
            self._begin()
        # Each round yields frames, passes damage or stops. A gap stays open across calls until a header is
        # found, because the file may grow.
        while self._gap is None or self._cross_gap():
            # Copying small records is cheaper than a view of each; copying large ones costs more than their
            # checksum.
            read = source.view if self._average > LARGE else source.read
            data: Buffer = read(self.position, min(self._window, WINDOW))
            borders = find_frames(data, self._known)
            if len(borders) > 1:
                yield from self._used(Batch(data, self.position, borders))
                continue
            # No whole frame at this position: the record is damaged, longer than the window, or incomplete.
            header = bytes(data[:HEADER_SIZE])
            if len(header) < HEADER_SIZE:
                if not self.position and not may_become_header(header):
                    raise self._refused()
                return self._stop(HEADER_SIZE, len(header))
            length = decode_header(header)
            if length is None:
                self._enter_gap(header)
                continue
            del data  # so that the window and a long record are not in memory together
            size = length + OVERHEAD
            if source.size is None:
                self._decompress(size)
            if size > source.end - self.position:
                if self._pass_cut_record(size):
                    continue
                return self._stop(size, source.end - self.position)
            data = source.view(self.position, size) if with_data or source.size is None else b""
            yield from self._used(Batch(data, self.position, np.array([0, size], np.int64)))
            del data
        # Nothing but damage is left.
        self._stop(0, 0)

    def _used(self, batch: Batch) -> Iterator[Batch]:
        """Yield a batch; go on after it once the caller asks for the next one."""
        self._spoiled, self._resume_at = 0, None
        yield batch
        end = int(batch.borders[-1])
        self.count += len(batch) - self._spoiled
        self._average = end // len(batch)
        self._has_records = True
        # Grow only if batches fill the window: after damage, more of it may cut them short.
        if end >= self._window // 2:
            self._window = min(4 * self._window, WINDOW)
        self.position = batch.base + end
        if self._resume_at is not None:
            self._resume(self._resume_at)

    def _decompress(self, size: int) -> None:
        """Decompress a record as far as it exists; LimitError if it is longer than the limit."""
        source = self.source
        if size <= self._limit:
            source.view(self.position, size)
            return
        # A record too long for a file of this size is damaged or cut short, and recovery has to decide which.
        # It can, if decompressing up to the limit reaches the end of the file or a frame in the record.
        if size > source.at_most:
            source.view(self.position, self._limit)
            if (
                source.is_exhausted
                or self._recovery.find_frame(self.position + HEADER_SIZE, source.end).place is not None
            ):
                return
        raise LimitError(
            "bytes of a record in a compressed file",
            file=self.name,
            offset=self.position,
            limit=self._limit,
            asked=size,
            field="max_record",
        )

    def _stop(self, wanted: int, available: int) -> None:
        """Stop at an incomplete record, as at the end of a file that is being written."""
        source = self.source
        error = source.error
        if error is not None:
            if not self._is_fault_noted:
                self._log.close()
                self._skip(self.position, available, error.at(self.name, self.position))
                self._is_fault_noted = True
                self.position += available
        elif self.strict and not self.growing and (available or source.is_cut):
            what = f"{source.compression} data end within a record" if source.is_cut else "record"
            raise TruncatedError(
                what if available else f"{source.compression} data are truncated",
                wanted=wanted if available else 1,
                available=available,
                file=self.name,
                offset=self.position,
            )
        self._ended_at = source.extent
        self._log.report_rest()

    # --- records -------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Iterate over the records from :attr:`position` on; raises what :meth:`batches` raises.

        A record whose data do not match their checksum is skipped, or raised if reading is strict.
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
                    # mask() inlined: the call would cost as much as the checksum of a small record.
                    stored = ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
                    if stored != data[stop:end]:
                        self.report_record(batch, number)
                        begin = end
                        continue
                yield Record(record, base + begin, name)
                begin = end
            # Release a large record before the next one is read.
            del batch, data, record

    # --- damage --------------------------------------------------------------------------------------------

    def report_record(self, batch: Batch, number: int, error: CkptfmtError | None = None) -> None:
        """Note that a record of the last batch is damaged and skipped; raise the error if reading is strict.

        Without ``error`` the checksum decides: nothing is noted if it matches. If no frame follows a record
        whose data do not match, reading may go on at a frame within it.
        """
        error = error or batch.check(number, self.name)
        if error is None:
            return
        begin, end = batch.borders[number : number + 2].tolist()
        offset, size = batch.base + begin, end - begin
        is_last = number == len(batch) - 1 and batch.base == self.position
        if is_last and isinstance(error, ChecksumError) and not self.strict:
            detour = self._recovery.after_spoiled(offset, size)
            self._recovery.remember(detour)
            if detour.resume_at != offset + size:
                self._resume_at = detour.resume_at
                error = self._cut_short(offset, size, detour.resume_at)
                size = detour.resume_at - offset
        self._skip(offset, size, error)
        self._spoil(batch.base)

    def report(self, record: Record, error: CkptfmtError) -> None:
        """Note that the content of the last record of :meth:`records` is wrong; raise that if strict."""
        self._skip(record.offset, len(record.view) + OVERHEAD, error)
        self._spoil(self.position)

    def _spoil(self, base: int) -> None:
        """Take a record of the batch at ``base`` out of the count."""
        if base == self.position:
            self._spoiled += 1  # its batch has not been counted yet
        else:
            self.count -= 1

    def _pass_cut_record(self, size: int) -> bool:
        """Go on within a record that extends beyond the end; return False if it may be being written."""
        start = self.position
        detour = self._recovery.after_cut(start, size)
        if detour is None:
            return False
        place = detour.resume_at
        self._skip(start, place - start, self._cut_short(start, size, place))
        self._recovery.remember(detour)
        self._resume(place)
        return True

    def _cut_short(self, start: int, size: int, resume_at: int) -> TruncatedError:
        """Return the error of a record that was given up because reading resumes within it."""
        return TruncatedError(
            "record", wanted=size, available=resume_at - start, file=self.name, offset=start
        )

    def _enter_gap(self, header: bytes) -> None:
        """Begin to look for the next header after one that does not match; raise that if strict."""
        start = self.position
        length, stored = int.from_bytes(header[:8], "little"), int.from_bytes(header[8:], "little")
        error = ChecksumError(
            f"length of a record, {length}: checksum mismatch",
            stored=unmask(stored),
            computed=crc32c(header[:8]),
            file=self.name,
            offset=start,
        )
        if self.strict:
            raise self._explained(error)
        self._gap = Gap(start, error, start + 1)

    def _cross_gap(self) -> bool:
        """Go on at the next header that matches; return False if none was found yet."""
        gap = self._gap
        assert gap is not None
        place = self._recovery.find_header(gap)
        if place is not None:
            self._gap = None
            self._resume(place)
            self._skip(gap.start, place - gap.start, gap.error)
            return True
        if not self._has_records and not self._log.is_damaged:
            self._gap = None
            raise self._refused()
        self._skip(gap.start, gap.end - gap.start, gap.error, is_open=True)
        self.position = gap.end
        return False

    def _refused(self) -> CorruptError:
        """Return the error for a file that does not begin with a record, and has none further on."""
        stored = beginning(self.source.stored(HEADER_SIZE), self.source.extent[1])
        what = f"not a file of records: no length matches its checksum in {stored}"
        return self._explained(CorruptError(what, file=self.name, offset=0))

    def _resume(self, position: int) -> None:
        """Go on after damage, with a small window because more damage may follow."""
        self.position = position
        self._window = FIRST_WINDOW

    def _skip(self, offset: int, size: int, error: CkptfmtError, *, is_open: bool = False) -> None:
        """Raise the error if reading is strict, else note the bytes skipped because of it."""
        # Once for a file: a change to all of it is worth knowing, but not at every place.
        if self.strict or not self._log.is_damaged:
            error = self._explained(error)
        if self.strict:
            raise error
        self._log.note(offset, size, error, is_open=is_open)

    def _explained(self, error: E) -> E:
        """Add to an error that the file was changed as text, if it was."""
        conversion = text_conversion(self.source.stored(SAMPLE_SIZE))
        if conversion is not None and conversion not in error.what:
            error.what = f"{error.what}; the file was {conversion}"
        return error
