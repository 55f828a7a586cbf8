"""The recovery policy: where to resume reading after a record that cannot be read.

====================================  ========================================================
problem                               resume
====================================  ========================================================
the header does not match             at the next header that does
the record extends beyond the end     at a whole frame within it, if frames lead from there to
                                      the end; otherwise wait: the record is being written
the data do not match                 after it, if a frame begins there; otherwise at the next
                                      frame within it
====================================  ========================================================

A header that matches may still be useless. A writer that is killed leaves the beginning of a record; when
another writer appends to the file, its frames are in the bytes that the header claims. But frames within a
record may also be its own data, since records can hold records. They differ in where they lead: the frames of
another writer go on to the end of the file, or to a frame being written, while frames that are data stop
where the record does.

**Growing files.** Bytes written later may disprove a decision: a record that was given up may become
complete, with matching data, or frames that led to the end may stop. So every :class:`Detour` taken on
incomplete evidence is remembered, together with the file size that would settle it. At that size the decision
is made again, and if it comes out differently the file is read again from its beginning
(:meth:`Recovery.is_disproved`). The invariant, which tests check on thousands of files: reading a file in
steps as it grows gives the same records and the same damage as reading the whole file at once.

**Cost.** A search reads 256 bytes first and then four times as many each time, because most frames are near.
Bytes that are followed or checksummed count against a budget for the whole file (:data:`CHECKED` and
:data:`CHECKED_SHARE`): crafted headers would otherwise send every search to the end of the file. Once the
budget is used up, the length in a header is believed without a search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ckptfmt.errors import ChecksumError, LimitError
from ckptfmt.record.frame import (
    FOOTER_SIZE,
    HEADER_SIZE,
    OVERHEAD,
    decode_header,
    find_frames,
    find_header,
    find_headers,
)
from ckptfmt.record.input import Source
from ckptfmt.wire.crc32c import mask

WINDOW = 4 << 20
"""Bytes read at once, by a search or by the reader; a longer record is read alone."""

FIRST_SEARCHED = 256
"""Bytes that a search reads first, and then four times as many each time."""

LONGEST_TAIL = 2 << 30
"""Longest record believed to be still being written: protobuf serializes no message of 2 GiB or more."""

CHECKED = 256 << 20
"""Bytes that may be followed or checksummed to find frames in damaged records of one file, in addition to
:data:`CHECKED_SHARE`. Without a bound, each of many crafted lengths could have the whole file checked."""

CHECKED_SHARE = 16
"""Further bytes for each byte of the file."""

MAX_DETOURS = 1 << 10
"""Detours remembered because a growing file may disprove them. Any further ones are taken as final."""


@dataclass
class Gap:
    """A stretch without a header that matches, still being searched."""

    start: int
    error: ChecksumError
    """What is wrong with the header at the start."""
    at: int
    """Where the search goes on; no header begins between :attr:`start` and this."""
    end: int = 0
    """Where the searched bytes end, if the search came to the end of the file."""


@dataclass
class Trail:
    """How far frames have been followed, from one within an incomplete record on."""

    origin: int
    at: int
    is_lost: bool = False
    """Whether the last frame was followed by something else, and no header has been found since."""


@dataclass
class Detour:
    """A decision to resume elsewhere instead of reading a record, on the evidence of today's bytes."""

    start: int
    """Where the record begins."""
    size: int
    """Bytes of its frame, according to its header."""
    resume_at: int
    """Where reading resumes."""
    due: float
    """The file size at which the decision has to be made again; infinite if it is final."""
    trail: Trail | None = None
    """The frames from :attr:`resume_at` on, if the decision depends on where they lead."""


class FrameSearch(NamedTuple):
    """The result of a search for a whole frame."""

    place: int | None
    """Where the first whole frame with matching data begins, None if none was found."""
    pending: int | None
    """The first header before it whose record extends beyond the end."""
    due: float
    """The least file size at which one of these records is complete; infinite without any."""
    resume_at: int
    """Where to go on searching when the file has grown."""


