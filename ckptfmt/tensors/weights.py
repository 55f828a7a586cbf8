"""Weights: the model's own numbers, under the names that a person knows.

What a weight is, :mod:`ckptfmt.tensors.weight_rules` says. In a checkpoint of names it has its name there,
without ``:0``. In one of objects it has its full name, such as ``dense/kernel``, or the name that the
SavedModel around the checkpoint gives it. Weights that would share a name have their object paths instead,
such as ``generator/dense/kernel``; the last resort is the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from ckptfmt.checkpoint.cards import name_cell
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import LimitError
from ckptfmt.notebook.card import Card, Cell, Fact, Table
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.keys import short_name
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.tensors.model_variables import TRAINED
from ckptfmt.tensors.renaming import distinct, plain_names
from ckptfmt.tensors.weight_rules import (
    exported_copies,
    judged_names,
    not_weights,
    random_states,
    recurrent_states,
)
from ckptfmt.text.printing import escape


class WeightName(NamedTuple):
    """What became of a stored tensor among the weights."""

    stored: str
    """Its name in the checkpoint."""
    name: str | None
    """Its name among the weights; None if it is not one."""
    rule: str
    """The rule that decided this."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "WeightName", self.name or self.stored))


class WeightNames(tuple[WeightName, ...]):
    """What became of each tensor of a checkpoint among the weights, in the order of the index."""

    __slots__ = ()

    def left_out(self) -> dict[str, int]:
        """Return the rules that left tensors out, and how many each did, the most first."""
        return dict(Counter(row.rule for row in self if row.name is None).most_common())

    def __repr__(self) -> str:
        weights = sum(row.name is not None for row in self)
        return f"<WeightNames of {len(self):,} tensors, {weights:,} of which are weights; print() lists them>"

    def __str__(self) -> str:
        """Return a line for each tensor: its name among the weights, the rule, its name in the checkpoint."""
        rows = [("-" if row.name is None else escape(row.name), row.rule, escape(row.stored)) for row in self]
        name, rule = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
        return "\n".join(f"{row[0]:<{name}}  {row[1]:<{rule}}  {row[2]}" for row in rows)

    def _card(self) -> Card:
        weights = sum(row.name is not None for row in self)
        facts: list[tuple[str, Fact]] = [("tensors", len(self)), ("weights", weights)]
        table = Table("Tensors", ("stored", "name", "rule"), lambda: self, _cells, is_open=True)
        return Card("WeightNames", "", facts, [table])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def _cells(row: WeightName) -> tuple[Cell, ...]:
    return name_cell(row.stored), row.name, row.rule


def left_out_table(rows: Callable[[], WeightNames]) -> Table:
    """Return what is not among the weights as a part of a card."""
    return Table(
        "Left out",
        ("stored", "rule"),
        lambda: [row for row in rows() if row.name is None],
        lambda row: (name_cell(row.stored), row.rule),
    )


def name_weights(
    entries: Mapping[str, Entry],
    graph: ObjectGraph | None,
    training: Mapping[str, str],
    saved_names: Callable[[], Mapping[str, str]],
) -> WeightNames:
    """Return what each tensor of a checkpoint is among the weights, in the order of the index.

    ``entries`` and ``graph`` are those of the checkpoint. ``training`` has the tensors that are not the
    model's variables, and what each is. ``saved_names`` returns the names by key that a SavedModel has; it is
    called if the checkpoint lacks some.
    """
    rules = dict(training)
    variables = [name for name in entries if name not in rules]
    if graph is None:
        plain = {stored: name for name, stored in plain_names(variables).items()}
        rules |= not_weights({stored: (name,) for stored, name in plain.items()}, entries)
        named = {
            stored: (name, "name in the checkpoint" + ("" if name == stored else ", without :0"))
            for stored, name in plain.items()
        }
    else:
        full = dict(graph.full_names)
        if any(key not in full for key in variables):
            full = {**saved_names(), **full}
        paths = {key: short_name(key) or key for key in variables}
        rules |= random_states(variables, entries) | recurrent_states(variables, graph)
        rules |= exported_copies([(key, full.get(key) or path) for key, path in paths.items()])
        judged = {
            key: judged_names(full.get(key, ""), path) for key, path in paths.items() if key not in rules
        }
        rules |= not_weights(judged, entries)
        named = _by_objects([key for key in variables if key not in rules], full, graph)
    return WeightNames(
        WeightName(stored, None, rules[stored]) if stored in rules else WeightName(stored, *named[stored])
        for stored in entries
    )


def _by_objects(
    keys: Iterable[str], full: Mapping[str, str], graph: ObjectGraph
) -> dict[str, tuple[str, str]]:
    """Return the name of each weight by its key, and the rule: the first of its names that no other has."""
    names = {key: full.get(key, "") for key in keys}
    paths: Mapping[str, str] = {}

    def next_name(key: str, step: int) -> str:
        nonlocal paths
        paths = paths or _paths(names, graph)
        return paths[key] if step == 1 else key

    return {
        key: (name, _OBJECT_NAMES[step])
        for key, (name, step) in distinct(names, next_name, len(_OBJECT_NAMES) - 1).items()
    }


_OBJECT_NAMES = (
    "full name",
    "object path, because no full name is its own",
    "key, because no path is its own",
)
"""The rules by which a weight among objects is named, in the order in which they are tried."""


def _paths(keys: Iterable[str], graph: ObjectGraph) -> dict[str, str]:
    """Return the path of each object: that in its key, unless it leads through an optimizer's list."""
    paths = {key: short_name(key) or key for key in keys}
    if any(not TRAINED.isdisjoint(path.split("/")) for path in paths.values()):
        with suppress(LimitError):  # objects that are nested too deep keep the paths in their keys
            below = graph.short_names_below(graph.root)
            paths = {
                key: new
                if not TRAINED.isdisjoint(path.split("/"))
                and TRAINED.isdisjoint((new := below.get(key, path)).split("/"))
                else path
                for key, path in paths.items()
            }
    return paths
