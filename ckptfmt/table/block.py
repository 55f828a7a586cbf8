"""Blocks: sorted entries with shared key prefixes.

::

    entry:    shared varint | non_shared varint | value_len varint | key[shared:] | value
    block:    entry …  restart offset uint32 …  num_restarts uint32

A key begins with ``shared`` bytes of the previous entry's key. At a restart point ``shared`` is 0, so that
the key can be read without those before it: this allows a bisection of the restart points, and decoding the
entries that follow each of them side by side. Source: LevelDB ``table/block.cc``.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import numpy as np

from ckptfmt.errors import CorruptError, LimitError, TruncatedError
from ckptfmt.wire.coding import Buffer, decode_varint, decode_varints_at

MIN_ENTRY = 32
"""Bytes assumed for the smallest entry, so that a block has at most its size divided by this many entries.

Look-ups that have walked over that many entries have cost about as much as decoding the whole block.
"""

MIN_STEPS = 256
"""Entries that look-ups may walk over even in a small block; writers put a restart point every 16 entries."""

MAX_EXPANSION = 64
"""How many times larger than the block its keys may be in full.

With a restart point every 16 entries they are 16 times larger at most; a hostile block would fill memory.
"""

KEY_MEMORY = 200
"""Bytes of memory that an entry takes besides its key: Python's objects for it in a listing."""

SIDE_BY_SIDE_BYTES = 4 << 20
"""Larger blocks are decoded entry by entry, as NumPy's arrays take 25 times the bytes of a hostile block."""

MIN_RUNS = 8
"""With this many restart points or more, decoding side by side is faster than entry by entry."""

MAX_RUN = 64
"""The most entries between two restart points for decoding side by side; writers put 16 there."""

_MAX_LENGTH_BYTES = 4
"""The most bytes of a length in an entry for decoding side by side: 28 bits, so sums of them fit an int64."""

PADDING = 256
"""Zeros that :attr:`Rows.window` has after the block, so that decoders may look ahead unchecked."""

_PADDING = bytes(PADDING)


class Rows(NamedTuple):
    """All entries of a block at once."""

    keys: list[bytes]
    """Their keys, in order."""
    data: bytes
    """The contents of the block."""
    window: np.ndarray
    """The same as an array of uint8, followed by :data:`PADDING` zeros."""
    begins: np.ndarray
    """Where each value begins in the contents (int64)."""
    ends: np.ndarray
    """Where each value ends."""


