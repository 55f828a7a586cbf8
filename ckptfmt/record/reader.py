"""The reader of one file of records: forwards, batch by batch, past what is damaged.

It ties four things together, each of which stands alone: the bytes come from a
:class:`~ckptfmt.record.input.Source`, frames are found in them by :func:`~ckptfmt.record.frame.find_frames`,
:class:`~ckptfmt.record.recovery.Recovery` says where to go on after damage, and a
:class:`~ckptfmt.record.damage.DamageLog` keeps what was skipped. Here are the position and the loop.

A file may still be written. Reading then stops before a record that is not complete, and goes on there when
it is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, LimitError, TruncatedError
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.damage import Damage, DamageLog, OnDamage
from ckptfmt.record.frame import FOOTER_SIZE, HEADER_SIZE, OVERHEAD, decode_header, find_frames
from ckptfmt.record.inflate import Compression
from ckptfmt.record.input import Source
from ckptfmt.record.recovery import WINDOW, Gap, Recovery
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, unmask

FIRST_WINDOW = 4 << 10
"""Bytes read at once after damage: if there is much of it, most of a larger window would not be used."""

LARGE = 32 << 10
"""Average size from which on records are viewed: copying some of them at once does not pay any more."""

LIMIT = 256 << 20
"""Bytes of one record of a compressed file, or of a stretch without any, unless the caller says otherwise."""


class RecordReader:
    """Reads the records of one file, forwards.

    Reading begins again at the beginning of the file, which :attr:`restarts` counts, if another file is found
    under its name (see :meth:`Source.refresh`), or if the file has grown so that a record turns out to be
    valid that had been skipped as incomplete (see :mod:`ckptfmt.record.recovery`).

    Parameters
    ----------
    source
        The file.
    verify
        Whether :meth:`records` verifies the checksums of data; those of lengths are always verified.
    strict
        Whether damage is raised; else it is noted, told and skipped. What is raised is not passed: it is
        raised again when reading goes on.
    growing
        Whether the file may still be written, so that an incomplete end is not damage for ``strict``.
    limit
        Bytes of one record of a compressed file, and of a stretch of it without any record.
    on_damage
        Called with each stretch of damage, instead of a warning.
    """

    def __init__(
        self,
        source: Source,
        *,
        verify: bool = True,
        strict: bool = False,
        growing: bool = False,
        limit: int = LIMIT,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.source = source
        self.verify = verify
        self.strict = strict
        self.growing = growing
        self.position = 0
        """Where reading goes on: after the last batch that was used to its end."""
        self.count = 0
        """Records read, without damaged ones."""
        self.restarts = 0
        """How often the file was read from its beginning again."""
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._recovery = Recovery(source, verify=verify, limit=limit)
        self._log = DamageLog(source.name, on_damage)
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self._source_restarts = self.source.restarts
        self._ended_at: tuple[int, int] | None = None  # extent of the source when all of it had been read
        self._has_records = False
        self._is_fault_told = False  # that of compressed data
        self._gap: Gap | None = None
        self._window = WINDOW
        self._average = 0  # bytes of a frame in the last batch
        # Of the batch in hand: how many of its records are damaged, and where to go on instead of after it.
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
        """What was skipped so far, always the same list; see :data:`~ckptfmt.record.damage.MAX_DAMAGE`."""
        return self._log.stretches

    @property
    def tail(self) -> int:
        """Bytes after the last whole record, as far as known: those of a record that is still being written.

        At least 1 if a compressed file ends before its compressed data do.
        """
        source = self.source
        return max(0, source.end - self.position, 1 if source.is_cut else 0)

    def find_in_tail(self) -> int | None:
        """Return where in the tail a whole record stands, in one that is being written or after it."""
        return self._recovery.find_frame(self.position + 1, self.source.end).place

    # --- frames --------------------------------------------------------------------------------------------

    def batches(self, *, with_data: bool = True) -> Iterator[Batch]:
        """Iterate over the whole frames from :attr:`position` on, some thousands at once.

        The data of records are not verified: the caller does so, and calls :meth:`report_record` for those
        that are damaged before the next batch is asked for. A batch counts as used when the next one is asked
        for; if that never happens, it is read again.

        Without ``with_data``, a record longer than :data:`WINDOW` is passed over without being read.

        Raises
        ------
        CorruptError
            Reading is strict, and a length is damaged or the last record is not complete; or the file has no
            records at all.
        LimitError
            A record of a compressed file is longer than the limit, or so much of it has none; or memory
            lacks.
        """
        source = self.source
        if source.restarts != self._source_restarts:
            self.restarts += 1
            self._begin()
        if source.has_ended or self._ended_at == source.extent:
            return
        if self._recovery.is_disproved():
            # The same file, of which what was said does not hold any more.
            self.restarts += 1
            self.count = 0
            self._log.clear()
            self._begin()
        while self._gap is None or self._cross_gap():
            # Large records are viewed: copying them takes longer than checking them.
            read = source.view if self._average > LARGE else source.read
            data: Buffer = read(self.position, min(self._window, WINDOW))
            borders = find_frames(data, self._known)
            if len(borders) > 1:
                yield from self._used(Batch(data, self.position, borders))
                continue
            # No frame is whole in the window: the record is damaged, longer than the window, or not complete.
            header = bytes(data[:HEADER_SIZE])
            if len(header) < HEADER_SIZE:
                return self._stop(HEADER_SIZE, len(header))
            length = decode_header(header)
            if length is None:
                self._enter_gap(header)
                continue
            del data
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
        """Hand on a batch, and go on after it once it was used."""
        self._spoiled, self._resume_at = 0, None
        yield batch
        end = int(batch.borders[-1])
        self.count += len(batch) - self._spoiled
        self._average = end // len(batch)
        self._has_records = True
        if end >= self._window // 2:
            self._window = min(4 * self._window, WINDOW)
        self.position = batch.base + end
        if self._resume_at is not None:
            self._resume(self._resume_at)

    def _decompress(self, size: int) -> None:
        """Have a record decompressed, as far as there is of it; LimitError if it is too long."""
        source = self.source
        if size <= self._limit:
            source.view(self.position, size)
            return
        # A length that no file of this size can hold is damage, or the file is cut short: more than the limit
        # need not be decompressed to tell, if a frame comes before it or the file ends.
        if size > source.at_most:
            source.view(self.position, self._limit)
            if (
                source.is_exhausted
                or self._recovery.find_frame(self.position + HEADER_SIZE, source.end).place is not None
            ):
                return
        raise LimitError(
            "record of a compressed file (limit= allows more)",
            file=self.name,
            offset=self.position,
            limit=self._limit,
            asked=size,
        )

    def _stop(self, wanted: int, available: int) -> None:
        """Stop where a record is not complete, which is where a file that is being written ends."""
        source = self.source
        error = source.error
        if error is not None:
            if not self._is_fault_told:
                self._log.close()
                self._skip(self.position, available, error.at(self.name, self.position))
                self._is_fault_told = True
                self.position += available
        elif self.strict and not self.growing and (available or source.is_cut):
            what = f"{source.compression} data end within a record" if source.is_cut else "record"
            raise TruncatedError(
                what if available else f"{source.compression} data, which end too early",
                wanted=wanted if available else 1,
                available=available,
                file=self.name,
                offset=self.position,
            )
        self._ended_at = source.extent
        self._log.tell_rest()

    # --- records -------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Iterate over the records from :attr:`position` on; errors as of :meth:`batches`.

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
                    # mask(), without the call, which takes as long as the checksum of a small record.
                    stored = ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
                    if stored != data[stop:end]:
                        self.report_record(batch, number)
                        begin = end
                        continue
                yield Record(record, base + begin, name)
                begin = end
            # Not to hold a large one while the next is read.
            del batch, data, record

    # --- damage --------------------------------------------------------------------------------------------

    def report_record(self, batch: Batch, number: int, error: CkptfmtError | None = None) -> None:
        """Note that a record of the last batch is damaged and skipped, or raise that if reading is strict.

        Without an error it is that of its checksum; if that matches, nothing is noted. After a record whose
        data do not match, and which no frame follows, reading goes on at the next frame within it.
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
        """Note that the last record of :meth:`records` makes no sense, or raise that if reading is strict."""
        self._skip(record.offset, len(record.view) + OVERHEAD, error)
        self._spoil(self.position)

    def _spoil(self, base: int) -> None:
        """Leave a record of the batch at ``base`` out of the count."""
        if base == self.position:
            self._spoiled += 1  # the batch in hand, which has not been counted yet
        else:
            self.count -= 1

    def _pass_cut_record(self, size: int) -> bool:
        """Go on within a record that reaches beyond the end; False if it may be being written."""
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
        """The error of a record in which reading goes on, the same however much follows there."""
        return TruncatedError(
            "record", wanted=size, available=resume_at - start, file=self.name, offset=start
        )

    def _enter_gap(self, header: bytes) -> None:
        """Look for the next header after one that does not match; raise that if reading is strict."""
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
        self._gap = Gap(start, error, start + 1)

    def _cross_gap(self) -> bool:
        """Go on at the next header that matches; False if there is none yet."""
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
            what = "not a file of records: no length whose checksum holds"
            raise CorruptError(what, file=self.name, offset=0)
        self._skip(gap.start, gap.end - gap.start, gap.error, is_open=True)
        self.position = gap.end
        return False

    def _resume(self, position: int) -> None:
        """Go on after damage, of which there may be more."""
        self.position = position
        self._window = FIRST_WINDOW

    def _skip(self, offset: int, size: int, error: CkptfmtError, *, is_open: bool = False) -> None:
        """Raise an error if reading is strict, else note what is skipped for it."""
        if self.strict:
            raise error
        self._log.note(offset, size, error, is_open=is_open)