class Recovery:
    """Decides where to resume reading in one file, and remembers decisions that may turn out wrong.

    It only reads from the source; the position, and the damage that is noted, are the reader's.

    Parameters
    ----------
    source
        The file.
    verify
        Whether a record is read only if its data match their checksum.
    limit
        Bytes of one record of a compressed file; no more is decompressed to look for frames.
    """

    def __init__(self, source: Source, *, verify: bool, limit: int) -> None:
        self._source = source
        self._verify = verify
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._checked = 0
        self.begin()

    def begin(self) -> None:
        """Forget all detours, because the file is read from its beginning again."""
        self._detours: dict[int, Detour] = {}
        self._settled_at: tuple[int, int] | None = None  # the source when all detours still held
        # The start of the incomplete record at the end, how far it was searched and where its frames lead, so
        # that another look at a growing file costs only what is new.
        self._searched = (0, 0)
        self._trail: Trail | None = None

    # --- the header does not match -------------------------------------------------------------------------

    def find_header(self, gap: Gap) -> int | None:
        """Return where the next matching header after a gap begins, None if none was found yet.

        The gap keeps how far it was searched, so the next call goes on from there.

        Raises LimitError if a stretch of a compressed file without a header is longer than the limit.
        """
        source, step = self._source, FIRST_SEARCHED
        while True:
            if source.size is None and gap.at - gap.start > self._limit:
                raise LimitError(
                    "bytes without a record",
                    file=source.name,
                    offset=gap.start,
                    limit=self._limit,
                    field="max_record",
                    asked=gap.at - gap.start,
                )
            asked = min(step, WINDOW)
            data = source.read(gap.at, asked)
            place = find_header(data, 0, self._longest(gap.at))
            if place is not None:
                return gap.at + place
            if len(data) < asked:
                gap.end = gap.at + len(data)
                # A header may begin in the last bytes.
                gap.at = max(gap.at, gap.end - HEADER_SIZE + 1)
                return None
            # Windows overlap by one byte less than a header, so that each header is whole in one of them.
            gap.at += asked - HEADER_SIZE + 1
            step *= 4

    # --- the record extends beyond the end -----------------------------------------------------------------

    def after_cut(self, start: int, size: int) -> Detour | None:
        """Return the detour around a record that extends beyond the end, None if it may be being written.

        The record is given up if frames within it lead to the end of the file. One that claims more than
        :data:`LONGEST_TAIL` bytes is given up for any whole frame, because nobody is writing it.
        """
        # A growing file asks about the same record again and again: go on where the last search stopped.
        at = self._searched[1] if self._searched[0] == start else start + HEADER_SIZE
        search = self.find_frame(at, self._source.end)
        self._searched = start, search.resume_at
        if search.place is None:
            return None
        trail = None
        if size <= LONGEST_TAIL:
            trail = self._trail
            if trail is None or trail.origin != search.place:
                trail = Trail(search.place, search.place)
            self._trail = trail
            if not self._leads_to_the_end(trail):
                return None
            self._trail = None
        # The answer may change once a pending frame is complete, or the record itself. One longer than the
        # limit is not decompressed to find out.
        is_readable = self._source.size is not None or size <= self._limit
        due = min(search.due, start + size) if is_readable else search.due
        return Detour(start, size, search.place, due, trail)

    def _leads_to_the_end(self, trail: Trail) -> bool:
        """Follow frames as far as they go; return whether they lead to the end, or to a frame being written.

        Bytes in between that are not a frame are passed over up to the next header. What counts is whether
        there are such bytes after the last frame.
        """
        source, step = self._source, FIRST_SEARCHED
        while source.end - trail.at >= HEADER_SIZE:
            data = source.read(trail.at, min(step, WINDOW))
            if not self._may_spend(len(data)):
                # Believe the frames: this only skips a record, while waiting would stop at it for good.
                return True
            step *= 4
            if trail.is_lost:
                place = find_header(data, 0, LONGEST_TAIL)
                trail.is_lost = place is None
                trail.at += len(data) - HEADER_SIZE + 1 if place is None else place
                continue
            passed = int(find_frames(data, self._known)[-1])
            if not passed:
                length = decode_header(data[:HEADER_SIZE])
                if length is None:
                    trail.is_lost, step = True, FIRST_SEARCHED
                    continue
                # A frame longer than what was read is followed without reading all of it.
                passed = length + OVERHEAD
                if trail.at + passed > source.end:
                    return True  # it is being written
                step = FIRST_SEARCHED
            trail.at += passed
        return not trail.is_lost

    # --- the data do not match -----------------------------------------------------------------------------

    def after_spoiled(self, start: int, size: int) -> Detour:
        """Return where to resume at a complete record whose data do not match.

        Either its data are damaged, or its length is wrong. The length is believed if a frame begins after
        the record or the file ends there, unless frames within the record lead up to exactly its end: then
        those are records, and the length is what a killed writer left. If the length is not believed,
        reading resumes at the next frame within the record, even one that is being written.
        """
        source, end = self._source, start + size
        # First question: does a frame begin right after the record?
        if source.size is None:
            # Ask for the record and the header together: the source drops everything before the offset.
            header = bytes(source.view(start, size + HEADER_SIZE)[size:])
        else:
            header = bytes(source.view(end, HEADER_SIZE))
        is_followed = len(header) == HEADER_SIZE and decode_header(header) is not None
        # A record shorter than a window usually shares its batch with the frames after it, and is skipped
        # without coming here. One that is last in its batch only because the window ends there is treated the
        # same, so that the result does not depend on where windows end.
        if (is_followed and size <= WINDOW) or not self._may_spend(size):
            return Detour(start, size, end, math.inf)
        # Second question: which frame within the record, if any, is believed more than its length?
        search = self.find_frame(start + HEADER_SIZE, end)
        place = search.place
        if place is None:
            # No whole frame. If no frame follows either, one that is being written is the best guess.
            place = None if is_followed else search.pending
        elif (is_followed or not header) and not self._leads_to(place, end):
            place = None
        # If fewer bytes than a header follow the record, a single further byte may change the answer.
        due = search.due if len(header) == HEADER_SIZE else source.end + 1
        return Detour(start, size, end if place is None else place, due)

    def _leads_to(self, at: int, end: int) -> bool:
        """Return whether frames follow one another from ``at`` up to exactly ``end``."""
        while at < end:
            data = self._source.read(at, min(WINDOW, end - at))
            step = int(find_frames(data, self._known)[-1])
            if not step:
                length = decode_header(data[:HEADER_SIZE]) if len(data) >= HEADER_SIZE else None
                if length is None:
                    return False
                step = length + OVERHEAD
            at += step
        return at == end

    # --- when the file has grown ---------------------------------------------------------------------------

    def remember(self, detour: Detour) -> None:
        """Remember a detour that was taken, unless it is final."""
        is_open = detour.due < math.inf or detour.trail is not None
        if is_open and (len(self._detours) < MAX_DETOURS or detour.start in self._detours):
            self._detours[detour.start] = detour
        else:
            self._detours.pop(detour.start, None)

    def is_disproved(self) -> bool:
        """Return whether the file has grown so that some detour would not be taken now, or lead elsewhere."""
        source = self._source
        if not self._detours or self._settled_at == source.extent:
            return False
        while source.size is None and source.read(source.end, WINDOW):
            pass  # decompress up to the end, keeping nothing
        for detour in tuple(self._detours.values()):
            if source.end >= detour.due:
                # Frames that were followed before are not followed a second time.
                self._trail = detour.trail
                again = self._decide_again(detour.start, detour.size)
                if again is None or again.resume_at != detour.resume_at:
                    return True
                self.remember(again)
            elif detour.trail is not None and not self._leads_to_the_end(detour.trail):
                return True
        self._settled_at = source.extent
        return False

    def _decide_again(self, start: int, size: int) -> Detour | None:
        """Return the detour around a record; None if it should be read, or waited for, after all."""
        if self._source.end < start + size:
            return self.after_cut(start, size)
        if self._source.size is None and size > self._limit:
            return None  # reading it raises LimitError
        if not self._verify or (self._may_spend(size) and self._matches(start, size - OVERHEAD)):
            return None
        return self.after_spoiled(start, size)

    # --- searching -----------------------------------------------------------------------------------------

    def find_frame(self, start: int, stop: int) -> FrameSearch:
        """Search for the first whole frame with matching data.

        A header is not enough: the data of a damaged record may contain one, put there on purpose.
        """
        at, step, pending, due = start, FIRST_SEARCHED, None, math.inf
        source = self._source
        while stop - at >= OVERHEAD:
            data = source.read(at, min(step, WINDOW, stop - at))
            for place in find_headers(data, 0, self._longest(at)).tolist():
                size = int.from_bytes(data[place : place + 8], "little")
                begin, end = at + place, at + place + size + OVERHEAD
                if end > source.end and source.size is None and end - start <= self._limit:
                    source.view(start, end - start)  # decompress as much of it as exists
                if end > source.end:
                    # Incomplete, so it may turn out to be a frame: a later search has to begin here again.
                    pending, due = begin if pending is None else pending, min(due, end)
                elif self._may_spend(size) and self._matches(begin, size):
                    return FrameSearch(begin, pending, due, begin if pending is None else pending)
            if len(data) < HEADER_SIZE:
                break
            at += len(data) - HEADER_SIZE + 1
            step *= 4
        return FrameSearch(None, pending, due, at if pending is None else pending)

    def _matches(self, offset: int, size: int) -> bool:
        """Return whether the data of a complete frame match their checksum."""
        stop = offset + HEADER_SIZE + size
        crc = self._source.crc(offset + HEADER_SIZE, size)
        return mask(crc) == int.from_bytes(self._source.view(stop, FOOTER_SIZE), "little")

    def _may_spend(self, size: int) -> bool:
        """Charge bytes to the budget of :data:`CHECKED`; return whether it is not used up."""
        self._checked += size
        return self._checked <= CHECKED + CHECKED_SHARE * self._source.end

    def _longest(self, at: int) -> int:
        """Return the longest record to expect from ``at`` on; it need not be complete yet."""
        size = self._source.size
        return self._limit if size is None else max(size - at, LONGEST_TAIL)
