"""Headers: when events were written and at which step, for many events at once.

An event begins with both if its fields are in order, as TensorFlow and protobuf write them::

    header:       0x09, wall_time double; 0x10, step varint; each left out if it is 0

What the event says, its *body*, begins after its header.
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
"""A header with both fields, as far as a step below 2**56 can reach."""

_STEP_AT = 9
"""Where in such a row the step begins; an event without a wall time begins there."""

MIN_SIZE = 14
"""Bytes of an event from which on such a row lies within its frame, with the frame's header and footer."""


class EventHeaders(NamedTuple):
    """The headers of all records of a batch."""

    rows: np.ndarray
    """The bytes of each (uint8, 18 columns); of one without a wall time, other bytes in place of that."""
    has_wall_time: np.ndarray
    """Whether the wall time is stored (bool)."""
    sizes: np.ndarray
    """Bytes of each, -1 if a record does not begin with a header of the usual form (int64)."""
    wall_times: np.ndarray
    """Wall times, in seconds since 1970 (float64)."""
    steps: np.ndarray
    """Steps (int64)."""

    def crcs(self) -> np.ndarray:
        """Return the CRC-32C of each header, 0 if there is none (uint32).

        Headers of one size have the same two tags, so the CRC of one with zeros for numbers serves for all,
        and the numbers are added column by column.
        """
        crcs = np.zeros(len(self.rows), np.uint32)
        for has_wall_time in (True, False):
            alike = self.has_wall_time == has_wall_time
            for size in np.flatnonzero(np.bincount(self.sizes[alike & (self.sizes > 0)])).tolist():
                numbers = np.flatnonzero(alike & (self.sizes == size))
                columns = (self.rows if len(numbers) == len(self.rows) else self.rows[numbers]).T
                zeros = bytes([_WALL_TIME, *bytes(8)]) if has_wall_time else b""
                step = size - len(zeros)
                zeros += bytes([_STEP, *bytes(8)])[:step]
                computed = np.full(len(numbers), crc32c(zeros), np.uint32)
                if has_wall_time:
                    add_bytes(computed, columns[1:_STEP_AT], step)
                add_bytes(computed, columns[_STEP_AT + 1 : _STEP_AT + step], 0)
                crcs[numbers] = computed
        return crcs


def decode_headers(batch: Batch) -> EventHeaders:
    """Return the headers of the records of a batch."""
    data = batch.data
    is_usual = batch.sizes >= MIN_SIZE
    if len(data) < _ROW.itemsize:
        is_usual[:] = False
        data = bytes(_ROW.itemsize)
    begins = np.where(is_usual, batch.begins, 0)
    has_wall_time = np.frombuffer(data, np.uint8)[begins] == _WALL_TIME
    # The row of an event without a wall time begins earlier, in the frame's header: never before the data.
    begins[is_usual & ~has_wall_time] -= _STEP_AT
    # Gathered as raw bytes, which have no alignment to respect.
    items = np.ndarray((len(data) - _ROW.itemsize + 1,), f"V{_ROW.itemsize}", data, 0, (1,))
    gathered: np.ndarray = items[begins]
    rows = gathered.view(_ROW)
    has_step = rows["second"] == _STEP
    steps, sizes = _decode_varints(rows["step"].copy())
    is_usual &= (sizes > 0) | ~has_step
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
    """The varints that 8 bytes each begin with (int64), and their sizes; size 0 for longer ones.

    The first byte below 0x80 ends a varint: its lowest clear top bit. 7 bits of each byte before it are
    brought together, then 14 of each two, then 28 of each four: six operations on whole arrays instead of a
    loop over bytes.
    """
    last = ~words & np.uint64(0x8080808080808080)
    last &= -last
    words &= last - np.uint64(1)
    words = words & 0x007F007F007F007F | (words & 0x7F007F007F007F00) >> 1
    words = words & 0x00003FFF00003FFF | (words & 0x3FFF00003FFF0000) >> 2
    words = words & 0x000000000FFFFFFF | (words & 0x0FFFFFFF00000000) >> 4
    return words.astype(np.int64), (np.frexp(last)[1] >> 3).astype(np.int64)
