"""Reading one file of records: batches of whole frames, and what to do where they are damaged.

A reader goes forwards and remembers where it is: at the end of a file that is still being written it stops
before the record that is not all there, and goes on from there when it is asked again.
"""

from __future__ import annotations

import math
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
    find_headers,
)
from ckptfmt.record.input import Compression, Source
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc32c import crc32c, mask, unmask

WINDOW = 4 << 20
"""Bytes read at once; a longer record is read alone."""

FIRST_WINDOW = 4 << 10
"""Bytes read at once behind damage: where there is much of it, most of what is read would not be used."""

FIRST_SEARCHED = 256
"""Bytes behind damage that are searched first, and then four times as many each time."""

LARGE = 32 << 10
"""Bytes of a record from which on it is not worth to copy some of them at once."""

LIMIT = 256 << 20
"""Bytes of one record of a compressed file, or without any, unless the caller says otherwise."""

LONGEST_TAIL = 2 << 30
"""Bytes of a record that is taken for one still being written, where that is found behind damage: as many as
a message may have."""

CHECKED = 256 << 20
"""Bytes whose checksum is computed to find frames in damaged records, with :data:`CHECKED_SHARE`: lengths
made to abuse a reader would have all of a file checked for each of them."""

CHECKED_SHARE = 16
"""The same, for each byte of the file."""

MAX_CHOICES = 1 << 10
"""Places remembered where reading went on as a file that grows may show to be wrong."""

MAX_WARNINGS = 10
"""Warnings of one file; of further damage only the count is told."""

MAX_DAMAGE = 1 << 15
"""Stretches noted of one file; the last one stands for all others."""


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
        """Its bytes, copied where they are a view; LimitError where memory lacks."""
        try:
            return bytes(self.view)
        except MemoryError as error:
            size = len(self.view)
            what = f"memory for {size} bytes"
            raise LimitError(what, limit=memory_size(), asked=size, file=self.file) from error


@dataclass(frozen=True)
class Damage:
    """A stretch of a file that was skipped because it is damaged."""

    file: str
    offset: int
    """Where it begins; see :attr:`Record.offset`."""
    skipped: int
    """Bytes up to the next frame that was read, or to the end; where a file does not decompress, those that
    had been decompressed: how many are lost behind them cannot be told."""
    error: CkptfmtError
    """What is wrong there; its place is that of the damage."""

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


@dataclass(frozen=True)
class _Lost:
    """Damage behind which no frame has been found yet."""

    start: int
    error: CkptfmtError
    at: int
    """Where the search goes on; what lies before has no frame."""


@dataclass
class _Walk:
    """How far frames were followed from one that lies in a record of which not all is there."""

    at: int
    is_lost: bool = False
    """Whether no frame begins there, nor between there and the last one."""


@dataclass
class _Choice:
    """Where reading went on at a record that was not taken, as far as could be told by what was there."""

    start: int
    size: int
    """Bytes of its frame, as its length has them."""
    place: int
    """Where reading went on."""
    due: float
    """Where the file has to end for another choice to be possible."""
    walk: _Walk | None = None
    """Of a record of which not all was there: what lies behind the place."""


class _Found(NamedTuple):
    """What a search for frames has found."""

    place: int | None
    """Where the first whole frame begins whose data match."""
    pending: int | None
    """Where the first header before it stands whose record reaches beyond the end."""
    due: float
    """Where the first of these records ends."""
    resume: int
    """Where to search once there is more."""


