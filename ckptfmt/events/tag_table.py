"""The table of tags: every value of a run by its tag, gathered while the files are read.

Gathering only appends. The first question about values sorts what has come since the last one into a table of
its own; a table is merged with its predecessor only if that one is not much longer. So reading on in a long
run costs little, and a row is merged a number of times that grows with the logarithm of the number of rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np

from ckptfmt.events.classify import KEPT, Content, code_of, content_and_number, tag_of
from ckptfmt.events.location import pack
from ckptfmt.events.scalars.decoder import ScalarColumns
from ckptfmt.events.summary_metadata import NO_METADATA, SummaryMetadata, decode_metadata
from ckptfmt.events.value_rows import PendingRows, RowBlock, Values, ValueTable, merge_rows
from ckptfmt.proto import messages

MERGED_BELOW = 4
"""A table is merged with its predecessor if that one has fewer than this many times its rows."""

_CODE_BITS = 7
"""Bits of a code: see :func:`ckptfmt.events.classify.code_of`."""


class _LayoutTags:
    """Tag and code of each scalar of a template, by layout: an array over the layouts for each scalar."""

    def __init__(self, count: int) -> None:
        self.tags = [array("i") for _ in range(count)]
        self.codes = [array("b") for _ in range(count)]
        self.unseen: set[int] = set()
        """Layouts with metadata that no intact event has had yet."""


class _State:
    """All rows: those sorted into tables, and those that were gathered since."""

    def __init__(self, tables: list[ValueTable]) -> None:
        self.tables = tables
        self.blocks: list[RowBlock] = []
        self.pending = PendingRows()


class TagTable:
    """The values of all tags. Tags are numbered in the order in which they come."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._metadata: dict[int, tuple[int, SummaryMetadata]] = {}
        """The first metadata of each tag, and the location of the event with it."""
        self._metadata_of_plugins: dict[tuple[int, str], tuple[int, SummaryMetadata]] = {}
        """The same by plugin, for tags with several of them."""
        self._layout_tags: WeakKeyDictionary[object, _LayoutTags] = WeakKeyDictionary()
        """By template. When the decoder drops a template, its entry here is dropped with it."""
        self._state = _State([])

    # --- gathering -----------------------------------------------------------------------------------------

    def _id(self, tag: str) -> int:
        return self._ids.setdefault(tag, len(self._ids))

    def _add_metadata(self, tag_id: int, metadata: SummaryMetadata, location: int) -> None:
        # Scalars of a batch come before its other events: the location decides which metadata are the first.
        first = self._metadata.get(tag_id)
        if first is None or location < first[0]:
            self._metadata[tag_id] = location, metadata
        if first is not None and first[1].plugin != metadata.plugin:
            # The tag has several plugins. Its first metadata are also the first of their own plugin.
            for at, each in (first, (location, metadata)):
                known = self._metadata_of_plugins.get((tag_id, each.plugin))
                if known is None or at < known[0]:
                    self._metadata_of_plugins[tag_id, each.plugin] = at, each

    def add_columns(self, columns: ScalarColumns, file: int) -> int:
        """Take the scalars of events of one template; return the number of rows.

        A row needs the number of its tag, which depends on the layout of its event. Each layout's tags are
        numbered once, and one indexing operation for each scalar of the template does the rest.
        """
        known = columns.known
        locations = columns.offsets + pack(file, 0)
        layout_tags = self._layout_tags.get(known)
        if layout_tags is None:
            layout_tags = self._layout_tags[known] = _LayoutTags(len(known.template.scalars))
        self._number_layouts(columns, layout_tags)
        if layout_tags.unseen:
            self._add_metadata_of_layouts(columns, layout_tags, locations)
        # As a rule a template has one layout, and then all rows of a scalar have one tag.
        is_one = len(known.layouts) == 1
        for number, scalars in enumerate(columns.values):
            tags, codes = layout_tags.tags[number], layout_tags.codes[number]
            self._state.blocks.append(
                RowBlock(
                    tags=tags[0] if is_one else np.array(tags, np.int32)[columns.layouts],
                    codes=codes[0] if is_one else np.array(codes, np.int8)[columns.layouts],
                    numbers=number,
                    sizes=columns.sizes,
                    locations=locations,
                    steps=columns.steps,
                    wall_times=columns.wall_times,
                    scalars=scalars,
                )
            )
        return len(locations) * len(columns.values)

    def _number_layouts(self, columns: ScalarColumns, layout_tags: _LayoutTags) -> None:
        """Number the tags of layouts that are new."""
        # The decoder only appends layouts, so those that were numbered are a prefix of the list.
        begin = len(layout_tags.tags[0])
        for index, layout in enumerate(columns.known.layouts[begin:], begin):
            for number, scalar in enumerate(layout.template.scalars):
                stored = layout.metadata[number]
                content = Content.FLOAT if scalar.is_tensor else Content.SIMPLE
                plugin = decode_metadata(stored).plugin if stored else ""
                layout_tags.tags[number].append(self._id(layout.tags[number]))
                layout_tags.codes[number].append(code_of(content, plugin))
                if stored:
                    layout_tags.unseen.add(index)

    def _add_metadata_of_layouts(
        self, columns: ScalarColumns, layout_tags: _LayoutTags, locations: np.ndarray
    ) -> None:
        """Add the metadata of layouts whose first event is among these, with the location of that event."""
        known = columns.known
        # A layout may be known although no event had it yet: the one that it was found in may be damaged.
        if len(known.layouts) == 1:
            indices, rows = [0], [0]
        else:
            indices, rows = map(np.ndarray.tolist, np.unique(columns.layouts, return_index=True))
        for index, row in zip(indices, rows, strict=True):
            if index in layout_tags.unseen:
                layout_tags.unseen.remove(index)
                for number, stored in enumerate(known.layouts[index].metadata):
                    if stored:
                        tag_id = layout_tags.tags[number][index]
                        self._add_metadata(tag_id, decode_metadata(stored), int(locations[row]))

    def add_event(self, event: messages.Event, location: int, size: int) -> bool:
        """Take the values of an event; return whether one of them may have to be read again."""
        step, wall_time, pending = event.step, event.wall_time, self._state.pending
        is_kept = False
        for number, value in enumerate(event.summary.value):
            tag_id = self._id(tag_of(value))
            plugin = ""
            if value.HasField("metadata"):
                metadata = decode_metadata(value.metadata.SerializeToString())
                plugin = metadata.plugin
                self._add_metadata(tag_id, metadata, location)
            content, scalar = content_and_number(value)
            is_kept |= content in KEPT
            pending.has_doubles |= content is Content.NUMBER
            pending.tags.append(tag_id)
            pending.codes.append(code_of(content, plugin))
            pending.numbers.append(number)
            pending.sizes.append(size)
            pending.locations.append(location)
            pending.steps.append(step)
            pending.wall_times.append(wall_time)
            pending.scalars.append(scalar)
        return is_kept

    # --- asking --------------------------------------------------------------------------------------------

    def metadata(self, tag: str, plugin: str | None = None) -> SummaryMetadata:
        """Return the first metadata of a tag; if it has several plugins, the first that name this one."""
        return self.metadata_at(tag, plugin)[1]

    def metadata_at(self, tag: str, plugin: str | None = None) -> tuple[int, SummaryMetadata]:
        """Return the same metadata after the location of the event that holds them."""
        tag_id = self._ids[tag]
        of_plugin = None if plugin is None else self._metadata_of_plugins.get((tag_id, plugin))
        return of_plugin or self._metadata.get(tag_id, (0, NO_METADATA))

    def _sorted(self) -> list[ValueTable]:
        """Return all rows, sorted into tables."""
        state = self._state
        blocks, tables = list(state.blocks), list(state.tables)
        if state.pending.tags:
            blocks.append(state.pending.to_block())
        if blocks:
            rows = sum(map(len, blocks))
            # Each table that stays is at least MERGED_BELOW times as long as the next one, so there are few.
            while tables and len(tables[-1].tags) < MERGED_BELOW * rows:
                table = tables.pop()
                rows += len(table.tags)
                blocks.insert(0, RowBlock(table.tags, *table.rows))
            tables.append(merge_rows(blocks, len(self._ids)))
            # One assignment: an interrupt leaves either the old state or the new one.
            self._state = _State(tables)
        return self._state.tables

    def codes(self) -> Iterator[tuple[str, list[int]]]:
        """Iterate over all tags in the order of their first values, with the different codes of each.

        The cost is a few passes over the rows, without a loop over tags: a run may have a million of them.
        """
        count = len(self._ids)
        pairs = [np.empty(0, np.int64)]
        location = np.full(count, np.iinfo(np.int64).max)  # of the first value of each tag, and
        number = np.zeros(count, np.int64)  # its index in the event
        for table in self._sorted():
            # A tag and a code as one number. The rows are sorted by tag, and few neighbours differ in their
            # codes, so all pairs are among the few rows where the number changes.
            packed = (table.tags.astype(np.int64) << _CODE_BITS) | table.rows.codes
            changes = np.flatnonzero(packed[1:] != packed[:-1]) + 1
            pairs.append(np.unique(packed[np.concatenate([[0], changes])]))
            # The rows of a tag are sorted by location, so its first row is its first value in this table.
            firsts = table.borders[:-1]
            ids = np.flatnonzero(table.borders[1:] > firsts)
            firsts = firsts[ids]
            is_first = table.rows.locations[firsts] < location[ids]
            ids, firsts = ids[is_first], firsts[is_first]
            location[ids], number[ids] = table.rows.locations[firsts], table.rows.numbers[firsts]
        # Sort the pairs by the rank of their tags among all first values.
        rank = np.empty(count, np.int64)
        rank[np.lexsort((number, location))] = np.arange(count)
        unique = np.unique(np.concatenate(pairs))
        unique = unique[np.argsort(rank[unique >> _CODE_BITS], kind="stable")]
        ids, codes = unique >> _CODE_BITS, (unique & ((1 << _CODE_BITS) - 1)).tolist()
        # Cut the codes where the tag changes.
        names = list(self._ids)
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])[: len(ids)])
        for tag_id, start, stop in zip(
            ids[starts].tolist(), starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=False
        ):
            yield names[tag_id], codes[start:stop]

    def values(self, tag: str) -> Values:
        """Return the values of a tag, in the order in which they were written."""
        tag_id = self._ids[tag]
        parts = [part for table in self._sorted() if (part := table.values_of(tag_id)) is not None]
        if len(parts) == 1:
            return parts[0]
        values = Values(*map(np.concatenate, zip(*parts, strict=True)))
        # A later table has earlier values only if an older file has grown.
        if (values.locations[1:] < values.locations[:-1]).any():
            values = values.select(np.lexsort((values.numbers, values.locations)))
        return values