class Block:
    """The decoded contents of one block. Offsets in its errors count from the block's first byte."""

    __slots__ = ("_data", "_decoded", "_entries_end", "_num_restarts", "_room", "_steps_left")

    def __init__(self, data: Buffer, room: int | None = None) -> None:
        """Take the contents of a block, whose keys may take ``room`` bytes of memory when all are decoded."""
        if len(data) < 4:
            raise TruncatedError("block", wanted=4, available=len(data), offset=0)
        self._data = data
        self._room = sys.maxsize if room is None else room
        self._decoded: dict[bytes, tuple[int, int]] | None = None
        # What look-ups may still walk over before all of the block is decoded; see get().
        self._steps_left = max(MIN_STEPS, len(data) // MIN_ENTRY)
        self._num_restarts = int.from_bytes(data[-4:], "little")
        self._entries_end = len(data) - 4 * (self._num_restarts + 1)
        if self._entries_end < 0:
            raise CorruptError(
                f"block of {len(data)} bytes claims {self._num_restarts} restart points", offset=len(data) - 4
            )

    def __len__(self) -> int:
        """Return the bytes of its contents."""
        return len(self._data)

    def items(self, after: bytes | None = None, room: int | None = None) -> Iterator[tuple[bytes, Buffer]]:
        """Iterate over keys and values in order; the first key must be greater than ``after``.

        Raises LimitError if the entries take more than ``room`` bytes of memory. So does :meth:`rows`.
        """
        starts = [0]
        for key, begin, end in self._walk(0, after, room):
            yield key, self._data[begin:end]
            starts.append(end)
        self._check_restarts(starts)

    def rows(self, after: bytes | None = None, room: int | None = None) -> Rows:
        """Return all entries; the first key must be greater than ``after``."""
        data = bytes(self._data)
        window = np.frombuffer(data + _PADDING, np.uint8)
        decoded = self._side_by_side(data, window, room)
        if decoded is not None:
            keys, begins, ends = decoded
            in_order = all(map(operator.lt, keys, islice(keys, 1, None)))
            if in_order and (after is None or not keys or keys[0] > after):
                return Rows(keys, data, window, begins, ends)
        # Entry by entry, which handles every block, and says what is wrong with a damaged one.
        keys, *places = self._in_turn(after, room)
        begins, ends = np.array(places, np.int64)
        return Rows(keys, data, window, begins, ends)

    def get(self, key: bytes) -> Buffer | None:
        """Return the value of ``key``, or None.

        It is found by a bisection of the restart points and a walk from there. After many look-ups, the whole
        block is decoded into a dict. So a few look-ups stay cheap, and the cost of many is bounded.

        The whole block is also decoded before a key counts as absent: restart points that are wrong may hide
        it. Raises CorruptError if they do.
        """
        decoded = self._decoded
        if decoded is None:
            for other, begin, end in self._walk(self._restart_before(key), None):
                if other == key:
                    return self._data[begin:end]
                if other > key:
                    break
                self._steps_left -= 1
                if self._steps_left < 0:
                    # Try only once: if the block is damaged, walks still find its sound entries.
                    self._steps_left = sys.maxsize
                    with suppress(CorruptError):
                        self._all()
                        break
            decoded = self._all()
        place = decoded.get(key)
        return None if place is None else self._data[slice(*place)]

    def _all(self) -> dict[bytes, tuple[int, int]]:
        """Return where the value of each key begins and ends; CorruptError if the block is damaged."""
        decoded = self._decoded
        if decoded is None:
            if self._num_restarts < MIN_RUNS:
                keys, begins, ends = self._in_turn(None, None)
            else:
                rows = self.rows()
                keys, begins, ends = rows.keys, rows.begins.tolist(), rows.ends.tolist()
            places = zip(begins, ends, strict=True)
            decoded = self._decoded = dict(zip(keys, places, strict=True))
        return decoded

    @property
    def data(self) -> Buffer:
        """The contents of the block."""
        return self._data

    def places(self) -> Mapping[bytes, tuple[int, int]]:
        """Return where the value of each key begins and ends; CorruptError if the block is damaged."""
        return self._all()

    @property
    def bounds(self) -> tuple[bytes, bytes]:
        """The first and the last key; CorruptError if the block is empty."""
        keys = self._all()
        if not keys:
            raise CorruptError("data block without entries", offset=0)
        return next(iter(keys)), next(reversed(keys))

    def _walk(
        self, pos: int, previous: bytes | None, room: int | None = None
    ) -> Iterator[tuple[bytes, int, int]]:
        """Iterate over the entries from a position on: key, and where its value begins and ends.

        The keys must be in order, the first one greater than ``previous``.
        """
        data, end = self._data, self._entries_end
        key = b""
        # Keys in full can take far more memory than the block: each entry may repeat all of a long key.
        left = MAX_EXPANSION * len(data)
        room = memory = self._room if room is None else room
        while pos < end:
            start = pos
            try:
                # Nearly all lengths have one byte. If any has more, all three are decoded again.
                shared, non_shared, value_len = data[pos], data[pos + 1], data[pos + 2]
                pos += 3
                if shared > 0x7F or non_shared > 0x7F or value_len > 0x7F:
                    shared, pos = decode_varint(data, start)
                    non_shared, pos = decode_varint(data, pos)
                    value_len, pos = decode_varint(data, pos)
            except IndexError:
                # Beyond the last byte of the block. Lengths read by mistake from the restart array do not
                # raise here; the check of value_end finds those.
                raise TruncatedError("entry", wanted=3, available=end - start, offset=start) from None
            key_end = pos + non_shared
            value_end = key_end + value_len
            if value_end > end:
                raise TruncatedError(
                    "entry outside its block", wanted=value_end - start, available=end - start, offset=start
                )
            if shared > len(key):
                raise CorruptError(f"entry shares {shared} bytes with a key of {len(key)}", offset=start)
            key = key[:shared] + data[pos:key_end]
            # Look-ups bisect, so keys in the wrong order would hide entries.
            if previous is not None and key <= previous:
                raise CorruptError(f"keys out of order: {key!r} after {previous!r}", offset=start)
            previous = key
            memory -= len(key) + KEY_MEMORY
            if memory < 0:
                raise LimitError(
                    "bytes of memory for keys",
                    limit=room,
                    asked=room - memory,
                    field="max_ratio",
                    offset=start,
                )
            left -= len(key)
            if left < 0:
                raise CorruptError(
                    f"keys take more than {MAX_EXPANSION} times the {len(data)} bytes of their block",
                    offset=start,
                )
            yield key, key_end, value_end
            pos = value_end

    def _in_turn(self, after: bytes | None, room: int | None) -> tuple[list[bytes], list[int], list[int]]:
        """Return the keys, and where the values begin and end, decoded entry by entry."""
        keys, begins, ends = [], [], []
        for key, begin, end in self._walk(0, after, room):
            keys.append(key)
            begins.append(begin)
            ends.append(end)
        self._check_restarts([0, *ends])
        return keys, begins, ends

    def _check_restarts(self, starts: list[int]) -> None:
        """Raise CorruptError unless each restart point is the start of an entry that shares no bytes.

        A restart point elsewhere would let look-ups find other entries than a listing.
        """
        restarts = np.frombuffer(self._data, "<u4", self._num_restarts, self._entries_end).tolist()
        # Both ascend. Looking for one in the iterator goes on after the previous one: this is a single pass.
        entries = iter(starts)
        for number, restart in enumerate(restarts):
            # The end of the last entry starts none.
            is_end = restart and restart >= self._entries_end
            if (restart and not number) or is_end or restart not in entries or self._data[restart]:
                raise CorruptError(
                    f"restart point {number} at {restart}: not the next entry with a whole key",
                    offset=self._entries_end + 4 * number,
                )

    def _side_by_side(
        self, data: bytes, window: np.ndarray, room: int | None
    ) -> tuple[list[bytes], np.ndarray, np.ndarray] | None:
        """Return the keys, and where the values begin and end; None if only a walk can tell.

        A run is the entries from one restart point to the next. The first entries of all runs are decoded
        together by NumPy, then the second ones, and so on: as many steps as the longest run has entries. If
        each run ends exactly at the next restart point, a walk would find the same entries. For anything
        unusual or damaged the result is None, so that nothing here has to raise. Only the keys need a loop
        over entries, because each is made from the one before.
        """
        count, end = self._num_restarts, self._entries_end
        if count < MIN_RUNS or len(data) > SIDE_BY_SIDE_BYTES:
            return None
        # Runs must follow one another from the first byte to the last, none of them empty.
        starts = np.frombuffer(data, "<u4", count, end).astype(np.int64)
        stops = np.append(starts[1:], end)
        if starts[0] or (starts >= stops).any() or window[starts].any():
            return None
        # One step decodes the next entry of each run that has one left. ``runs`` are the numbers of these
        # runs and ``at`` the positions they have reached, all before ``end``. The three lengths read there
        # may reach beyond it, into the padding of the window.
        entries: list[tuple[np.ndarray, ...]] = []
        runs, at = np.arange(count), starts
        while runs.size:
            lengths = []
            for _ in range(3):
                decoded = decode_varints_at(window, at, _MAX_LENGTH_BYTES)
                if decoded is None:
                    return None
                length, at = decoded
                lengths.append(length)
            shared, non_shared, value_length = lengths
            key_end = at + non_shared
            value_end = key_end + value_length
            entries.append((runs, shared, at, key_end, value_end))
            run_end = stops[runs]
            if len(entries) > MAX_RUN or (value_end > run_end).any():
                return None
            goes_on = value_end < run_end
            runs, at = runs[goes_on], value_end[goes_on]
        # The same checks as in a walk: no entry shares more than the previous key has, and keys stay small.
        shared, key_begin, begins, ends = _in_order(entries, count)
        sizes = shared + begins - key_begin
        size = int(sizes.sum())
        if (shared[1:] > sizes[:-1]).any() or shared[0] or size > MAX_EXPANSION * len(data):
            return None
        if size + KEY_MEMORY * len(sizes) > (self._room if room is None else room):
            return None
        # A plain loop over slices of bytes is faster than all that NumPy offers for strings of varying
        # length.
        key = b""
        places = zip(shared.tolist(), key_begin.tolist(), begins.tolist(), strict=True)
        keys = [key := key[:size] + data[start:stop] for size, start, stop in places]
        return keys, begins, ends

    def _restart_before(self, key: bytes) -> int:
        """Return the position of the last restart point whose key is less than ``key``, or of the first."""
        # The key at ``low`` is less than ``key``, unless ``low`` is 0; keys after ``high`` are not.
        low, high = 0, max(self._num_restarts - 1, 0)
        while low < high:
            middle = (low + high + 1) // 2
            if self._restart_key(middle) < key:
                low = middle
            else:
                high = middle - 1
        return self._restart(low) if self._num_restarts else 0

    def _restart(self, index: int) -> int:
        """Return the position of a restart point."""
        at = self._entries_end + 4 * index
        offset = int.from_bytes(self._data[at : at + 4], "little")
        if offset > self._entries_end:
            raise CorruptError(f"restart point at {offset}, after the end of the entries", offset=at)
        return offset

    def _restart_key(self, index: int) -> bytes:
        """Return the key at a restart point."""
        start = self._restart(index)
        shared, pos = decode_varint(self._data, start)
        non_shared, pos = decode_varint(self._data, pos)
        _, pos = decode_varint(self._data, pos)
        if shared or pos + non_shared > self._entries_end:
            raise CorruptError("restart point is not at an entry with a whole key", offset=start)
        return bytes(self._data[pos : pos + non_shared])


def _in_order(entries: list[tuple[np.ndarray, ...]], count: int) -> list[np.ndarray]:
    """Return the columns of entries that were decoded side by side, one run after another.

    Each item of ``entries`` is a step: which runs have an entry in it, and a column for each of its numbers.
    An entry's place in the result is that of its run's first entry plus the number of the step.
    """
    lengths = np.zeros(count, np.int64)  # entries of each run
    for runs, *_ in entries:
        lengths[runs] += 1
    firsts = np.cumsum(lengths) - lengths  # number of each run's first entry
    columns = [np.empty(int(lengths.sum()), np.int64) for _ in entries[0][1:]]
    for step, (runs, *numbers) in enumerate(entries):
        at = firsts[runs] + step
        for column, values in zip(columns, numbers, strict=True):
            column[at] = values
    return columns
