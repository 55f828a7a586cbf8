"""Weights: the model's own numbers, under the names that a person knows.

What is a weight
    Of the model's variables (:mod:`ckptfmt.tensors.model_variables`), those that hold numbers, without

    - contents of lookup tables that a checkpoint of names has: ``NAME-keys`` beside ``NAME-values``;
    - metrics that have left that scope: ``total`` beside ``count``, ``true_positives`` beside others like it;
    - states of random number generators (:data:`RANDOM_STATES`);
    - scalars that are flags, counters (:data:`COUNTERS`), or other integers outside all scopes. If there is
      nothing else, these integers are the weights;
    - the copies that Keras 3 adds to an export (:data:`EXPORTED`).

What it is called
    In a checkpoint of names, its name there, without ``:0``. In one of objects, its full name, such as
    ``dense/kernel``, or the name that the SavedModel around the checkpoint gives it. Weights that would share
    a name have their object paths instead, such as ``generator/dense/kernel``; the last resort is the key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from ckptfmt.checkpoint.cards import name_cell
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.dtypes import Storage
from ckptfmt.errors import LimitError
from ckptfmt.notebook.card import Card, Cell, Fact, Table
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.keys import short_name
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.tensors.model_variables import METRIC, TRAINED
from ckptfmt.tensors.renaming import plain_names
from ckptfmt.tensors.scope_variables import COPY, SETTING
from ckptfmt.text.printing import escape

COUNTERS = frozenset(
    (
        *("count_steps", "epoch", "epochs", "global_step", "iter", "iteration", "iterations", "num_steps"),
        *("num_updates", "save_counter", "step", "step_count", "steps", "total_samples", "total_steps"),
        *("train_step", "train_steps", "training_step", "training_steps"),
    )
)
"""Names of scalars that count what training has done, in any scope."""

RANDOM_STATES = frozenset({"seed_generator_state", "StateVar", "rng_state", "random_state"})
"""Names of the states of random number generators.

Source: Keras 3 ``src/random/seed_generator.py``; TensorFlow ``python/ops/stateful_random_ops.py``.
"""

RANDOM_GENERATORS = frozenset(
    {"seed_generator", "_seed_generator", "_random_generator", "_rng", "rng", "_state_var"}
)
"""Edges to random number generators, and from one to its state."""

CONFUSION = frozenset({"true_positives", "true_negatives", "false_positives", "false_negatives"})
"""Names of the counts that metrics of classification keep."""

EXPORTED = "_all_variables"
"""The edge from an exported model of Keras 3 to the variables that its functions use, stored once more.

Source: Keras 3 ``src/export/saved_model_export_archive.py``.
"""

NOT_NUMBERS = "not numbers"
TABLE = "contents of a lookup table"
RANDOM_STATE = "state of a random number generator"
FLAG = "flag"
COUNTER = "integer outside all scopes, which counts something"

_NUMBERED = re.compile(r"_[0-9]+$")


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
        rules |= _not_weights(plain.items(), entries)
        named = {
            stored: (name, "name in the checkpoint" + ("" if name == stored else ", without :0"))
            for stored, name in plain.items()
        }
    else:
        full = dict(graph.full_names)
        if any(key not in full for key in variables):
            full = {**saved_names(), **full}
        programs = [(key, full.get(key) or short_name(key) or key) for key in variables]
        rules |= _random_states(variables) | _exported_copies(programs)
        rules |= _not_weights([pair for pair in programs if pair[0] not in rules], entries)
        named = _by_objects([key for key in variables if key not in rules], full, graph)
    return WeightNames(
        WeightName(stored, None, rules[stored]) if stored in rules else WeightName(stored, *named[stored])
        for stored in entries
    )


def _not_weights(variables: Collection[tuple[str, str]], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return which variables, given as pairs of stored and plain names, are not weights, and what each is."""
    names = {name for _, name in variables}
    rules: dict[str, str] = {}
    undecided: dict[str, str] = {}
    for stored, name in variables:
        entry = entries[stored]
        # Names of lingvo's variables all end in "/var".
        path, _, last = name.removesuffix("/var").rpartition("/")
        kind = _NUMBERED.sub("", last)
        if entry.dtype.storage in (Storage.STRING, Storage.VARIANT, Storage.NONE):
            rules[stored] = NOT_NUMBERS
        elif _is_table(name, names):
            rules[stored] = TABLE
        elif kind in RANDOM_STATES:
            rules[stored] = RANDOM_STATE
        elif _is_metric(path, last, kind, names):
            rules[stored] = METRIC
        elif entry.shape:
            continue
        elif kind in COUNTERS:
            rules[stored] = SETTING
        elif entry.dtype.name == "bool":
            rules[stored] = FLAG
        elif entry.dtype.is_integer and not path:
            undecided[stored] = COUNTER
    # A model may have nothing but integers; they are its weights then.
    return rules | undecided if len(rules) + len(undecided) < len(variables) else rules


