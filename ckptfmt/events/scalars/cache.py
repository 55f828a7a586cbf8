"""The cache of templates: which records of a batch fit a template and a layout that were seen before.

The bodies of one size in a batch are compared with the templates of that size, the one used last first: as a
rule all fit it. A new template is looked for in bodies that fit none, but only in a few of them: so a file
without scalars costs a few attempts for each batch and size, not one for each record.

Every step is bounded, since a file may be crafted to make it slow: templates of one size
(:data:`MAX_TEMPLATES`), layouts in all (:data:`MAX_LAYOUTS`), layouts compared with all rows
(:data:`MAX_COMPARED`) and failed attempts (:data:`MAX_FAILURES`). Protobuf decodes all that exceeds a bound.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ckptfmt.events.scalars.template import EventTemplate, Layout, find_layout, layout_of, layout_of_key
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import FOOTER_SIZE

MIN_ALIKE = 2
"""A template is looked for if at least this many bodies of one size are left in a batch."""

MAX_TEMPLATES = 16
"""Templates kept for one size. Each is compared with all bodies of that size that fit no earlier one."""

MAX_LAYOUTS = 1 << 16
"""Layouts kept in all, to bound the memory. A program with more layouts logs most of its tags only once."""

MAX_COMPARED = 4
"""Layouts of a template that are compared with all rows, in one pass over the rows for each layout. Rows of
other layouts are looked up by their bytes, at the cost of a hash for each row."""

MAX_FAILURES = 4
"""Once this many bodies of one size in a batch have no template, the rest is left to protobuf."""

_WORD = np.dtype("<u8")


@dataclass(eq=False)
class KnownTemplate:
    """A template, and those of its layouts that were seen."""

    template: EventTemplate
    pattern: np.ndarray
    """The key of any of its layouts, as words: all have the same structure."""
    layouts: list[Layout] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)
    """The number of each layout, by its key."""
    crcs: array[int] = field(default_factory=lambda: array("I"))
    """The CRC-32C of each layout."""
    is_idle: bool = False
    """Whether no body fit it when it was last tried."""

    def add(self, layout: Layout) -> int:
        """Keep a layout; return its number."""
        number = self.numbers[layout.key] = len(self.layouts)
        self.layouts.append(layout)
        self.crcs.append(layout.crc)
        return number


class Group(NamedTuple):
    """Records of a batch that fit one template."""

    known: KnownTemplate
    records: np.ndarray
    """Their numbers in the batch (int64)."""
    rows: np.ndarray
    """Their bodies and checksums, as rows of words (uint64)."""
    layouts: np.ndarray
    """The number of the layout of each (int64)."""


@dataclass
class _Bodies:
    """The bodies of one size in a batch."""

    batch: Batch
    size: int
    records: np.ndarray
    """Numbers of their records in the batch."""

    def body(self, index: int) -> bytes:
        """Return one of them."""
        stop = int(self.batch.borders[int(self.records[index]) + 1]) - FOOTER_SIZE
        return bytes(self.batch.data[stop - self.size : stop])

    def rows(self) -> np.ndarray:
        """Return all of them as rows of words; see :mod:`ckptfmt.events.scalars.template`."""
        width = -(-(self.size + FOOTER_SIZE) // 8) * 8
        data = self.batch.data
        # Gathered as raw bytes, which have no alignment to respect. The padding is part of the event's
        # header, or of the frame's, so that no row begins before the data.
        items = np.ndarray((len(data) - width + 1,), f"V{width}", data, 0, (1,))
        gathered: np.ndarray = items[self.batch.borders[self.records + 1] - width]
        return gathered.view("<u8").reshape(len(self.records), width // 8)


class TemplateCache:
    """The templates seen so far, by the size of their bodies."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[KnownTemplate]] = {}
        self._count = 0
        """Layouts kept."""

    def __contains__(self, size: int) -> bool:
        """Whether there is a template for bodies of a size."""
        return size in self._by_size

    def match(self, batch: Batch, records: np.ndarray, size: int) -> tuple[list[Group], np.ndarray]:
        """Return the records with bodies of one size grouped by template, and the numbers of all others.

        The templates of the size are tried in the order of the list on the bodies still left. When all were
        tried, the first body left either yields a new template, which is tried next, or counts as a failure.
        So the loop ends after MAX_TEMPLATES + MAX_FAILURES rounds at most.
        """
        bodies = _Bodies(batch, size, records)
        rows = bodies.rows()
        known = self._by_size.setdefault(size, [])
        if len(known) == MAX_TEMPLATES and known[-1].is_idle:
            # Make room: a size with many templates early in a file would otherwise never get later ones. The
            # template used last is first, so the last one has been idle longest.
            self._count -= len(known.pop().layouts)
        groups: list[Group] = []
        failures: list[int] = []
        left = np.arange(len(records))
        tried = 0
        while left.size:
            if tried == len(known):
                if left.size < MIN_ALIKE or len(failures) == MAX_FAILURES or not self._has_room(known):
                    break
                if not self._learn(known, bodies.body(int(left[0]))):
                    failures.append(int(left[0]))
                    left = left[1:]
                    continue
            template = known[tried]
            part = rows if left.size == len(records) else rows[left]
            layouts = self._match_layouts(template, bodies, left, part)
            fits = layouts >= 0
            count = np.count_nonzero(fits)
            template.is_idle = not count
            if tried and count:
                # Move it to the front: the next bodies are likely to fit it too. Those before it move back by
                # one place, so the templates that were tried are still the first ones.
                known.insert(0, known.pop(tried))
            tried += 1
            if count == left.size:
                groups.append(Group(template, records[left], part, layouts))
                left = left[:0]
            elif count:
                groups.append(Group(template, records[left[fits]], part[fits], layouts[fits]))
                left = left[~fits]
        if not known:
            # Sizes without a template are not remembered: there may be thousands of them.
            del self._by_size[size]
        return groups, records[np.concatenate([np.array(failures, np.int64), left])]

    def _has_room(self, known: list[KnownTemplate]) -> bool:
        return len(known) < MAX_TEMPLATES and self._count < MAX_LAYOUTS

    def _learn(self, known: list[KnownTemplate], body: bytes) -> bool:
        """Keep the template of a body that fits none so far; return whether it has one.

        A body may have a known template and still not fit it: its layout was one too many to be kept.
        """
        layout = find_layout(body)
        if layout is None or any(each.template == layout.template for each in known):
            return False
        known.append(KnownTemplate(layout.template, np.frombuffer(layout.key, _WORD)))
        known[-1].add(layout)
        self._count += 1
        return True

    def _match_layouts(
        self, known: KnownTemplate, bodies: _Bodies, left: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Return the number of the layout of each row, -1 if it fits no layout of the template.

        Rows with the structure of the template are compared with a few layouts at once: a program that logs a
        few scalars has no more. The keys of the rest are looked up one by one.
        """
        template = known.template
        numbers = np.full(len(rows), -1, np.int64)
        # Comparing one word of all rows at a time is several times as fast as row by row, which pays for the
        # transposition.
        columns = np.ascontiguousarray(rows.T)
        is_open = _equal(columns, template.structure_bits, known.pattern & template.structure_bits)
        count = np.count_nonzero(is_open)
        number = 0
        while count and number < MAX_COMPARED:
            if number == len(known.layouts):
                # All known layouts were tried: the first row still open brings one more.
                layout = layout_of(template, bodies.body(int(left[is_open.argmax()])))
                if layout is None or layout.key in known.numbers or self._count >= MAX_LAYOUTS:
                    break
                known.add(layout)
                self._count += 1
            # The rows have the structure already, so only the words with texts need to be compared.
            texts = template.text_words
            pattern = np.frombuffer(known.layouts[number].key, _WORD)[texts]
            same = _equal(columns[texts], template.constant_bits[texts], pattern)
            # A row stays open until it fits a layout.
            same &= is_open
            numbers[same] = number
            is_open ^= same
            count -= np.count_nonzero(same)
            number += 1
        if count:
            rest = np.flatnonzero(is_open)
            numbers[rest] = self._look_up(known, _as_bytes(rows[rest] & template.constant_bits))
        return numbers

    def _look_up(self, known: KnownTemplate, keys: list[bytes]) -> list[int]:
        """Return the number of the layout with each key, -1 if it is not valid or one too many."""
        numbers = [known.numbers.get(key, -1) for key in keys]
        refused: set[bytes] = set()
        for i in [i for i, number in enumerate(numbers) if number < 0]:
            key = keys[i]
            # It may have been added for an earlier row.
            number = known.numbers.get(key, -1)
            if number < 0 and self._count < MAX_LAYOUTS and key not in refused:
                layout = layout_of_key(known.template, key)
                if layout is None:
                    refused.add(key)
                    continue
                number = known.add(layout)
                self._count += 1
            numbers[i] = number
        return numbers


def _equal(columns: np.ndarray, mask: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Return which rows, given as columns of words, equal a pattern in the bits of a mask (bool)."""
    same: np.ndarray = (columns & mask[:, None] == pattern[:, None]).all(axis=0)
    return same


def _as_bytes(rows: np.ndarray) -> list[bytes]:
    """Return each row as bytes, the key by which its layout is looked up."""
    data, width = rows.tobytes(), 8 * rows.shape[1]
    return [data[at : at + width] for at in range(0, len(data), width)]
