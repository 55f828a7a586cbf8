"""Weight rules: which of a model's variables are its weights.

They are those of the variables (:mod:`ckptfmt.tensors.model_variables`) that hold numbers, without

- contents of lookup tables that a checkpoint of names has: ``NAME-keys`` beside ``NAME-values``;
- metrics that only names of variables show: ``total`` beside a ``count`` of its shape,
  ``true_positives`` beside others like it, and what only metrics have (:data:`OF_METRICS`);
- states of random number generators (:data:`RANDOM_STATES`), and of recurrent layers between batches;
- scalars that are flags, counters (:data:`COUNTERS`), settings (:data:`SETTINGS`), or other integers
  outside all scopes. If there is nothing else, these integers are the weights;
- the copies that Keras 3 adds to an export (:data:`EXPORTED`).

A variable among objects is judged by its full name and its path: one is outside all scopes if both are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.dtypes import Storage
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.tensors.model_variables import METRIC
from ckptfmt.tensors.scope_variables import COPY, SETTING
from ckptfmt.tensors.training_names import UNNAMED

COUNTERS = frozenset(
    (
        *("count_steps", "epoch", "epochs", "global_step", "iter", "iteration", "iterations", "num_steps"),
        *("num_updates", "save_counter", "step", "step_count", "steps", "total_samples", "total_steps"),
        *("train_step", "train_steps", "training_step", "training_steps"),
    )
)
"""Names of scalars that count what training has done, in any scope."""

SIZES = frozenset({"step", "steps"})
"""Those that, in a scope, may also be a step size that a model learns; it is not an integer."""

SETTINGS = frozenset({"learning_rate", "current_learning_rate", "lr", "loss_scale"})
"""Names of scalars outside all scopes, or beside a counter, that set how to train."""

RANDOM_STATES = frozenset({"seed_generator_state", "StateVar", "rng_state", "random_state"})
"""Names of the states of random number generators.

Source: Keras 3 ``src/random/seed_generator.py``; TensorFlow ``python/ops/stateful_random_ops.py``.
"""

STATES = frozenset({"rnn_state"})
"""Names of what a recurrent layer of Keras 3 keeps between batches: ``src/layers/rnn/rnn.py``."""

RANDOM_GENERATORS = frozenset(
    {"seed_generator", "_seed_generator", "_random_generator", "_rng", "rng", "_state_var"}
)
"""Edges to random number generators, and from one to its state."""

CONFUSION = frozenset({"true_positives", "true_negatives", "false_positives", "false_negatives"})
"""Names of the counts that metrics of classification keep."""

PARTNERS = {
    one: other
    for pair in (("total", "count"), ("total_tensor", "count_tensor"))
    for one, other in (pair, pair[::-1])
}
"""Names of the variables of a mean, and that beside each.

Source: Keras ``metrics/reduction_metrics.py``; TensorFlow ``python/ops/metrics_impl.py: mean_tensor``.
"""

OF_METRICS = re.compile(r"total_confusion_matrix|(?:true|false)_(?:positive|negative)_at(?:_[0-9]+)?")
"""Names that only metrics have; the same sources, ``mean_iou`` and ``recall_at_k``."""

EXPORTED = "_all_variables"
"""The edge from an exported model of Keras 3 to the variables that its functions use, stored once more.

Source: Keras 3 ``src/export/saved_model_export_archive.py``.
"""

TELLING = re.compile(
    "|".join((*RANDOM_STATES, *STATES, *PARTNERS, *CONFUSION, OF_METRICS.pattern, ".*-keys|.*-values"))
)
"""Last parts of names, without their numbers, that may tell what a tensor of any shape is."""

NO_NUMBERS = frozenset({Storage.STRING, Storage.VARIANT, Storage.NONE})

NOT_NUMBERS = "not numbers"
TABLE = "contents of a lookup table"
STATE = "state of a recurrent layer"
RANDOM_STATE = "state of a random number generator"
FLAG = "flag"
COUNTER = "integer outside all scopes, which counts something"

_NUMBERED = re.compile(r"_[0-9]+$")


def judged_names(full: str, path: str) -> tuple[str, ...]:
    """Return the names that tell what a variable among objects is: its full name, and the path in its key.

    A full name outside all scopes says nothing about its neighbours: Keras 2 calls the variables of all
    metrics ``total`` and ``count``, and one of ``Normalization`` too. Their paths tell them apart.
    """
    scope, _, last = full.rpartition("/")
    if not last or (_NUMBERED.sub("", last) == UNNAMED):
        return (path,)
    return (full, path) if scope else (f"{path.rpartition('/')[0]}/{last}".lstrip("/"), path)


def not_weights(variables: Mapping[str, tuple[str, ...]], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return which variables are not weights, and what each is.

    ``variables`` has the names by which each is judged, by its stored name.
    """
    known = {name: stored for stored, names in variables.items() for name in names}
    rules: dict[str, str] = {}
    undecided: dict[str, str] = {}
    # Iterating over all entries is faster than asking for each by name.
    for stored, entry in entries.items():
        names = variables.get(stored)
        if names is None:
            continue
        rule = _rule(entry, names, known, entries)
        if rule is not None:
            rules[stored] = rule
        elif not entry.shape and entry.dtype.is_integer and _is_outside_scopes(names):
            undecided[stored] = COUNTER
    # A model may have nothing but integers; they are its weights then.
    return rules | undecided if len(rules) + len(undecided) < len(variables) else rules


