"""Model variables: what a checkpoint has of the model itself, apart from what training adds.

Of a ``tf.train.Checkpoint`` the object graph tells (:func:`object_variables`). Kept is every variable that a
path from the root leads to which passes

- no optimizer: a node that has slot variables, that an edge called ``optimizer`` leads to, or that has both
  an iteration counter and a hyperparameter below it (:data:`COUNTERS`, :data:`HYPERPARAMETERS`); but the
  list of what it trains (:data:`TRAINED`) leads to the model's own variables, and is followed;
- no edge to metrics (:data:`METRICS`);
- at its end no edge called ``save_counter`` or ``global_step``.

What is stored but is no variable is left out: tables, iterators, Python values, configurations.

Of name-based checkpoints the names tell (:func:`scope_variables`). Left out are

- counters and powers, by the last part of the name, with or without a number (:data:`BOOKKEEPING`);
- slots and averages ``VARIABLE/SLOT``, also within a scope of the optimizer, ``SCOPE/VARIABLE/SLOT``, where
  ``VARIABLE`` is itself in the checkpoint: of the names in :data:`SLOTS`, with or without a number, whatever
  their shape; of other names those of its shape and dtype, directly below it or, in a scope of the
  optimizer, where this or another variable with such a slot there has a scope of its own;
- such slots of one part of a partitioned variable, which TensorFlow saves, when they are made in a scope,
  as ``VARIABLE/REST/SLOT`` with as many last letters of ``VARIABLE/part_0`` as the scope has
  (``w/art_0/Adam`` of a scope ``train``);
- the ``biased`` and ``local_step`` of a moving average or of a variable that is one;
- scalars that lie in a scope which such slots show to be the optimizer's, but not among them: its
  hyperparameters (``training/Adagrad/decay``). A scope with variables that have slots is the model's.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Set

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.tensors.renaming import AVERAGE, DEBIAS_SLOTS, MAX_SCOPES, below_scopes

COUNTERS = frozenset({"iter", "iterations", "_iterations"})
"""Edges from an optimizer to how many steps it has made."""

HYPERPARAMETERS = frozenset(
    {"learning_rate", "_learning_rate", "decay", "momentum", "beta_1", "beta_2", "rho", "_variables"}
)
"""Edges from an optimizer to its settings, or to all variables it has."""

OPTIMIZERS = frozenset({"optimizer", "_optimizer"})
"""Edges from a model to its optimizer."""

TRAINED = frozenset({"_trainable_variables"})
"""Edges from an optimizer to the list of what it trains, in Keras 3."""

METRICS = frozenset({"metrics", "_metrics", "compiled_metrics", "_compile_metrics", "_loss_tracker"})
"""Edges to the metrics of a model, whose variables are sums and counts."""

EXTRA = frozenset({"save_counter", "global_step"})
"""Edges to counters that belong to the checkpoint or to training."""

_TELLING = COUNTERS | OPTIMIZERS | METRICS | EXTRA

BOOKKEEPING = frozenset({"global_step", "save_counter", "beta1_power", "beta2_power"})
"""Last parts of names of counters and of powers that optimizers keep."""

SLOTS = frozenset(
    (
        *("Adadelta", "Adagrad", "AdagradDA", "Adam", "AdamW", "Ftrl", "LAMB", "Momentum", "ProximalAdagrad"),
        *("RMSProp", "SGD", "adam_m", "adam_v", "gradient_accumulator", "gradient_squared_accumulator"),
        *("accumulator", "linear", "m", "v", "vhat", "momentum", "rms", "mg", "accum_grad", "accum_var"),
        *("average", AVERAGE),
    )
)
"""Names that TensorFlow's and Keras' optimizers, BERT's, and moving averages give to slots."""

_NUMBERED = re.compile(r"_[0-9]+$")
"""What TensorFlow appends to the second of a name."""

_PART = re.compile(r"(?:(?:(?:(?:p?a)?r)?t)?_)?[0-9]+")
"""The last letters of the name of a part of a variable."""


