"""Stamps: when events were written and at which step, of many events at once.

An event begins with both where its fields are in their order, as TensorFlow and protobuf store them::

    stamp:        0x09, wall_time double; 0x10, step varint; each left out where it is 0

so that what an event says, which is behind its stamp, begins where its step ends.
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
"""What may be a stamp; of a step the bytes that it can have if it is below 2**56."""

_STEP_AT = 9
"""Where in such a row a step begins, and an event without a wall time."""

MIN_SIZE = 14
"""Bytes of an event from which on such a row is in its frame."""


class Stamps(NamedTuple):
    """The stamps of all records of a batch."""

    rows: np.ndarray
    """The bytes with each (uint8, 18 columns); where the wall time is left out others instead."""
    has_wall_time: np.ndarray
    """Whether it is not left out."""
    sizes: np.ndarray
    """Bytes of each, -1 where a record has none in its usual form (int64)."""
    wall_times: np.ndarray
    """Wall times, in seconds since 1970 (float64)."""
    steps: np.ndarray
    """Steps (int64)."""

    def crcs(self) -> np.ndarray:
        """Return the CRC-32C of each, 0 where there is none (uint32)."""
        crcs = np.zeros(len(self.rows), np.uint32)
        for has_wall_time in (True, False):
            alike = self.has_wall_time == has_wall_time
            for size in np.flatnonzero(np.bincount(self.sizes[alike & (self.sizes > 0)])).tolist():
                numbers = np.flatnonzero(alike & (self.sizes == size))
                columns = (self.rows if len(numbers) == len(self.rows) else self.rows[numbers]).T
                zeros = bytes([_WALL_TIME, *bytes(8)]) if has_wall_time else b""
                step = size - len(zeros)
                zeros += bytes([_STEP, *bytes(8)])[:step]
                found = np.full(len(numbers), crc32c(zeros), np.uint32)
                if has_wall_time:
                    add_bytes(found, columns[1:_STEP_AT], step)
                add_bytes(found, columns[_STEP_AT + 1 : _STEP_AT + step], 0)
                crcs[numbers] = found
        return crcs


def stamps_of(batch: Batch) -> Stamps:
    """Return the stamps of the records of a batch."""
    data = batch.data
    is_there = batch.sizes >= MIN_SIZE
    if len(data) < _ROW.itemsize:
        is_there[:] = False
        data = bytes(_ROW.itemsize)
    begins = np.where(is_there, batch.begins, 0)
    has_wall_time = np.frombuffer(data, np.uint8)[begins] == _WALL_TIME
    # A header stands before each.
    begins[is_there & ~has_wall_time] -= _STEP_AT
    # As bytes, which have no alignment that would have to be seen to.
    items = np.ndarray((len(data) - _ROW.itemsize + 1,), f"V{_ROW.itemsize}", data, 0, (1,))
    found: np.ndarray = items[begins]
    rows = found.view(_ROW)
    has_step = rows["second"] == _STEP
    steps, sizes = _varints(rows["step"].copy())
    is_there &= (sizes > 0) | ~has_step
    sizes += 1
    sizes[~has_step] = 0
    sizes[has_wall_time] += _STEP_AT
    sizes[~is_there] = -1
    steps[~has_step] = 0
    wall_times = rows["wall_time"].copy()
    wall_times[~has_wall_time] = 0
    return Stamps(found.view(np.uint8).reshape(-1, _ROW.itemsize), has_wall_time, sizes, wall_times, steps)


def _varints(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The varints that 8 bytes begin with (int64), and their sizes; 0 of those that are longer."""
    last = ~words & np.uint64(0x8080808080808080)
    last &= -last
    # The lowest of these bits ends the number; 7 bits of each byte before it are brought together, then 14
    # of each two, then 28 of each four.
    words &= last - np.uint64(1)
    words = words & 0x007F007F007F007F | (words & 0x7F007F007F007F00) >> 1
    words = words & 0x00003FFF00003FFF | (words & 0x3FFF00003FFF0000) >> 2
    words = words & 0x000000000FFFFFFF | (words & 0x0FFFFFFF00000000) >> 4
    return words.astype(np.int64), (np.frexp(last)[1] >> 3).astype(np.int64)
