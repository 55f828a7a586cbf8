"""The table of tags: what event files say under each tag, gathered as they are read.

Each value is a row: where it was read, its step and wall time, and its number if it is one; everything else
is read when it is asked for. Rows are gathered in the order in which they are read, scalars of one template
together. When a tag is asked for, they are sorted by tags and then by location, and a tag is a slice of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ckptfmt.events.classify import KEPT, What, code_of, number_in
from ckptfmt.events.location import pack
from ckptfmt.events.scalars.cache import KnownTemplate
from ckptfmt.events.scalars.decoder import ScalarColumns
from ckptfmt.proto import messages

MERGED_FROM = 4
"""A table is merged with the one before unless that has this many times its rows."""

ROW_SIZE = 45
"""Bytes of a row."""


@dataclass(frozen=True)
class SummaryMetadata:
    """What the first value of a tag says of all of them."""

    plugin: str = ""
    """The plugin of TensorBoard that shows them: ``scalars``, ``histograms``, ``images``, ``text``, …"""
    content: bytes = b""
    """What the plugin stores here."""
    display_name: str = ""
    description: str = ""
    data_class: int = 0
    """1 for scalars, 2 for tensors, 3 for sequences of blobs, 0 where it does not say."""

    @classmethod
    def of(cls, message: messages.SummaryMetadata) -> SummaryMetadata:
        """Return the metadata of a message."""
        plugin = message.plugin_data
        return cls(
            plugin.plugin_name,
            plugin.content,
            message.display_name,
            message.summary_description,
            message.data_class,
        )


NO_METADATA = SummaryMetadata()


class Values(NamedTuple):
    """Values of one tag, in the order in which they were written."""

    codes: np.ndarray
    """What each holds, and the plugin that it names: :func:`ckptfmt.events.classify.code_of` (int8)."""
    numbers: np.ndarray
    """Which value of its event it is (int32)."""
    sizes: np.ndarray
    """Bytes of its record (uint32)."""
    places: np.ndarray
    """The location of its record: :func:`ckptfmt.events.location.pack` (int64)."""
    steps: np.ndarray
    """Its step (int64)."""
    wall_times: np.ndarray
    """When it was written, in seconds since 1970 (float64)."""
    scalars: np.ndarray
    """Its number if it is one (float32, or float64 if one of them is of another dtype)."""

    def select(self, rows: np.ndarray) -> Values:
        """Return some of them."""
        return Values(*(column[rows] for column in self))


class _Part(NamedTuple):
    """Rows as they were gathered: the columns of :class:`Values`, or one number that all rows have."""

    tags: np.ndarray | int
    codes: np.ndarray | int
    numbers: np.ndarray | int
    sizes: np.ndarray
    places: np.ndarray
    steps: np.ndarray
    wall_times: np.ndarray
    scalars: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @property
    def order(self) -> tuple[int, int]:
        """A sort key: by tag if all rows have one, and by the location of the first row."""
        return self.tags if isinstance(self.tags, int) else -1, int(self.places[0])


_DTYPES: Mapping[str, type[np.generic]] = {
    "codes": np.int8,
    "numbers": np.int32,
    "sizes": np.uint32,
    "places": np.int64,
    "steps": np.int64,
    "wall_times": np.float64,
    "scalars": np.float32,
}
"""Types of the columns of :class:`Values`."""


class _Pending:
    """Values that came one by one, column by column; typed arrays take a tenth of what lists would."""

    def __init__(self) -> None:
        self.tags = array("i")
        self.codes = array("b")
        self.numbers = array("i")
        self.sizes = array("I")
        self.places = array("q")
        self.steps = array("q")
        self.wall_times = array("d")
        self.scalars = array("d")
        self.has_doubles = False
        """Whether a scalar is not a float32."""

    def to_part(self) -> _Part:
        """Return them as rows."""
        columns = {name: np.array(getattr(self, name), dtype) for name, dtype in _DTYPES.items()}
        if self.has_doubles:
            columns["scalars"] = np.array(self.scalars)
        return _Part(np.array(self.tags, np.int32), **columns)


class _Table(NamedTuple):
    """Rows by tag, and those of each tag by location."""

    tags: np.ndarray
    """The number of the tag of each row (int32)."""
    borders: np.ndarray
    """Where the rows of each tag begin, and where the last ones end (int64)."""
    rows: Values


class _LayoutTags:
    """Tag and code of each scalar of a template, per layout: for each scalar an array over the layouts."""

    def __init__(self, count: int) -> None:
        self.tags = [array("i") for _ in range(count)]
        self.codes = [array("b") for _ in range(count)]
        self.unseen: set[int] = set()
        """Layouts with metadata of which no event has come yet."""


class _State:
    """What was gathered: in tables, and what has come since."""

    def __init__(self, tables: list[_Table]) -> None:
        self.tables = tables
        self.parts: list[_Part] = []
        self.pending = _Pending()


class TagTable:
    """The values of all tags."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._metadata: dict[int, tuple[int, SummaryMetadata]] = {}
        """Of a tag the first metadata, and the place of the event with it."""
        self._more: dict[tuple[int, str], tuple[int, SummaryMetadata]] = {}
        """The same of its other plugins."""
        self._layout_tags: WeakKeyDictionary[KnownTemplate, _LayoutTags] = WeakKeyDictionary()
        self._state = _State([])

    # --- gathering -----------------------------------------------------------------------------------------

    def _id(self, tag: str) -> int:
        return self._ids.setdefault(tag, len(self._ids))

    def _add_metadata(self, tag_id: int, metadata: SummaryMetadata, place: int) -> None:
        first = self._metadata.get(tag_id)
        if first is None or place < first[0]:
            self._metadata[tag_id] = place, metadata
        if first is not None and first[1].plugin != metadata.plugin:
            for at, each in (first, (place, metadata)):
                known = self._more.get((tag_id, each.plugin))
                if known is None or at < known[0]:
                    self._more[tag_id, each.plugin] = at, each

    def add_columns(self, columns: ScalarColumns, file: int) -> int:
        """Take the scalars of events of one template; return how many rows that are."""
        known = columns.known
        places = columns.offsets + pack(file, 0)
        of_layouts = self._layout_tags.get(known)
        if of_layouts is None:
            of_layouts = self._layout_tags[known] = _LayoutTags(len(known.template.scalars))
        self._add_layouts(known, of_layouts)
        if of_layouts.unseen:
            self._see(known, of_layouts, columns.layouts, places)
        is_one = len(known.layouts) == 1
        for number, scalars in enumerate(columns.values):
            tags, codes = of_layouts.tags[number], of_layouts.codes[number]
            self._state.parts.append(
                _Part(
                    tags=tags[0] if is_one else np.array(tags, np.int32)[columns.layouts],
                    codes=codes[0] if is_one else np.array(codes, np.int8)[columns.layouts],
                    numbers=number,
                    sizes=columns.sizes,
                    places=places,
                    steps=columns.steps,
                    wall_times=columns.wall_times,
                    scalars=scalars,
                )
            )
        return len(places) * len(columns.values)

    def _add_layouts(self, known: KnownTemplate, of_layouts: _LayoutTags) -> None:
        """Number the tags of layouts that are new."""
        begin = len(of_layouts.tags[0])
        for at, layout in enumerate(known.layouts[begin:], begin):
            for number, scalar in enumerate(layout.template.scalars):
                stored = layout.metadata[number]
                what = What.FLOAT if scalar.is_tensor else What.SIMPLE
                of_layouts.tags[number].append(self._id(layout.tags[number]))
                of_layouts.codes[number].append(
                    code_of(what, _metadata_in(stored).plugin) if stored else what
                )
                if stored:
                    of_layouts.unseen.add(at)

    def _see(
        self, known: KnownTemplate, of_layouts: _LayoutTags, numbers: np.ndarray, places: np.ndarray
    ) -> None:
        """Take the metadata of layouts that come for the first time."""
        is_one = len(known.layouts) == 1
        met, rows = ([0], [0]) if is_one else map(np.ndarray.tolist, np.unique(numbers, return_index=True))
        for at, row in zip(met, rows, strict=True):
            if at in of_layouts.unseen:
                of_layouts.unseen.remove(at)
                for number, stored in enumerate(known.layouts[at].metadata):
                    if stored:
                        self._add_metadata(
                            of_layouts.tags[number][at], _metadata_in(stored), int(places[row])
                        )

    def add_event(self, event: messages.Event, place: int, size: int) -> bool:
        """Take the values of an event; return whether one of them is to be read again."""
        step, wall_time, pending = event.step, event.wall_time, self._state.pending
        is_kept = False
        for number, value in enumerate(event.summary.value):
            tag_id = self._id(value.tag)
            plugin = ""
            if value.HasField("metadata"):
                metadata = _metadata_in(value.metadata.SerializeToString())
                plugin = metadata.plugin
                self._add_metadata(tag_id, metadata, place)
            what, scalar = number_in(value)
            is_kept |= what in KEPT
            pending.has_doubles |= what is What.NUMBER
            pending.tags.append(tag_id)
            pending.codes.append(code_of(what, plugin))
            pending.numbers.append(number)
            pending.sizes.append(size)
            pending.places.append(place)
            pending.steps.append(step)
            pending.wall_times.append(wall_time)
            pending.scalars.append(scalar)
        return is_kept

    # --- asking --------------------------------------------------------------------------------------------

    def metadata(self, tag: str, plugin: str | None = None) -> SummaryMetadata:
        """Return what the first value of a tag that has metadata says; of those of a plugin, if there are."""
        return self.metadata_at(tag, plugin)[1]

    def metadata_at(self, tag: str, plugin: str | None = None) -> tuple[int, SummaryMetadata]:
        """Return the same with the place of the event that says so."""
        tag_id = self._ids[tag]
        found = None if plugin is None else self._more.get((tag_id, plugin))
        return found or self._metadata.get(tag_id, (0, NO_METADATA))

    def _sorted(self) -> list[_Table]:
        """All that was gathered, in tables."""
        state = self._state
        parts, tables = list(state.parts), list(state.tables)
        if state.pending.tags:
            parts.append(state.pending.to_part())
        if parts:
            rows = sum(map(len, parts))
            while tables and len(tables[-1].tags) < MERGED_FROM * rows:
                table = tables.pop()
                rows += len(table.tags)
                parts.insert(0, _Part(table.tags, *table.rows))
            tables.append(_table(parts, rows, len(self._ids)))
            # At one stroke: somebody may interrupt this.
            self._state = _State(tables)
        return self._state.tables

    def codes(self) -> Iterator[tuple[str, list[int]]]:
        """Iterate over all tags in the order of their first values, with the codes that these have."""
        count = len(self._ids)
        pairs = [np.empty(0, np.int64)]
        place, number = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
        for table in self._sorted():
            both = (table.tags.astype(np.int64) << 7) | table.rows.codes
            changes = np.flatnonzero(both[1:] != both[:-1]) + 1
            pairs.append(np.unique(both[np.concatenate([[0], changes])]))
            firsts = table.borders[:-1]
            ids = np.flatnonzero(table.borders[1:] > firsts)
            firsts = firsts[ids]
            places = table.rows.places[firsts]
            is_first = places < place[ids]
            ids, firsts = ids[is_first], firsts[is_first]
            place[ids], number[ids] = table.rows.places[firsts], table.rows.numbers[firsts]
        rank = np.empty(count, np.int64)
        rank[np.lexsort((number, place))] = np.arange(count)
        found = np.unique(np.concatenate(pairs))
        ids = found >> 7
        order = np.argsort(rank[ids], kind="stable")
        names = list(self._ids)
        ids, codes = ids[order], (found[order] & 127).tolist()
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])[: len(ids)])
        for tag_id, start, stop in zip(
            ids[starts].tolist(), starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=False
        ):
            yield names[tag_id], codes[start:stop]

    def values(self, tag: str) -> Values:
        """Return the values of a tag, in the order in which they were written."""
        tag_id = self._ids[tag]
        parts = []
        for table in self._sorted():
            if tag_id < len(table.borders) - 1:
                start, stop = int(table.borders[tag_id]), int(table.borders[tag_id + 1])
                if start < stop:
                    parts.append(Values(*[column[start:stop] for column in table.rows]))
        if len(parts) == 1:
            return parts[0]
        values = Values(*map(np.concatenate, zip(*parts, strict=True)))
        if (values.places[1:] < values.places[:-1]).any():
            values = values.select(np.lexsort((values.numbers, values.places)))
        return values


