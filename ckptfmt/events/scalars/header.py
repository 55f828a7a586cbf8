"""Headers: when events were written and at which step, for many events at once.

An event begins with both if its fields are in order, as TensorFlow and protobuf write them::

    header:       0x09, wall_time double; 0x10, step varint; each left out if it is 0

The rest of the event, its *body*, begins after its header. Source: TensorFlow ``core/util/event.proto``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ckptfmt.record.batch import Batch
from ckptfmt.wire.crc32c import crc32c
from ckptfmt.wire.crc_rows import add_bytes

_WALL_TIME, _STEP = 0x09, 0x10
_ROW = np.dtype({
    "names": ["first", "wall_time", "second", "step"],
    "formats": ["u1", "<f8", "u1", "<u8"],
    "offsets": [0, 1, 9, 10],
    "itemsize": 18,
})  # fmt: skip
"""A header with both fields, and room for a step below 2**56, whose varint has at most 8 bytes."""

_STEP_AT = 9
"""Where the step's tag is in such a row; an event without a wall time begins there."""

MIN_SIZE = 14
"""Bytes of the smallest event whose row is within its frame, which has 4 bytes after the event, its checksum.
Smaller events are left to protobuf."""


class EventHeaders(NamedTuple):
    """The headers of all records of a batch."""

    rows: np.ndarray
    """The row of each (uint8, 18 columns). A header without a wall time has foreign bytes in its place."""
    has_wall_time: np.ndarray
    """Whether the wall time is stored (bool)."""
    sizes: np.ndarray
    """Bytes of each, -1 if a record does not begin with a header of the usual form (int64)."""
    wall_times: np.ndarray
    """Wall times, in seconds since 1970 (float64)."""
    steps: np.ndarray
    """Steps (int64)."""

    def crcs(self) -> np.ndarray:
        """Return the CRC-32C of each header, 0 for records without one (uint32).

        Headers of one size have the same two tags, so the CRC of one with zeros for numbers serves for all,
        and the numbers are added column by column.
        """
        crcs = np.zeros(len(self.rows), np.uint32)
        # A batch has few sizes of headers: with or without a wall time, and steps of one to eight bytes.
        for has_wall_time in (True, False):
            alike = self.has_wall_time == has_wall_time
            for size in np.flatnonzero(np.bincount(self.sizes[alike & (self.sizes > 0)])).tolist():
                records = np.flatnonzero(alike & (self.sizes == size))
                columns = (self.rows if len(records) == len(self.rows) else self.rows[records]).T
                zeros = bytes([_WALL_TIME, *bytes(8)]) if has_wall_time else b""
                step_size = size - len(zeros)
                zeros += bytes([_STEP, *bytes(8)])[:step_size]
                computed = np.full(len(records), crc32c(zeros), np.uint32)
                if has_wall_time:
                    add_bytes(computed, columns[1:_STEP_AT], step_size)
                add_bytes(computed, columns[_STEP_AT + 1 : _STEP_AT + step_size], 0)
                crcs[records] = computed
        return crcs


def decode_headers(batch: Batch) -> EventHeaders:
    """Return the headers of the records of a batch.

    All records are decoded as if they began with a header, without a branch for any single record. Those that
    turn out not to begin with one get the size -1.
    """
    data = batch.data
    is_usual = batch.sizes >= MIN_SIZE
    # The rows are looked up in an array over all of the data, which must have room for one.
    if len(data) < _ROW.itemsize:
        is_usual[:] = False
        data = bytes(_ROW.itemsize)
    begins = np.where(is_usual, batch.begins, 0)
    has_wall_time = np.frombuffer(data, np.uint8)[begins] == _WALL_TIME
    # The row of an event without a wall time begins 9 bytes earlier, in the 12 bytes of the frame's header.
    begins[is_usual & ~has_wall_time] -= _STEP_AT
    # Gathered as raw bytes, which have no alignment to respect.
    items = np.ndarray((len(data) - _ROW.itemsize + 1,), f"V{_ROW.itemsize}", data, 0, (1,))
    gathered: np.ndarray = items[begins]
    rows = gathered.view(_ROW)
    has_step = rows["second"] == _STEP
    # A step of nine bytes or more does not end in the row. Its size is 0 here, and the header is not usual.
    steps, sizes = _decode_varints(rows["step"].copy())
    is_usual &= (sizes > 0) | ~has_step
    # From the size of the step's varint to that of the header: with its tag, and with the wall time.
    sizes += 1
    sizes[~has_step] = 0
    sizes[has_wall_time] += _STEP_AT
    sizes[~is_usual] = -1
    steps[~has_step] = 0
    wall_times = rows["wall_time"].copy()
    wall_times[~has_wall_time] = 0
    raw = gathered.view(np.uint8).reshape(-1, _ROW.itemsize)
    return EventHeaders(raw, has_wall_time, sizes, wall_times, steps)


def _decode_varints(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the varints that words begin with (int64), and their sizes; size 0 for those that do not end.

    A few operations on whole arrays replace a loop over the bytes of each word, which is changed in place.
    """
    # A varint ends at the first byte below 0x80: the lowest top bit that is clear. ``last`` is that bit, and
    # everything above it is cleared.
    last = ~words & np.uint64(0x8080808080808080)
    last &= -last
    words &= last - np.uint64(1)
    # Close the gaps that the top bits leave: first between the 7 bits of each two bytes, then between the 14
    # bits of each two pairs, then between the 28 bits of the two halves.
    words = words & 0x007F007F007F007F | (words & 0x7F007F007F007F00) >> 1
    words = words & 0x00003FFF00003FFF | (words & 0x3FFF00003FFF0000) >> 2
    words = words & 0x000000000FFFFFFF | (words & 0x0FFFFFFF00000000) >> 4
    # frexp() counts bits from 1, and ``last`` is the eighth bit of its byte: it gives eight times the size.
    return words.astype(np.int64), (np.frexp(last)[1] >> 3).astype(np.int64)
