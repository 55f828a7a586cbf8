"""Recovery: where reading goes on at a record that cannot be read.

====================================  =========================================================
what is wrong                         where reading goes on
====================================  =========================================================
the header does not match             at the next header that does
the record reaches beyond the end     at a whole frame within it, if that leads to the end of the
                                      file; else nowhere: the record is still being written
the data do not match                 after it, if a frame begins there; else at the next frame
                                      within it
====================================  =========================================================

A header that matches may be useless all the same. A writer that is killed leaves the beginning of a record;
when another one appends to the file, its frames lie in the bytes that the header claims. But frames in a
record may also be its own data: records hold records. The two are told apart by where the frames lead. Those
of another writer go on to the end of the file, or to a frame that is being written; those that are data stop
where the record does.

**Files that grow.** What the bytes say today, more bytes may disprove: a record that was given up is complete
by now and its data match, or the frames that led to the end do not any more. So each :class:`Detour` that was
taken on incomplete evidence is remembered with the size of the file that would settle it. Once the file has
that size the question is asked again; a different answer means that reading must begin again
(:meth:`Recovery.is_disproved`). Invariant, which the tests check on thousands of files: a file read in steps
as it grows gives the same records and the same damage as the whole file read at once.

**Cost.** A search reads little at first, 256 bytes, and four times as much each time: most frames are near.
What is searched, followed or checksummed to no avail counts against a budget of 16 bytes for each byte of
the file (:data:`CHECKED`), because headers made for it would send every search to the end of the file.
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
"""Bytes that are read at once, by a search and by the reader; a longer record is read alone."""

FIRST_SEARCHED = 256
"""Bytes that a search reads first; then four times as many each time."""

LONGEST_TAIL = 2 << 30
"""Bytes of a record that is believed to be still being written: as many as a protobuf message may have."""

CHECKED = 256 << 20
"""Bytes that may be looked at in vain, with :data:`CHECKED_SHARE`, to find frames in damaged records: lengths
made to abuse a reader would have all of a file checked for each of them."""

CHECKED_SHARE = 16
"""The same, for each byte of the file."""

MAX_DETOURS = 1 << 10
"""Detours that are remembered because the file may grow and disprove them."""


@dataclass
class Gap:
    """A stretch without a header, from one on that does not match."""

    start: int
    error: ChecksumError
    """What is wrong at the start."""
    at: int
    """Where the search goes on; no header begins before."""
    end: int = 0
    """Where the bytes end that have been searched so far without success."""


@dataclass
class Trail:
    """How far frames were followed from one that lies in a record of which not all exists."""

    origin: int
    at: int
    is_lost: bool = False
    """Whether no frame begins at :attr:`at`, nor between there and the last frame that was followed."""


@dataclass
class Detour:
    """Where reading goes on at a record that is not read, as far as today's bytes tell."""

    start: int
    """Where the record begins."""
    size: int
    """Bytes of its frame, if its header is right."""
    resume_at: int
    """Where reading goes on."""
    due: float
    """The size of the file from which on another answer is possible; infinite if none is."""
    trail: Trail | None = None
    """What follows :attr:`resume_at`, if the record reaches beyond the end."""


class FrameSearch(NamedTuple):
    """What a search for whole frames has come to."""

    place: int | None
    """Where the first whole frame begins whose data match."""
    pending: int | None
    """Where the first header before it stands whose record reaches beyond the end."""
    due: float
    """Where the first of these records ends."""
    resume_at: int
    """Where to search once there is more."""