def _rule(
    entry: Entry, names: tuple[str, ...], known: Mapping[str, str], entries: Mapping[str, Entry]
) -> str | None:
    """Return what a variable is if it is not a weight, as its names show, the first of them above all."""
    dtype = entry.dtype
    if dtype.storage in NO_NUMBERS:
        return NOT_NUMBERS
    kinds = [_kind(name) for name in names]
    if any(map(TELLING.fullmatch, kinds)):
        if any(_is_table(name, known) for name in names):
            return TABLE
        if kinds[0] in STATES or (dtype.is_integer and not RANDOM_STATES.isdisjoint(kinds)):
            return RANDOM_STATE if kinds[0] in RANDOM_STATES else STATE
        if any(_is_metric(name, entry, known, entries) for name in names):
            return METRIC
    if entry.shape:
        return None
    if dtype.name == "bool":
        return FLAG
    is_outside = _is_outside_scopes(names)
    # A model may learn a size of its steps, or a learning rate.
    is_counter = kinds[0] in (COUNTERS if dtype.is_integer or is_outside else COUNTERS - SIZES)
    is_setting = kinds[0] in SETTINGS and (is_outside or any(_is_counted(name, known) for name in names))
    return SETTING if is_counter or is_setting else None


def _is_counted(name: str, names: Collection[str]) -> bool:
    """Whether a counter is beside a tensor."""
    path = name.rpartition("/")[0]
    return any(f"{path}/{counter}" in names for counter in COUNTERS)


def _kind(name: str) -> str:
    """Return the last part of a name without its number."""
    # Names of lingvo's variables all end in "/var".
    name = name.removesuffix("/var")
    last = name[name.rfind("/") + 1 :]
    return _NUMBERED.sub("", last) if last[-1:].isdecimal() else last


def _is_outside_scopes(names: tuple[str, ...]) -> bool:
    return not any("/" in name.removesuffix("/var") for name in names)


def _is_table(name: str, names: Collection[str]) -> bool:
    """Whether a tensor holds the keys or the values of a lookup table.

    Source: TensorFlow ``python/ops/lookup_ops.py``, ``MutableHashTable._Saveable``.
    """
    for end, other in (("-keys", "-values"), ("-values", "-keys")):
        if name.endswith(end) and name.removesuffix(end) + other in names:
            return True
    return False


def _is_metric(name: str, entry: Entry, known: Mapping[str, str], entries: Mapping[str, Entry]) -> bool:
    """Whether a variable is that of a metric, as its name and those beside it show.

    ``known`` has the stored names of all variables by the names that are judged.
    """
    path, _, last = name.removesuffix("/var").rpartition("/")
    kind = _NUMBERED.sub("", last)
    if OF_METRICS.fullmatch(kind):
        return True
    if kind == "count" and not entry.shape and _kind(path) in CONFUSION:
        return True
    scope, number = f"{path}/" if path else "", last[len(kind) :]
    if (partner := PARTNERS.get(kind)) is not None:
        # A mean adds up numbers of one shape, and counts each.
        stored = known.get(f"{scope}{partner}{number}")
        return stored is not None and entries[stored].shape == entry.shape
    return kind in CONFUSION and any(f"{scope}{each}{number}" in known for each in CONFUSION - {kind})


def random_states(keys: Iterable[str], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the keys of states of random number generators, as the edges that lead to them show."""
    return {
        key: RANDOM_STATE
        for key in keys
        if not RANDOM_GENERATORS.isdisjoint(key.split("/")) and entries[key].dtype.is_integer
    }


def recurrent_states(keys: Iterable[str], graph: ObjectGraph) -> dict[str, str]:
    """Return the keys of what recurrent layers keep between batches: lists ``states`` beside a ``cell``."""
    found = {}
    for key in keys:
        layer, states, number = key.removesuffix(VARIABLE_VALUE).rpartition("/states/")
        if states and number.isdecimal():
            layer = layer.removesuffix("/keras_api")
            if f"{layer}/cell" in graph or f"{layer}/keras_api/cell" in graph:
                found[key] = STATE
    return found


def exported_copies(programs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the keys of variables that an export has stored once more, under the same full name."""
    exported, others = [], set()
    for key, name in programs:
        if f"/{key}".rpartition(f"/{EXPORTED}/")[1]:
            exported.append((key, name))
        else:
            others.add(name)
    return {key: COPY for key, name in exported if name in others}
