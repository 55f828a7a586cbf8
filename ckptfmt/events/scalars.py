"""Scalars of many events at once: events of one form are decoded together, an array for each number."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.events.form import MAX_SIZE, Form, Layout, layout_in, layout_of, layout_of_key
from ckptfmt.record.reader import Batch
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.crc_rows import mask_all

MIN_ROWS = 3
"""Events of one length in a batch from which on it is asked for their form."""

MIN_ALIKE = 2
"""Events of one length in a batch that make it worth to look for a form."""

MAX_FORMS = 16
"""Forms of one length that are kept: each is compared with all events of that length."""

MAX_LAYOUTS = 1 << 16
"""Layouts kept; a program that has more logs most tags once."""

MAX_COMPARED = 4
"""Layouts that are tried one by one; more are looked up by their bytes."""

MAX_FAILURES = 4
"""Events of one length without a form after which no more of these are asked for one."""

_ALL_BITS = (1 << 64) - 1
_WORD = np.dtype("<u8")
_CRC = np.dtype("<u4")
_FLOAT = np.dtype("<f4")
_DOUBLE = np.dtype("<f8")


@dataclass(eq=False)
class Layouts:
    """A form, and the layouts of it that were met."""

    form: Form
    pattern: np.ndarray
    """The bytes of an event that has it, as words."""
    items: list[Layout] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)
    """The number of each layout, by its key."""
    crcs: array[int] = field(default_factory=lambda: array("I"))
    """The CRC-32C of each."""
    is_idle: bool = False
    """Whether the last batch with events of this length had none of this form."""

    def add(self, layout: Layout) -> int:
        """Keep a layout; return its number."""
        number = self.numbers[layout.key] = len(self.items)
        self.items.append(layout)
        self.crcs.append(layout.crc)
        return number


class Columns(NamedTuple):
    """Events of one form, in the order of the file."""

    layouts: Layouts
    numbers: np.ndarray
    """Of each the number of its layout (int64)."""
    offsets: np.ndarray
    """Of each where its frame begins in the file (int64)."""
    steps: np.ndarray
    wall_times: np.ndarray
    values: list[np.ndarray]
    """For each value of the form, that of each event (float32)."""


class ScalarDecoder:
    """Decodes the scalars of batches of events; remembers the layouts that it meets."""

    def __init__(self, *, verify: bool) -> None:
        self._verify = verify
        self._forms: dict[int, list[Layouts]] = {}
        self._count = 0

    def decode(self, batch: Batch) -> tuple[list[Columns], list[int], list[int]]:
        """Return the scalars of a batch, the numbers of its other records, and those of damaged ones.

        Records that are among the others are not verified.
        """
        columns: list[Columns] = []
        others: list[np.ndarray] = []
        damaged: list[np.ndarray] = []
        sizes = np.minimum(batch.sizes, MAX_SIZE + 1).astype(np.uint16)
        # Of 16-bit numbers a sort that goes through them twice.
        order = np.argsort(sizes, kind="stable")
        borders = np.flatnonzero(np.diff(sizes[order])) + 1
        for rows in np.split(order, borders):
            size = int(sizes[rows[0]]) if rows.size else 0
            if 0 < size <= MAX_SIZE and (rows.size >= MIN_ROWS or size in self._forms):
                groups, rows = self._groups(batch, rows, size)
                damaged += [group.decode(batch, columns, verify=self._verify) for group in groups]
            others.append(rows)
        return columns, _sorted(others), _sorted(damaged)

    def _groups(self, batch: Batch, rows: np.ndarray, size: int) -> tuple[list[_Group], np.ndarray]:
        """The records of one size that have a form that is kept, form by form, and all others."""
        words = _rows_of(batch, rows, size)
        known = self._forms.setdefault(size, [])
        if len(known) == MAX_FORMS and known[-1].is_idle:
            # Make room: the one that was used last stands first.
            self._count -= len(known.pop().items)
        groups: list[_Group] = []
        others: list[int] = []
        left = np.arange(len(rows))
        tried = 0
        while left.size:
            if tried == len(known):
                if left.size < MIN_ALIKE or len(others) == MAX_FAILURES:
                    break
                if tried == MAX_FORMS or self._count >= MAX_LAYOUTS:
                    break
                layout = layout_of(_record(batch, int(rows[left[0]])))
                if layout is None or any(each.form == layout.form for each in known):
                    # Not one of scalars, or one of a layout of which there are too few.
                    others.append(int(left[0]))
                    left = left[1:]
                    continue
                known.append(Layouts(layout.form, np.frombuffer(layout.key, _WORD)))
                known[-1].add(layout)
                self._count += 1
            each = known[tried]
            numbers = self._match(each, batch, rows, words, left)
            found = numbers >= 0
            each.is_idle = not found.any()
            if tried and not each.is_idle:
                # The next events are likely to have the same.
                known.insert(0, known.pop(tried))
            tried += 1
            if found.all():
                places, left = left, left[:0]
            else:
                places, numbers, left = left[found], numbers[found], left[~found]
            if places.size:
                everything = places.size == len(rows)
                groups.append(_Group(each, rows[places], words if everything else words[places], numbers))
        if not known:
            del self._forms[size]
        return groups, rows[np.concatenate([np.array(others, np.int64), left])]

    def _match(
        self, known: Layouts, batch: Batch, rows: np.ndarray, words: np.ndarray, left: np.ndarray
    ) -> np.ndarray:
        """The number of the layout of each record that is left, -1 where it is of none that is kept."""
        numbers = np.full(len(left), -1, np.int64)
        missing = np.arange(len(left))
        part = words if left.size == len(words) else words[left]
        for number, layout in enumerate(known.items[:MAX_COMPARED]):
            same = _equal(part, known.form.words, np.frombuffer(layout.key, _WORD))
            if same.all():
                numbers[missing] = number
                return numbers
            numbers[missing[same]] = number
            missing, part = missing[~same], part[~same]
        # Of other tags, but of this form: the rest is the same.
        frame = known.form.frame
        alike = _equal(part, frame, known.pattern & frame)
        missing, part = missing[alike], part[alike]
        # A new tag or two is found in all events at once; of many each event is looked up.
        while missing.size and len(known.items) < MAX_COMPARED and self._count < MAX_LAYOUTS:
            found_there = layout_in(known.form, _record(batch, int(rows[left[missing[0]]])))
            if found_there is None or found_there.key in known.numbers:
                missing, part = missing[1:], part[1:]
                continue
            number = known.add(found_there)
            self._count += 1
            same = _equal(part, known.form.words, np.frombuffer(found_there.key, _WORD))
            numbers[missing[same]] = number
            missing, part = missing[~same], part[~same]
        if not missing.size:
            return numbers
        keys = _as_bytes(part & known.form.words)
        known_numbers = known.numbers
        found = [known_numbers.get(key, -1) for key in keys]
        refused: set[bytes] = set()
        for i in [i for i, number in enumerate(found) if number < 0]:
            key = keys[i]
            number = known_numbers.get(key, -1)
            if number < 0 and self._count < MAX_LAYOUTS and key not in refused:
                layout_there = layout_of_key(known.form, key)
                if layout_there is None:
                    refused.add(key)
                    continue
                number = known.add(layout_there)
                self._count += 1
            found[i] = number
        numbers[missing] = found
        return numbers


def _equal(rows: np.ndarray, mask: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Which rows of words have the bits of a pattern, those of the mask."""
    same = np.ones(len(rows), bool)
    for column, (bits, wanted) in enumerate(zip(mask.tolist(), pattern.tolist(), strict=True)):
        if bits == _ALL_BITS:
            same &= rows[:, column] == wanted
        elif bits:
            same &= rows[:, column] & bits == wanted
    return same


