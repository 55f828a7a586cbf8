"""Cards: entries as tables for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import CkptfmtError
from ckptfmt.notebook.card import Card, Cell, Fact, Markup, Table
from ckptfmt.notebook.page import ROWS, with_dim_ending
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.text.printing import shape_text, size_text

MAX_SUMMED = 10_000
"""Entries that are added up for a card; those of a larger checkpoint are only counted."""


def entries_table(
    entries: Mapping[str, Entry], stored_name: Callable[[str], str | None] | None = None
) -> Table:
    """Return entries as a table; ``stored_name`` says what a view's tensors are called in the checkpoint."""
    first: dict[str, Entry] = {}

    def items() -> Mapping[str, Entry]:
        # The first look-up in a large checkpoint puts all names into a dict. Taking entries in their order
        # does not. If one of them is damaged, each is looked up by its name.
        with suppress(CkptfmtError):
            first.update(islice(entries.items(), ROWS))
        return entries

    def cells(name: str) -> list[Cell]:
        entry = first.get(name) or entries[name]
        row: list[Cell] = [
            name_cell(name),
            entry.dtype.name,
            shape_text(entry.shape),
            size_text(entry.nbytes),
        ]
        return row if stored_name is None else [*row, _stored_cell(stored_name(name))]

    columns = ["name", "dtype", "shape", "size", *([] if stored_name is None else ["in the checkpoint"])]
    return Table("Tensors", columns, items, cells, is_open=True)


def entries_facts(entries: Mapping[str, Entry]) -> list[tuple[str, Fact]]:
    """Return what a card says about all entries together."""
    return [("size", lambda: _size(entries)), ("dtypes", lambda: _dtypes(entries))]


def _size(entries: Mapping[str, Entry]) -> str | None:
    if not 0 < len(entries) <= MAX_SUMMED:
        return None
    return size_text(sum(entry.nbytes for entry in entries.values()))


def _dtypes(entries: Mapping[str, Entry]) -> str | None:
    # The error of a damaged entry is shown once, in place of the size.
    with suppress(CkptfmtError):
        if len(entries) <= MAX_SUMMED:
            return ", ".join(sorted({entry.dtype.name for entry in entries.values()})) or None
    return None


def entries_card(entries: Mapping[str, Entry]) -> Card:
    """Return the card of a mapping of entries."""
    return Card("Entries", facts=[("tensors", lambda: len(entries))], parts=[entries_table(entries)])


def name_cell(name: str) -> Markup:
    """Return the name of a tensor, with the ending of most keys of TensorFlow 2 dimmed."""
    return with_dim_ending(name, VARIABLE_VALUE)


def _stored_cell(name: str | None) -> Cell:
    return "made by the plan" if name is None else name_cell(name)
