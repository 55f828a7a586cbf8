"""Cards: checkpoints, views and restores as notebooks show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.cards import entries_facts, entries_table
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.notebook.card import Card, Cell, Fact, Part, Table
from ckptfmt.text.printing import shape_text, size_text


class HasEntries(Protocol):
    """A checkpoint, or a view of one."""

    @property
    def prefix(self) -> str:
        """The prefix of the checkpoint."""

    @property
    def format(self) -> str:
        """``"v2"`` or ``"v1"``."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is known about each tensor."""

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor; None if a plan makes it."""


def tensors_card(
    kind: str,
    tensors: HasEntries,
    facts: Sequence[tuple[str, Fact]] = (),
    parts: Sequence[Part] = (),
) -> Card:
    """Return the card of a checkpoint or view: its entries, without any values, and then other parts."""
    stored_name = None if kind == "Checkpoint" else tensors.stored_name
    # The size of strings in a V1 checkpoint is known only after they have been read.
    summed = entries_facts(tensors.entries) if tensors.format != "v1" else []
    all_facts = [("format", tensors.format), *facts, ("tensors", lambda: len(tensors.entries)), *summed]
    return Card(kind, tensors.prefix, all_facts, [entries_table(tensors.entries, stored_name), *parts])


def arrays_table(arrays: Mapping[str, Array]) -> Table:
    """Return arrays in memory as a table, without their values."""

    def cells(name: str) -> list[Cell]:
        array = arrays[name]
        return [name, str(array.dtype), shape_text(array.shape), size_text(array.nbytes)]

    return Table("Arrays", ("name", "dtype", "shape", "size"), lambda: arrays, cells, is_open=True)


def names_table(title: str, names: Sequence[str]) -> Table:
    """Return names as a table of one column."""
    return Table(title, ("name",), lambda: names, lambda name: [name])