class RecordReader:
    """Reads the records of one file, forwards.

    Where the file turns out to be another one than before (see :meth:`Source.refresh`), it is read from its
    beginning. So it is where a file that has grown shows that a record is one which had been given up, since
    it was not all there and frames lay in it: see :attr:`restarts`.

    Parameters
    ----------
    source
        The file.
    verify
        Whether the checksums of data are verified by :meth:`records`; those of lengths always are.
    strict
        Whether damage is raised; else it is noted in :attr:`damage`, warned of, and skipped. What is raised
        is not passed: it is raised again when reading goes on.
    growing
        Whether the file may still be written, so that its half-written end is no damage for ``strict``.
    limit
        Bytes of one record of a compressed file, and of such a file without any record.
    """

    def __init__(
        self,
        source: Source,
        *,
        verify: bool = True,
        strict: bool = False,
        growing: bool = False,
        limit: int = LIMIT,
    ) -> None:
        self.source = source
        self.name = source.name
        self.verify = verify
        self.strict = strict
        self.growing = growing
        self.position = 0
        """Behind the last batch that was used: what was not all used is read again."""
        self.count = 0
        """Records read, damaged ones left out."""
        self.damage: list[Damage] = []
        """What was skipped so far. Where there is more than is noted, the last one stands for all others."""
        self.restarts = 0
        """How often the file was read from its beginning again."""
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._checked = self._untold = self._folded = 0
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self._restarts = self.source.restarts
        self._has_records = self._has_damage = self._is_open = False
        self._is_damage_told = False
        self._average = self._spoiled = self._noted_up_to = 0
        self._window = WINDOW
        self._lost: _Lost | None = None
        self._resume: int | None = None
        self._searched = (0, 0)
        self._walked: _Walk | None = None
        self._walked_from = 0
        self._choices: dict[int, _Choice] = {}
        self._judged_at: tuple[int, int] | None = None
        self._ended_at: tuple[int, int] | None = None

    @property
    def compression(self) -> Compression | None:
        """How the file is compressed."""
        return self.source.compression

    @property
    def tail(self) -> int:
        """Bytes behind the last whole record, as far as known: of a record that is still being written.

        Of a compressed file that ends before its compressed data do, at least 1.
        """
        source = self.source
        return max(0, source.end - self.position, 1 if source.is_cut else 0)

    def find_in_tail(self) -> int | None:
        """Return where in the tail a whole record stands: within one that is being written, or behind it."""
        return self._find_frame(self.position + 1, self.source.end).place

    def batches(self, *, with_data: bool = True) -> Iterator[Batch]:
        """Iterate over the whole frames from :attr:`position` on, some thousands at once.

        What is at fault in the data of records is for the caller to find out, and to :meth:`report_record`
        before the next batch is asked for. Not ``with_data``, a record longer than :data:`WINDOW` is passed
        over without being read.

        Raises
        ------
        CorruptError
            Reading is strict, and a length is damaged or the last record is not all there; or no record was
            found at all.
        LimitError
            A record of a compressed file is longer than the limit, or so much of it holds none; or memory
            lacks.
        """
        source = self.source
        if source.restarts != self._restarts:
            self.restarts += 1
            self._begin()
        if source.has_ended or self._ended_at == source.extent:
            return
        if self._is_chosen_otherwise():
            # The same file: what was said of it does not hold any more.
            self.restarts += 1
            self.damage.clear()
            self.count = self._untold = self._folded = 0
            self._begin()
        while self._lost is None or self._find_again():
            # Of large records a view: to copy them takes longer than to check them.
            read = source.view if self._average > LARGE else source.read
            data: Buffer = read(self.position, min(self._window, WINDOW))
            frames = find_frames(data, self._known)
            if frames.end:
                yield from self._used(Batch(data, self.position, frames.borders))
                continue
            header = bytes(data[:HEADER_SIZE])
            if len(header) < HEADER_SIZE:
                return self._end(HEADER_SIZE, len(header))
            length = decode_header(header)
            if length is None:
                self._lose(header)
                continue
            del data
            wanted = length + OVERHEAD
            if source.size is None:
                self._decompress(wanted)
            if wanted > source.end - self.position:
                if self._go_on_behind(wanted):
                    continue
                return self._end(wanted, source.end - self.position)
            data = source.view(self.position, wanted) if with_data or source.size is None else b""
            yield from self._used(Batch(data, self.position, np.array([0, wanted], np.int64)))
            del data
        # Nothing but damage is left.
        self._end(0, 0)

    def _used(self, batch: Batch) -> Iterator[Batch]:
        """Hand on a batch, and go on behind it once it was used."""
        self._spoiled, self._resume = 0, None
        yield batch
        end = int(batch.borders[-1])
        self.count += len(batch) - self._spoiled
        self._average = end // len(batch)
        self._has_records = True
        if end >= self._window // 2:
            self._window = min(4 * self._window, WINDOW)
        self.position = batch.base + end
        if self._resume is not None:
            self._go_on_at(self._resume)

    def _go_on_at(self, position: int) -> None:
        self.position = position
        self._window = FIRST_WINDOW

    def _decompress(self, wanted: int) -> None:
        """Have a record decompressed, as far as it is there; LimitError where it is too long."""
        source = self.source
        if wanted <= self._limit:
            source.view(self.position, wanted)
            return
        # A length that no file of this size can hold is damage, or a file that is cut short.
        if wanted > source.at_most:
            source.view(self.position, self._limit)
            if (
                source.is_exhausted
                or self._find_frame(self.position + HEADER_SIZE, source.end).place is not None
            ):
                return
        raise LimitError(
            "record of a compressed file (limit= allows more)",
            file=self.name,
            offset=self.position,
            limit=self._limit,
            asked=wanted,
        )

    def _go_on_behind(self, wanted: int) -> bool:
        """Go on at a whole frame behind a record that reaches beyond the end; False where there is none.

        A length that holds may still be wrong: it is what a writer leaves that was ended within a record,
        when another one appends to the file. Without a frame behind it, the record is being written.
        """
        choice = self._behind_cut(self.position, wanted)
        if choice is None:
            return False
        start, place = self.position, choice.place
        self._skip(start, place - start, self._cut_short(start, wanted, place))
        self._remember(choice)
        self._go_on_at(place)
        return True

    def _cut_short(self, start: int, wanted: int, place: int) -> TruncatedError:
        """What is wrong with a record within which reading goes on, all the same how much is behind it."""
        return TruncatedError("record", wanted=wanted, available=place - start, file=self.name, offset=start)

    def _behind_cut(self, start: int, wanted: int) -> _Choice | None:
        """Where to go on at a record that reaches beyond the end; None where it may be being written.

        Frames in it may be its own: such records are in it, with what else it holds. Those of another writer
        lead to the end, or to a frame that is being written.
        """
        at = self._searched[1] if self._searched[0] == start else start + HEADER_SIZE
        found = self._find_frame(at, self.source.end)
        self._searched = start, found.resume
        if found.place is None:
            return None
        walk = None
        if wanted <= LONGEST_TAIL:
            walk = self._walked
            if walk is None or self._walked_from != found.place:
                walk = _Walk(found.place)
            self._walked, self._walked_from = walk, found.place
            if not self._leads_on(walk):
                return None
            self._walked = None
        # More than the limit is not decompressed to look again.
        is_readable = self.source.size is not None or wanted <= self._limit
        due = min(found.due, start + wanted) if is_readable else found.due
        return _Choice(start, wanted, found.place, due, walk)

    def _leads_on(self, walk: _Walk) -> bool:
        """Whether the last frame that is there leads to the end, or to one that is being written."""
        source, step = self.source, FIRST_SEARCHED
        while source.end - walk.at >= HEADER_SIZE:
            data = source.read(walk.at, min(step, WINDOW))
            if not self._may_check(len(data)):
                return True
            step *= 4
            if walk.is_lost:
                place = find_header(data, 0, LONGEST_TAIL)
                walk.is_lost = place is None
                walk.at += len(data) - HEADER_SIZE + 1 if place is None else place
                continue
            passed = find_frames(data, self._known).end
            if not passed:
                length = decode_header(data[:HEADER_SIZE])
                if length is None:
                    walk.is_lost, step = True, FIRST_SEARCHED
                    continue
                passed = length + OVERHEAD
                if walk.at + passed > source.end:
                    return True
                step = FIRST_SEARCHED
            walk.at += passed
        return not walk.is_lost

    def _remember(self, choice: _Choice) -> None:
        """Remember a choice that may turn out to be wrong when the file has grown."""
        is_open = choice.due < math.inf or choice.walk is not None
        if is_open and (len(self._choices) < MAX_CHOICES or choice.start in self._choices):
            self._choices[choice.start] = choice
        else:
            self._choices.pop(choice.start, None)

    def _is_chosen_otherwise(self) -> bool:
        """Whether the file has grown so that reading would have gone on elsewhere.

        A record that was given up may be all there by now.
        """
        source = self.source
        if not self._choices or self._judged_at == source.extent:
            return False
        while source.size is None and source.read(source.end, WINDOW):
            pass  # decompressed up to the end, and forgotten
        for choice in tuple(self._choices.values()):
            if source.end >= choice.due:
                self._walked, self._walked_from = choice.walk, choice.place
                new = self._judge(choice.start, choice.size)
                if new is None or new.place != choice.place:
                    return True
                self._remember(new)
            elif choice.walk is not None and not self._leads_on(choice.walk):
                return True
        self._judged_at = source.extent
        return False

    def _judge(self, start: int, size: int) -> _Choice | None:
        """Where to go on at a record that was not taken; None where it is to be read."""
        if self.source.end < start + size:
            return self._behind_cut(start, size)
        if self.source.size is None and size > self._limit:
            return None  # reading says so
        if not self.verify or (self._may_check(size) and self._matches(start, size - OVERHEAD)):
            return None
        return self._behind_spoiled(start, size)

    def _end(self, wanted: int, available: int) -> None:
        """Stop where a record is not all there, which is where a file that is being written ends."""
        source = self.source
        if source.error is not None:
            if not self._is_damage_told:
                self._is_open = False  # nothing more can come
                source.error.offset = self.position
                self._skip(self.position, available, source.error)
                self._is_damage_told = True
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
        self._has_come_to_an_end()

    def _has_come_to_an_end(self) -> None:
        self._ended_at = self.source.extent
        if self._untold:
            noun = "further stretch was" if self._untold == 1 else "further stretches were"
            warnings.warn(f"{self.name}: {self._untold} {noun} skipped", DamageWarning, stacklevel=2)
            self._untold = 0

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
            # Not to hold a large one while the next is read.
            del batch, data, record

    def report_record(self, batch: Batch, number: int, error: CkptfmtError | None = None) -> None:
        """Note that a record of the last batch is damaged and skipped, or raise that.

        Without an error it is that of its checksum, if that does not match. At a record whose data do not
        match, and behind which no frame begins, reading goes on at the next frame within it.
        """
        error = error or batch.check(number, self.name)
        if error is None:
            return
        begin, end = batch.borders[number : number + 2].tolist()
        offset, size = batch.base + begin, end - begin
        is_last = number == len(batch) - 1 and batch.base == self.position
        if is_last and isinstance(error, ChecksumError) and not self.strict:
            choice = self._behind_spoiled(offset, size)
            self._remember(choice)
            if choice.place != offset + size:
                self._resume = choice.place
                error = self._cut_short(offset, size, choice.place)
                size = choice.place - offset
        self._skip(offset, size, error)
        self._spoil(batch.base)

    def report(self, record: Record, error: CkptfmtError) -> None:
        """Note that the last record of :meth:`records` is damaged in what it says, or raise that."""
        self._skip(record.offset, len(record.view) + OVERHEAD, error)
        self._spoil(self.position)

    def _spoil(self, base: int) -> None:
        if base == self.position:
            self._spoiled += 1
        else:
            self.count -= 1

    def _behind_spoiled(self, offset: int, size: int) -> _Choice:
        """Where to go on at a record that is all there and whose data do not match: its length may be wrong.

        Behind it where the length is right: a frame begins there, or the file ends there and none of the
        frames in it, which may be records in a record, leads to the end. Else at the next frame within it,
        which may be one that is being written.
        """
        source, end = self.source, offset + size
        if source.size is None:
            # What was decompressed is not forgotten.
            header = bytes(source.view(offset, size + HEADER_SIZE)[size:])
        else:
            header = bytes(source.view(end, HEADER_SIZE))
        is_right = len(header) == HEADER_SIZE and decode_header(header) is not None
        # Shorter ones are read with those behind them, which have been used.
        if (is_right and size <= WINDOW) or not self._may_check(size):
            return _Choice(offset, size, end, math.inf)
        found = self._find_frame(offset + HEADER_SIZE, end)
        place = found.place
        if place is None:
            place = None if is_right else found.pending
        elif (is_right or not header) and not self._leads_to(place, end):
            place = None
        due = found.due if len(header) == HEADER_SIZE else source.end + 1
        return _Choice(offset, size, end if place is None else place, due)

    def _leads_to(self, at: int, end: int) -> bool:
        """Whether frames lie one behind the other up to a place."""
        while at < end:
            data = self.source.read(at, min(WINDOW, end - at))
            step = find_frames(data, self._known).end
            if not step:
                length = decode_header(data[:HEADER_SIZE]) if len(data) >= HEADER_SIZE else None
                if length is None:
                    return False
                step = length + OVERHEAD
            at += step
        return at == end

    def _find_frame(self, start: int, stop: int) -> _Found:
        """Find the first whole frame whose data match, and those before it of which not all is there."""
        at, step, pending, due = start, FIRST_SEARCHED, None, math.inf
        source = self.source
        while stop - at >= OVERHEAD:
            data = source.read(at, min(step, WINDOW, stop - at))
            for place in find_headers(data, 0, self._longest(at)).tolist():
                size = int.from_bytes(data[place : place + 8], "little")
                begin, end = at + place, at + place + size + OVERHEAD
                if end > source.end and source.size is None and end - start <= self._limit:
                    source.view(start, end - start)  # as much as there is of it
                if end > source.end:
                    pending, due = begin if pending is None else pending, min(due, end)
                elif self._may_check(size) and self._matches(begin, size):
                    return _Found(begin, pending, due, begin if pending is None else pending)
            if len(data) < HEADER_SIZE:
                break
            at += len(data) - HEADER_SIZE + 1
            step *= 4
        return _Found(None, pending, due, at if pending is None else pending)

    def _matches(self, offset: int, size: int) -> bool:
        stop = offset + HEADER_SIZE + size
        crc = self.source.crc(offset + HEADER_SIZE, size)
        return mask(crc) == int.from_bytes(self.source.view(stop, FOOTER_SIZE), "little")

    def _may_check(self, size: int) -> bool:
        """Whether a checksum is to be computed that may be in vain; see :data:`CHECKED`."""
        self._checked += size
        return self._checked <= CHECKED + CHECKED_SHARE * self.source.end

    def _longest(self, at: int) -> int:
        """The longest record that may begin behind a place, of which not all need be there yet."""
        size = self.source.size
        return self._limit if size is None else max(size - at, LONGEST_TAIL)

    def _skip(self, offset: int, size: int, error: CkptfmtError, *, is_open: bool = False) -> None:
        """Note damage, or raise it; where it ``is_open``, this may be said again with another size."""
        if self.strict:
            raise error
        self._has_damage = True
        damage = Damage(self.name, offset, size, error)
        if self._is_open:
            self.damage[-1] = damage
            self._is_open = is_open
            return
        if offset < self._noted_up_to:
            return  # of a batch that is read again
        self._noted_up_to = offset + 1
        if len(self.damage) < MAX_DAMAGE:
            self.damage.append(damage)
            self._is_open = is_open
        else:
            self._fold(damage)
        if len(self.damage) <= MAX_WARNINGS:
            warnings.warn(str(damage), DamageWarning, stacklevel=2)
        else:
            self._untold += 1

    def _fold(self, damage: Damage) -> None:
        """Let the last damage stand for one more."""
        last = self.damage[-1]
        self._folded += 1
        what = f"{self._folded + 1} damaged stretches, of which this is the first"
        error = CorruptError(what, file=self.name, offset=last.offset)
        self.damage[-1] = Damage(self.name, last.offset, last.skipped + damage.skipped, error)

    def _lose(self, header: bytes) -> None:
        """Note that a header does not hold; raised where reading is strict."""
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
        self._lost = _Lost(start, error, start + 1)

    def _find_again(self) -> bool:
        """Go on at the next header that holds; False where there is none yet."""
        lost = self._lost
        assert lost is not None
        source = self.source
        at, step = lost.at, FIRST_SEARCHED
        while True:
            if source.size is None and at - lost.start > self._limit:
                raise LimitError(
                    "bytes without a record (limit= allows more)",
                    file=self.name,
                    offset=lost.start,
                    limit=self._limit,
                    asked=at - lost.start,
                )
            asked = min(step, WINDOW)
            data = source.read(at, asked)
            found = find_header(data, 0, self._longest(at))
            if found is not None or len(data) < asked:
                break
            at += asked - HEADER_SIZE + 1
            step *= 4
            self._lost = _Lost(lost.start, lost.error, at)
        if found is None:
            end = at + len(data)
            if not self._has_records and not self._has_damage:
                self._lost = None
                raise CorruptError(
                    "not a file of records: no length whose checksum holds", file=self.name, offset=0
                )
            self._lost = _Lost(lost.start, lost.error, max(at, end - HEADER_SIZE + 1))
            self._skip(lost.start, end - lost.start, lost.error, is_open=True)
            self.position = end
            return False
        self._lost = None
        self._go_on_at(at + found)
        self._skip(lost.start, self.position - lost.start, lost.error)
        return True