def _is_table(name: str, names: set[str]) -> bool:
    """Whether a tensor holds the keys or the values of a lookup table.

    Source: TensorFlow ``python/ops/lookup_ops.py``, ``MutableHashTable._Saveable``.
    """
    for end, other in (("-keys", "-values"), ("-values", "-keys")):
        if name.endswith(end) and name.removesuffix(end) + other in names:
            return True
    return False


def _is_metric(path: str, last: str, kind: str, names: set[str]) -> bool:
    """Whether a variable is that of a metric, as the names beside it show."""
    scope = f"{path}/" if path else ""
    number = last[len(kind) :]
    if kind in ("total", "count"):
        return all(f"{scope}{each}{number}" in names for each in ("total", "count"))
    return kind in CONFUSION and any(f"{scope}{each}{number}" in names for each in CONFUSION - {kind})


def _random_states(keys: Iterable[str]) -> dict[str, str]:
    """Return the keys of states of random number generators, as the edges that lead to them show."""
    return {key: RANDOM_STATE for key in keys if not RANDOM_GENERATORS.isdisjoint(key.split("/"))}


def _exported_copies(programs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the keys of variables that an export has stored once more, under the same full name."""
    exported, others = [], set()
    for key, name in programs:
        if f"/{key}".rpartition(f"/{EXPORTED}/")[1]:
            exported.append((key, name))
        else:
            others.add(name)
    return {key: COPY for key, name in exported if name in others}


def _by_objects(
    keys: Iterable[str], full: Mapping[str, str], graph: ObjectGraph
) -> dict[str, tuple[str, str]]:
    """Return the name of each weight by its key, and the rule: the first of its names that no other has."""
    steps = dict.fromkeys(keys, 0)
    paths: Mapping[str, str] = {}
    names = {key: full.get(key, "") for key in steps}
    while contested := [key for key in _contested(names) if steps[key] < len(_OBJECT_NAMES) - 1]:
        paths = paths or _paths(steps, graph)
        for key in contested:
            steps[key] += 1
            names[key] = paths[key] if steps[key] == 1 else key
    return {key: (name, _OBJECT_NAMES[steps[key]]) for key, name in names.items()}


_OBJECT_NAMES = (
    "full name",
    "object path, because no full name is its own",
    "key, because no path is its own",
)
"""The rules by which a weight among objects is named, in the order in which they are tried."""


def _contested(names: Mapping[str, str]) -> list[str]:
    """Return the keys whose names are empty or not their own."""
    owners = Counter(names.values())
    return [key for key, name in names.items() if not name or owners[name] > 1]


def _paths(keys: Iterable[str], graph: ObjectGraph) -> dict[str, str]:
    """Return the path of each object: that in its key, unless it leads through an optimizer's list."""
    paths = {key: short_name(key) or key for key in keys}
    if any(not TRAINED.isdisjoint(path.split("/")) for path in paths.values()):
        with suppress(LimitError):  # objects that are nested too deep keep the paths in their keys
            below = graph.short_names_below(graph.root)
            paths = {
                key: path if TRAINED.isdisjoint(path.split("/")) else below.get(key, path)
                for key, path in paths.items()
            }
    return paths