class Recovery:
    """Decides where reading goes on in one file, and remembers what it was not sure of.

    It reads from the source and changes nothing else: what is skipped, and the position, are the reader's.

    Parameters
    ----------
    source
        The file.
    verify
        Whether data must match their checksum for a record to be read.
    limit
        Bytes of one record of a compressed file: more is not decompressed to look for frames.
    """

    def __init__(self, source: Source, *, verify: bool, limit: int) -> None:
        self._source = source
        self._verify = verify
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._checked = 0
        self.begin()

    def begin(self) -> None:
        """Forget all detours: the file is read from its beginning again."""
        self._detours: dict[int, Detour] = {}
        self._settled_at: tuple[int, int] | None = None  # extent of the source when no detour was disproved
        # How far the last record at the end was searched, so that looking again searches only what is new.
        self._searched = (0, 0)
        self._trail: Trail | None = None

    # --- the header does not match -------------------------------------------------------------------------

    def find_header(self, gap: Gap) -> int | None:
        """Return where the next header after a gap begins; None if there is none yet.

        The gap is told how far it is searched, so that the search goes on there when the file has grown.

        Raises LimitError if more of a compressed file than the limit has no header.
        """
        source, step = self._source, FIRST_SEARCHED
        while True:
            if source.size is None and gap.at - gap.start > self._limit:
                raise LimitError(
                    "bytes without a record (limit= allows more)",
                    file=source.name,
                    offset=gap.start,
                    limit=self._limit,
                    asked=gap.at - gap.start,
                )
            asked = min(step, WINDOW)
            data = source.read(gap.at, asked)
            place = find_header(data, 0, self._longest(gap.at))
            if place is not None:
                return gap.at + place
            if len(data) < asked:
                gap.end = gap.at + len(data)
                # The last bytes may be the beginning of a header.
                gap.at = max(gap.at, gap.end - HEADER_SIZE + 1)
                return None
            gap.at += asked - HEADER_SIZE + 1
            step *= 4

    # --- the record reaches beyond the end -----------------------------------------------------------------

    def after_cut(self, start: int, size: int) -> Detour | None:
        """Return where to go on at a record that reaches beyond the end; None if it may be being written.

        It is given up if a whole frame lies in it and the frames from there on lead to the end. A record of
        more than :data:`LONGEST_TAIL` bytes is given up for any whole frame: nobody is writing it.
        """
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
        # The record itself may be complete one day, unless it is too long to be decompressed and looked at.
        is_readable = self._source.size is not None or size <= self._limit
        due = min(search.due, start + size) if is_readable else search.due
        return Detour(start, size, search.place, due, trail)

    def _leads_to_the_end(self, trail: Trail) -> bool:
        """Follow frames as far as they go; return whether they lead to the end, or to one being written.

        Where a frame is damaged the trail goes on at the next header. What remains is whether the last frame
        of all is followed by bytes that are none.
        """
        source, step = self._source, FIRST_SEARCHED
        while source.end - trail.at >= HEADER_SIZE:
            data = source.read(trail.at, min(step, WINDOW))
            if not self._may_spend(len(data)):
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
                # A frame longer than what was read is passed over without being read.
                passed = length + OVERHEAD
                if trail.at + passed > source.end:
                    return True
                step = FIRST_SEARCHED
            trail.at += passed
        return not trail.is_lost

    # --- the data do not match -----------------------------------------------------------------------------

    def after_spoiled(self, start: int, size: int) -> Detour:
        """Return where to go on at a record that is complete and whose data do not match.

        Either its data are damaged, or its length is wrong. The length is believed if a frame begins after
        the record or the file ends there, unless frames within the record lead exactly up to its end: these
        are records then, and the length is what a killed writer left. Without a length to believe, reading
        goes on at the next frame within, even one that is being written.
        """
        source, end = self._source, start + size
        if source.size is None:
            # Together with the record: the source forgets what lies before an offset that is asked for.
            header = bytes(source.view(start, size + HEADER_SIZE)[size:])
        else:
            header = bytes(source.view(end, HEADER_SIZE))
        is_followed = len(header) == HEADER_SIZE and decode_header(header) is not None
        # A record shorter than a window is read in one batch with the frames after it, which are used before
        # anybody asks; that it is the last of its batch because the window ended there must not matter.
        if (is_followed and size <= WINDOW) or not self._may_spend(size):
            return Detour(start, size, end, math.inf)
        search = self.find_frame(start + HEADER_SIZE, end)
        place = search.place
        if place is None:
            place = None if is_followed else search.pending
        elif (is_followed or not header) and not self._leads_to(place, end):
            place = None
        due = search.due if len(header) == HEADER_SIZE else source.end + 1
        return Detour(start, size, end if place is None else place, due)

    def _leads_to(self, at: int, end: int) -> bool:
        """Return whether frames follow one another from a place up to exactly another one."""
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
        """Remember a detour that was taken, if more of the file may disprove it."""
        is_open = detour.due < math.inf or detour.trail is not None
        if is_open and (len(self._detours) < MAX_DETOURS or detour.start in self._detours):
            self._detours[detour.start] = detour
        else:
            self._detours.pop(detour.start, None)

    def is_disproved(self) -> bool:
        """Return whether the file has grown so that a detour would not be taken now, or lead elsewhere."""
        source = self._source
        if not self._detours or self._settled_at == source.extent:
            return False
        while source.size is None and source.read(source.end, WINDOW):
            pass  # decompressed up to the end, and forgotten
        for detour in tuple(self._detours.values()):
            if source.end >= detour.due:
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
        """Return the detour at a record that was not read; None if it is to be read, or waited for, now."""
        if self._source.end < start + size:
            return self.after_cut(start, size)
        if self._source.size is None and size > self._limit:
            return None  # reading it raises the LimitError
        if not self._verify or (self._may_spend(size) and self._matches(start, size - OVERHEAD)):
            return None
        return self.after_spoiled(start, size)

    # --- searching -----------------------------------------------------------------------------------------

    def find_frame(self, start: int, stop: int) -> FrameSearch:
        """Find the first whole frame whose data match, and before it headers of records that are cut.

        Data must match, because any record may contain 12 bytes that are a header.
        """
        at, step, pending, due = start, FIRST_SEARCHED, None, math.inf
        source = self._source
        while stop - at >= OVERHEAD:
            data = source.read(at, min(step, WINDOW, stop - at))
            for place in find_headers(data, 0, self._longest(at)).tolist():
                size = int.from_bytes(data[place : place + 8], "little")
                begin, end = at + place, at + place + size + OVERHEAD
                if end > source.end and source.size is None and end - start <= self._limit:
                    source.view(start, end - start)  # decompresses as much of it as there is
                if end > source.end:
                    pending, due = begin if pending is None else pending, min(due, end)
                elif self._may_spend(size) and self._matches(begin, size):
                    return FrameSearch(begin, pending, due, begin if pending is None else pending)
            if len(data) < HEADER_SIZE:
                break
            at += len(data) - HEADER_SIZE + 1
            step *= 4
        return FrameSearch(None, pending, due, at if pending is None else pending)

    def _matches(self, offset: int, size: int) -> bool:
        """Return whether the data of a frame that is complete match their checksum."""
        stop = offset + HEADER_SIZE + size
        crc = self._source.crc(offset + HEADER_SIZE, size)
        return mask(crc) == int.from_bytes(self._source.view(stop, FOOTER_SIZE), "little")

    def _may_spend(self, size: int) -> bool:
        """Count bytes that are looked at, perhaps in vain; return whether they are within :data:`CHECKED`."""
        self._checked += size
        return self._checked <= CHECKED + CHECKED_SHARE * self._source.end

    def _longest(self, at: int) -> int:
        """Return the longest record that may begin at a place or after it; not all of it need exist yet."""
        size = self._source.size
        return self._limit if size is None else max(size - at, LONGEST_TAIL)
