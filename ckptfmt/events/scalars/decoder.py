"""Scalars of many events at once: events of one form are decoded together, an array for each number.

In this file the *size* of an event is that of what is behind its stamp.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ckptfmt.events.scalars.header import Stamps, stamps_of
from ckptfmt.events.scalars.template import (
    MAX_SIZE,
    Form,
    Layout,
    layout_in,
    layout_of,
    layout_of_key,
)
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import FOOTER_SIZE
from ckptfmt.wire.crc_rows import crc_before, mask_all

MIN_ROWS = 3
"""Events of one size in a batch from which on it is asked for their form."""

MIN_BATCH = 8
"""Records of a batch from which on it is worth to look at all of them at once."""

MIN_ALIKE = 2
"""Events of one size in a batch that make it worth to look for a form."""

MAX_FORMS = 16
"""Forms of one size that are kept: each is compared with all events of that size."""

MAX_LAYOUTS = 1 << 16
"""Layouts kept; a program that has more logs most tags once."""

MAX_COMPARED = 4
"""Layouts that are tried one by one; more are looked up by their bytes."""

MAX_FAILURES = 4
"""Events of one size without a form after which no more of these are asked for one."""

_WORD = np.dtype("<u8")


@dataclass(eq=False)
class Layouts:
    """A form, and the layouts of it that were met."""

    form: Form
    pattern: np.ndarray
    """The key of a layout that has it, as words."""
    items: list[Layout] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)
    """The number of each layout, by its key."""
    crcs: array[int] = field(default_factory=lambda: array("I"))
    """The CRC-32C of each."""
    is_idle: bool = False
    """Whether the last batch with events of this size had none of this form."""

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
    sizes: np.ndarray
    """Bytes of each record (uint32)."""
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
        if len(batch) < MIN_BATCH:
            return [], list(range(len(batch))), []
        columns: list[Columns] = []
        others: list[np.ndarray] = []
        damaged: list[np.ndarray] = []
        stamps = stamps_of(batch)
        contents = np.where(stamps.sizes >= 0, batch.sizes - stamps.sizes, 0)
        sizes = contents.clip(0, MAX_SIZE + 1).astype(np.uint16)
        crcs = stamps.crcs() if self._verify else None
        # Of 16-bit numbers a sort that goes through them twice.
        order = np.argsort(sizes, kind="stable")
        borders = np.flatnonzero(np.diff(sizes[order])) + 1
        for rows in np.split(order, borders):
            size = int(sizes[rows[0]]) if rows.size else 0
            if 0 < size <= MAX_SIZE and (rows.size >= MIN_ROWS or size in self._forms):
                groups, rows = self._groups(batch, rows, size)
                damaged += [group.decode(batch, stamps, crcs, columns) for group in groups]
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
                layout = layout_of(_content(batch, int(rows[left[0]]), size))
                if layout is None or any(each.form == layout.form for each in known):
                    # Not one of scalars, or one of a layout of which there are too few.
                    others.append(int(left[0]))
                    left = left[1:]
                    continue
                known.append(Layouts(layout.form, np.frombuffer(layout.key, _WORD)))
                known[-1].add(layout)
                self._count += 1
            each = known[tried]
            part = words if left.size == len(rows) else words[left]
            numbers = self._match(each, batch, rows, left, part)
            found = numbers >= 0
            count = np.count_nonzero(found)
            each.is_idle = not count
            if tried and count:
                # The next events are likely to have the same.
                known.insert(0, known.pop(tried))
            tried += 1
            if count == left.size:
                groups.append(_Group(each, rows[left], part, numbers))
                left = left[:0]
            elif count:
                groups.append(_Group(each, rows[left[found]], part[found], numbers[found]))
                left = left[~found]
        if not known:
            del self._forms[size]
        return groups, rows[np.concatenate([np.array(others, np.int64), left])]

    def _match(
        self, known: Layouts, batch: Batch, rows: np.ndarray, left: np.ndarray, words: np.ndarray
    ) -> np.ndarray:
        """The number of the layout of each record that is left, -1 where it is of none that is kept."""
        form = known.form
        numbers = np.full(len(left), -1, np.int64)
        columns = np.ascontiguousarray(words.T)
        is_open = _equal(columns, form.frame, known.pattern & form.frame)
        count = np.count_nonzero(is_open)
        # A few tags are found in all events at once; of many each event is looked up.
        number = 0
        while count and number < MAX_COMPARED:
            if number == len(known.items):
                layout = layout_in(form, _content(batch, int(rows[left[is_open.argmax()]]), form.size))
                if layout is None or layout.key in known.numbers or self._count >= MAX_LAYOUTS:
                    break
                known.add(layout)
                self._count += 1
            pattern = np.frombuffer(known.items[number].key, _WORD)[form.texts]
            same = _equal(columns[form.texts], form.words[form.texts], pattern)
            same &= is_open
            numbers[same] = number
            is_open ^= same
            count -= np.count_nonzero(same)
            number += 1
        if not count:
            return numbers
        missing = np.flatnonzero(is_open)
        keys = _as_bytes(words[missing] & form.words)
        known_numbers = known.numbers
        found = [known_numbers.get(key, -1) for key in keys]
        refused: set[bytes] = set()
        for i in [i for i, number in enumerate(found) if number < 0]:
            key = keys[i]
            number = known_numbers.get(key, -1)
            if number < 0 and self._count < MAX_LAYOUTS and key not in refused:
                layout_there = layout_of_key(form, key)
                if layout_there is None:
                    refused.add(key)
                    continue
                number = known.add(layout_there)
                self._count += 1
            found[i] = number
        numbers[missing] = found
        return numbers


def _equal(columns: np.ndarray, mask: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Which rows, given as columns of words, have the bits of a pattern, those of the mask."""
    same: np.ndarray = (columns & mask[:, None] == pattern[:, None]).all(axis=0)
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

    def decode(
        self, batch: Batch, stamps: Stamps, crcs: np.ndarray | None, columns: list[Columns]
    ) -> np.ndarray:
        """Append their columns; return the numbers of those that are damaged.

        ``crcs`` are those of all stamps; None where nothing is to be verified.
        """
        layouts, rows, words, numbers = self
        form = layouts.form
        damaged = rows[:0]
        if crcs is not None:
            computed = crc_before(crcs[rows], form.size)
            computed ^= form.crcs(words)
            if len(layouts.items) == 1:
                computed ^= np.uint32(layouts.crcs[0])
            else:
                computed ^= np.array(layouts.crcs, np.uint32)[numbers]
            intact = mask_all(computed) == form.stored_crcs(words)
            if not intact.all():
                damaged = rows[~intact]
                rows, numbers, words = rows[intact], numbers[intact], words[intact]
        if rows.size:
            columns.append(
                Columns(
                    layouts,
                    numbers,
                    batch.base + batch.borders[rows],
                    batch.sizes[rows].astype(np.uint32),
                    stamps.steps[rows],
                    stamps.wall_times[rows],
                    [form.floats(words, place) for place in form.values],
                )
            )
        return damaged


def _content(batch: Batch, number: int, size: int) -> bytes:
    """What is behind the stamp of a record."""
    stop = int(batch.borders[number + 1]) - FOOTER_SIZE
    return bytes(batch.data[stop - size : stop])


def _rows_of(batch: Batch, rows: np.ndarray, size: int) -> np.ndarray:
    """Events of one size as rows of words, see :mod:`ckptfmt.events.scalars.template`."""
    width = -(-(size + FOOTER_SIZE) // 8) * 8
    data = batch.data
    # As bytes, which have no alignment that would have to be seen to.
    items = np.ndarray((len(data) - width + 1,), f"V{width}", data, 0, (1,))
    # Never before the beginning: a header and a stamp stand before each.
    found: np.ndarray = items[batch.borders[rows + 1] - width]
    return found.view("<u8").reshape(len(rows), width // 8)


def _as_bytes(words: np.ndarray) -> list[bytes]:
    data, width = words.tobytes(), 8 * words.shape[1]
    return [data[at : at + width] for at in range(0, len(data), width)]


def _sorted(parts: list[np.ndarray]) -> list[int]:
    return sorted(np.concatenate(parts).tolist()) if parts else []