class _Group(NamedTuple):
    """Records of one form."""

    layouts: Layouts
    rows: np.ndarray
    """Their numbers in the batch."""
    words: np.ndarray
    """Their bytes, as rows of words."""
    numbers: np.ndarray
    """The layout of each."""

    def decode(self, batch: Batch, columns: list[Columns], *, verify: bool) -> np.ndarray:
        """Append their columns; return the numbers of those that are damaged."""
        layouts, rows, words, numbers = self
        form = layouts.form
        data = batch.data
        damaged = rows[:0]
        if verify:
            crcs = form.crcs(words.view(np.uint8))
            if len(layouts.items) == 1:
                crcs ^= np.uint32(layouts.crcs[0])
            else:
                crcs ^= np.array(layouts.crcs, np.uint32)[numbers]
            at = batch.begins[rows] + form.size
            intact = mask_all(crcs) == _numbers(data, _CRC, at)
            if not intact.all():
                damaged = rows[~intact]
                rows, numbers, words = rows[intact], numbers[intact], words[intact]
        if rows.size:
            begins = batch.begins[rows]
            columns.append(
                Columns(
                    layouts,
                    numbers,
                    batch.base + batch.borders[rows],
                    form.steps(words.view(np.uint8)),
                    np.zeros(len(rows))
                    if form.wall_time is None
                    else _numbers(data, _DOUBLE, begins + form.wall_time),
                    [_numbers(data, _FLOAT, begins + place.offset) for place in form.values],
                )
            )
        return damaged


def _record(batch: Batch, number: int) -> bytes:
    begin = int(batch.begins[number])
    return bytes(batch.data[begin : begin + int(batch.sizes[number])])


def _rows_of(batch: Batch, rows: np.ndarray, size: int) -> np.ndarray:
    """The bytes of records of one size as rows of words; what stands before them fills the first."""
    width = -(-size // 8) * 8
    data = batch.data
    items = np.ndarray((len(data) - width + 1,), f"V{width}", data, 0, (1,))
    # Never before the beginning: a header stands before each.
    found: np.ndarray = items[batch.begins[rows] - (width - size)]
    return found.view("<u8").reshape(len(rows), width // 8)


def _numbers(data: Buffer, dtype: np.dtype[Any], at: np.ndarray) -> np.ndarray:
    """The numbers that begin at some bytes."""
    # As bytes, which have no alignment that would have to be seen to.
    items = np.ndarray((len(data) - dtype.itemsize + 1,), f"V{dtype.itemsize}", data, 0, (1,))
    found: np.ndarray = items[at]
    return found.view(dtype)


def _as_bytes(words: np.ndarray) -> list[bytes]:
    data, width = words.tobytes(), 8 * words.shape[1]
    return [data[at : at + width] for at in range(0, len(data), width)]


def _sorted(parts: list[np.ndarray]) -> list[int]:
    return sorted(np.concatenate(parts).tolist()) if parts else []
