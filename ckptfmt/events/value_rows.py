"""Values of tags as rows: gathered in the order of the files, then sorted into tables where a tag is a slice.

::

    one event after the other        PendingRows ──┐
    scalars of one template          RowBlock ─────┴── merge_rows() ──> ValueTable: rows by tag and location

A row says where its value was read, its step and wall time, and its number if it is one.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

ROW_SIZE = 45
"""Bytes of a row."""


class Values(NamedTuple):
    """Values of one tag, in the order in which they were written."""

    codes: np.ndarray
    """What each holds, and the plugin that it names: :func:`ckptfmt.events.classify.code_of` (int8)."""
    numbers: np.ndarray
    """Index of each among the values of its event (int32)."""
    sizes: np.ndarray
    """Bytes of the record that holds it (uint32)."""
    locations: np.ndarray
    """Location of that record: :func:`ckptfmt.events.location.pack` (int64)."""
    steps: np.ndarray
    """Step of each (int64)."""
    wall_times: np.ndarray
    """When each was written, in seconds since 1970 (float64)."""
    scalars: np.ndarray
    """The number of each that is one, else 0 (float32, or float64 if one of them has another dtype)."""

    def select(self, rows: np.ndarray) -> Values:
        """Return the values of some rows, given by index or as a mask."""
        return Values(*(column[rows] for column in self))


_DTYPES: Mapping[str, type[np.generic]] = {
    "codes": np.int8,
    "numbers": np.int32,
    "sizes": np.uint32,
    "locations": np.int64,
    "steps": np.int64,
    "wall_times": np.float64,
    "scalars": np.float32,
}
"""Dtypes of the columns of :class:`Values`."""


class RowBlock(NamedTuple):
    """Rows as they were gathered: the columns of :class:`Values` and a tag for each.

    A column that has one number in all rows is that number.
    """

    tags: np.ndarray | int
    codes: np.ndarray | int
    numbers: np.ndarray | int
    sizes: np.ndarray
    locations: np.ndarray
    steps: np.ndarray
    wall_times: np.ndarray
    scalars: np.ndarray

    def __len__(self) -> int:
        return len(self.locations)

    @property
    def order(self) -> tuple[int, int]:
        """A sort key: by tag if all rows have the same one, then by the location of the first row."""
        return self.tags if isinstance(self.tags, int) else -1, int(self.locations[0])


class PendingRows:
    """Rows that came one by one. Typed arrays take a tenth of the memory of lists."""

    def __init__(self) -> None:
        self.tags = array("i")
        self.codes = array("b")
        self.numbers = array("i")
        self.sizes = array("I")
        self.locations = array("q")
        self.steps = array("q")
        self.wall_times = array("d")
        self.scalars = array("d")
        self.has_doubles = False
        """Whether a scalar is not a float32."""

    def to_block(self) -> RowBlock:
        """Return the rows as a block."""
        # Copied: a typed array that NumPy views could not grow any more.
        columns = {name: np.array(getattr(self, name), dtype) for name, dtype in _DTYPES.items()}
        if self.has_doubles:
            columns["scalars"] = np.array(self.scalars)
        return RowBlock(np.array(self.tags, np.int32), **columns)


class ValueTable(NamedTuple):
    """Rows sorted by tag, and those of each tag by location."""

    tags: np.ndarray
    """Number of the tag of each row (int32)."""
    borders: np.ndarray
    """Where the rows of each tag begin, and the end of the last ones (int64)."""
    rows: Values

    def values_of(self, tag: int) -> Values | None:
        """Return the values of a tag, given by number, as views; None if the table has none."""
        # A tag that was numbered after this table was made has no border in it.
        if tag >= len(self.borders) - 1:
            return None
        start, stop = int(self.borders[tag]), int(self.borders[tag + 1])
        return Values(*(column[start:stop] for column in self.rows)) if start < stop else None


def merge_rows(blocks: Sequence[RowBlock], tag_count: int) -> ValueTable:
    """Return a table of the rows of all blocks; their tags are numbers below ``tag_count``.

    Blocks are sorted before their rows are. After that, rows of blocks with one tag each need no more
    sorting, and the rows of others are mostly in order, tag by tag, so the stable sort by tag suffices. Rows
    that are still out of order are few, and :func:`_sort_late_rows` moves only those.
    """
    blocks = sorted(blocks, key=lambda block: block.order)
    count = sum(map(len, blocks))
    tags = np.empty(count, np.int32)
    # Columns are filled block by block, so that a number that stands for a column is never spread out before.
    columns = {name: np.empty(count, dtype) for name, dtype in _DTYPES.items()}
    if any(block.scalars.dtype == np.float64 for block in blocks):
        columns["scalars"] = np.empty(count, np.float64)
    start = 0
    for block in blocks:
        stop = start + len(block)
        tags[start:stop] = block.tags
        for name, column in columns.items():
            column[start:stop] = getattr(block, name)
        start = stop
    if (tags[1:] < tags[:-1]).any():
        # NumPy sorts 16-bit numbers by radix, in two passes.
        order = np.argsort(tags.astype(np.uint16) if tag_count <= 1 << 16 else tags, kind="stable")
        tags = tags[order]
        # One column after the other, so that only one at a time takes its memory twice.
        for name in columns:
            columns[name] = columns[name][order]
    _sort_late_rows(tags, columns, tag_count)
    for column in columns.values():
        # Series that users hold are views of these columns.
        column.flags.writeable = False
    return ValueTable(tags, np.searchsorted(tags, np.arange(tag_count + 1)), Values(**columns))


def _sort_late_rows(tags: np.ndarray, columns: dict[str, np.ndarray], tag_count: int) -> None:
    """Sort the rows of tags that have a row gathered after one that was written later.

    Events decoded alone are gathered after those of their batch that were decoded together, so a few tags may
    be out of order. Only their rows are sorted, in place.
    """
    locations = columns["locations"]
    late = np.flatnonzero((locations[1:] < locations[:-1]) & (tags[1:] == tags[:-1]))
    if not late.size:
        return
    is_unsorted = np.zeros(tag_count, bool)
    is_unsorted[tags[late]] = True
    rows = np.flatnonzero(is_unsorted[tags])
    order = rows[np.lexsort((columns["numbers"][rows], locations[rows], tags[rows]))]
    for column in columns.values():
        column[rows] = column[order]