@lru_cache(maxsize=1024)
def _metadata_in(stored: bytes) -> SummaryMetadata:
    """SummaryMetadata that are valid."""
    return SummaryMetadata.of(messages.SummaryMetadata.FromString(stored))


def _table(parts: list[_Part], rows: int, tags: int) -> _Table:
    """Return a table of all rows of parts."""
    # Parts of one tag each are in order then, and of most others the values of each tag.
    parts.sort(key=lambda part: part.order)
    numbers = np.empty(rows, np.int32)
    columns = {name: np.empty(rows, dtype) for name, dtype in _DTYPES.items()}
    if any(part.scalars.dtype == np.float64 for part in parts):
        columns["scalars"] = np.empty(rows, np.float64)
    start = 0
    for part in parts:
        stop = start + len(part)
        numbers[start:stop] = part.tags
        for name, column in columns.items():
            column[start:stop] = getattr(part, name)
        start = stop
    if (numbers[1:] < numbers[:-1]).any():
        # As 16-bit numbers if possible, which a radix sort orders in two passes.
        order = np.argsort(numbers.astype(np.uint16) if tags <= 1 << 16 else numbers, kind="stable")
        numbers = numbers[order]
        columns = {name: column[order] for name, column in columns.items()}
    _sort_late_rows(numbers, columns, tags)
    for column in columns.values():
        column.flags.writeable = False
    return _Table(numbers, np.searchsorted(numbers, np.arange(tags + 1)), Values(**columns))


def _sort_late_rows(numbers: np.ndarray, columns: dict[str, np.ndarray], tags: int) -> None:
    """Sort the rows of tags of which one was gathered after others that were written later.

    Events decoded alone come after those decoded together, so that a few tags may be out of order: only their
    rows are sorted, in place.
    """
    places = columns["places"]
    late = np.flatnonzero((places[1:] < places[:-1]) & (numbers[1:] == numbers[:-1]))
    if not late.size:
        return
    wrong = np.zeros(tags, bool)
    wrong[numbers[late]] = True
    rows = np.flatnonzero(wrong[numbers])
    order = rows[np.lexsort((columns["numbers"][rows], places[rows], numbers[rows]))]
    for column in columns.values():
        column[rows] = column[order]