def object_variables(graph: ObjectGraph) -> frozenset[str]:
    """Return the keys of the model's variables in a ``tf.train.Checkpoint``."""
    names, starts = graph.edge_names()
    telling = [at for at, name in enumerate(names) if name in _TELLING]
    skipped = {at for at in telling if names[at] in METRICS or names[at] in EXTRA}
    optimizers = _optimizers(graph, {bisect_right(starts, at) - 1 for at in telling}).union(graph.optimizers)
    seen = {0}
    queue = [0]
    for number in queue:
        children, start = graph.child_ids(number), starts[number]
        is_optimizer = number in optimizers
        for at, child in enumerate(children, start):
            if child not in seen and at not in skipped and not (is_optimizer and names[at] not in TRAINED):
                seen.add(child)
                queue.append(child)
    owners = graph.owners.items()
    return frozenset(key for key, number in owners if number in seen and key.endswith(VARIABLE_VALUE))


def _optimizers(graph: ObjectGraph, numbers: Iterable[int]) -> set[int]:
    """Those of nodes, and of their children, that are optimizers, as their edges tell."""
    found: set[int] = set()
    for number in numbers:
        edges = graph.edges(number)
        names = {name for name, _ in edges}
        found.update(child for name, child in edges if name in OPTIMIZERS)
        if number and not COUNTERS.isdisjoint(names) and not HYPERPARAMETERS.isdisjoint(names):
            found.add(number)
    return found


def scope_variables(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the model's variables in a name-based checkpoint."""
    names = dict.fromkeys(entries)
    extra: set[str] = set()
    scopes: set[str] = set()
    trained: set[str] = set()
    own_slots: set[tuple[str, str]] = set()
    for name in names:
        above, _, last = name.rpartition("/")
        plain = _NUMBERED.sub("", last)
        if plain in BOOKKEEPING:
            extra.add(name)
        elif above and (plain in SLOTS or last in DEBIAS_SLOTS):
            variable = next((each for each in _ends(above) if each in names), None) or _whole(above, names)
            if variable is not None and (plain in SLOTS or _is_debiased(above, names)):
                extra.add(name)
                if plain in SLOTS:
                    trained.add(variable)
                    if above.endswith(f"/{variable}"):
                        scopes.add(above[: -len(variable) - 1])
        elif above:
            variable = above if above in names else below_scopes(above, names) or _whole(above, names)
            if variable is not None and _is_alike(name, variable, entries):
                extra.add(name)
                own_slots.add((above.removesuffix(variable), last))
    if own_slots:
        extra.update(name for name in names if _is_own_slot(name, own_slots, entries))
    if scopes:
        scopes.difference_update(scope for variable in trained for scope in _beginnings(variable))
        settings = (name for name in names if name.rpartition("/")[0] in scopes and name not in extra)
        extra.update([name for name in settings if not entries[name].shape])
    return frozenset(name for name in names if name not in extra)


def _is_own_slot(name: str, own_slots: Set[tuple[str, str]], entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor is to a variable outside of all scopes what others are to those within scopes."""
    above, _, last = name.rpartition("/")
    scope, slash, variable = above.rpartition("/")
    return (scope + slash, last) in own_slots and variable in entries and _is_alike(name, variable, entries)


def _whole(path: str, names: Collection[str]) -> str | None:
    """The partitioned variable that a path names a part of, in the way of a slot made in a scope."""
    if not _PART.fullmatch(path.rpartition("/")[2]):
        return None
    return next((each for each in _beginnings(path) if each in names), None)


def _beginnings(path: str) -> Iterator[str]:
    """The scopes that a path lies in, innermost first."""
    for _ in range(MAX_SCOPES):
        path = path.rpartition("/")[0]
        if not path:
            break
        yield path


def _ends(path: str) -> Iterator[str]:
    """A path, and what is left of it without its first scopes."""
    for _ in range(MAX_SCOPES):
        if not path:
            break
        yield path
        path = path.partition("/")[2]


def _is_debiased(average: str, names: Mapping[str, None]) -> bool:
    """Whether all that belongs to an average with ``zero_debias`` is there."""
    return all(f"{average}/{slot}" in names for slot in DEBIAS_SLOTS)


def _is_alike(name: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor has the shape and dtype of the variable it lies below."""
    one, other = entries[name], entries[variable]
    return one.shape == other.shape and one.dtype == other.dtype and one.dtype.is_floating
