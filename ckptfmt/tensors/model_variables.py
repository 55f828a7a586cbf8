"""Model variables: the tensors of a checkpoint that are the model's own, without those that training adds.

An object-based checkpoint is judged by its object graph, :func:`object_variables`. A variable is the model's
if some path from the root reaches it

- without entering an optimizer: a node that has slot variables, that an edge named ``optimizer`` leads to, or
  that has both an iteration counter and a hyperparameter among its children (:data:`COUNTERS`,
  :data:`HYPERPARAMETERS`). One edge of an optimizer is followed, the list of what it trains
  (:data:`TRAINED`), because it leads to the model's own variables;
- without an edge to metrics (:data:`METRICS`);
- without ending in an edge named ``save_counter`` or ``global_step`` (:data:`EXTRA`).

Stored values that are not variables are left out: tables, iterators, Python values, configurations.

A name-based checkpoint is judged by its names, :func:`scope_variables`: a tensor is the model's unless one of
six rules, each a function below, says otherwise.

===============================================  ====================================================
left out                                         rule
===============================================  ====================================================
``global_step``, ``beta1_power_1``               :func:`_is_bookkeeping`
``dense/kernel/Adam``, ``train/w/Adam_1``        :func:`_slot_variable`, a known name
``dense/kernel/own_slot``                        :func:`_alike_variable`, any name, the variable's shape
``train/b/own_slot``                             :func:`_is_slot_outside_scopes`
``bn/mean/biased``, ``bn/mean/local_step``       :func:`_is_debias_slot`
``training/Adagrad/decay``                       :func:`_hyperparameter_scopes`
===============================================  ====================================================
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
"""Edges from an optimizer to the number of steps that it has made."""

HYPERPARAMETERS = frozenset(
    {"learning_rate", "_learning_rate", "decay", "momentum", "beta_1", "beta_2", "rho", "_variables"}
)
"""Edges from an optimizer to its settings, or to the list of all its variables."""

OPTIMIZERS = frozenset({"optimizer", "_optimizer"})
"""Edges from a model to its optimizer."""

TRAINED = frozenset({"_trainable_variables"})
"""Edges from an optimizer of Keras 3 to the list of what it trains."""

METRICS = frozenset({"metrics", "_metrics", "compiled_metrics", "_compile_metrics", "_loss_tracker"})
"""Edges to the metrics of a model, whose variables are sums and counts."""

EXTRA = frozenset({"save_counter", "global_step"})
"""Edges to counters that belong to the checkpoint or to training."""

_TELLING = COUNTERS | OPTIMIZERS | METRICS | EXTRA
"""Edges that say something about the node they begin or end at; few edges of a model do."""

BOOKKEEPING = frozenset({"global_step", "save_counter", "beta1_power", "beta2_power"})
"""Last parts of names of counters, and of the powers that Adam keeps."""

SLOTS = frozenset(
    (
        *("Adadelta", "Adagrad", "AdagradDA", "Adam", "AdamW", "Ftrl", "LAMB", "Momentum", "ProximalAdagrad"),
        *("RMSProp", "SGD", "adam_m", "adam_v", "gradient_accumulator", "gradient_squared_accumulator"),
        *("accumulator", "linear", "m", "v", "vhat", "momentum", "rms", "mg", "accum_grad", "accum_var"),
        *("average", AVERAGE),
    )
)
"""Names that TensorFlow's and Keras' optimizers, BERT's, and moving averages give to slots.

TensorFlow 1 names a slot after its optimizer (``python/training/optimizer.py: _zeros_slot``), Keras after
what it holds (``optimizer_v2.py: add_slot``), BERT ``adam_m`` and ``adam_v`` (``optimization.py``).
"""

_NUMBERED = re.compile(r"_[0-9]+$")
"""What TensorFlow appends to a name that is taken: the second slot of ``Adam`` is ``Adam_1``."""

_PART = re.compile(r"(?:(?:(?:(?:p?a)?r)?t)?_)?[0-9]+")
"""What may be left of ``part_0``, the name of a part of a variable, cut at its beginning."""


# --- checkpoints of objects ------------------------------------------------------------------------------


def object_variables(graph: ObjectGraph) -> frozenset[str]:
    """Return the keys of the model's variables in an object-based checkpoint."""
    # The names of all edges are read once, in one list, and positions in it stand for edges, so that a graph
    # of 100,000 objects takes little longer than reading the names.
    names, starts = graph.edge_names()
    telling = [at for at, name in enumerate(names) if name in _TELLING]
    skipped = {at for at in telling if names[at] in METRICS or names[at] in EXTRA}
    optimizers = _optimizers(graph, {bisect_right(starts, at) - 1 for at in telling}).union(graph.optimizers)
    # A walk from the root over the edges that are allowed; what it reaches is the model's.
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
    """Return those of some nodes and their children that are optimizers, judged by their edges."""
    optimizers: set[int] = set()
    for number in numbers:
        edges = graph.edges(number)
        names = {name for name, _ in edges}
        optimizers.update(child for name, child in edges if name in OPTIMIZERS)
        # The root is not one: programs save a counter and settings of their own beside the model.
        if number and not COUNTERS.isdisjoint(names) and not HYPERPARAMETERS.isdisjoint(names):
            optimizers.add(number)
    return optimizers


# --- checkpoints of names --------------------------------------------------------------------------------


def scope_variables(entries: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the model's variables in a name-based checkpoint.

    Takes time linear in the number of names.
    """
    # TensorFlow names what belongs to a variable "VARIABLE/SLOT", or "SCOPE/VARIABLE/SLOT" if it is made in a
    # scope of the optimizer. So a name is split at its last slash into a path and a slot, and the variable is
    # looked for at the end of the path.
    names = dict.fromkeys(entries)
    left_out: set[str] = set()
    variables: dict[str, str] = {}
    """The variable of each path that has slots with known names."""
    own_slots: set[tuple[str, str]] = set()
    """Scope of an optimizer and name of a slot, for slots of other names."""
    for name in names:
        path, _, last = name.rpartition("/")
        kind = _NUMBERED.sub("", last)
        if _is_bookkeeping(kind):
            left_out.add(name)
        elif kind in SLOTS:
            variable = _slot_variable(path, names)
            if variable is not None:
                left_out.add(name)
                variables[path] = variable
        elif last in DEBIAS_SLOTS:
            if _is_debias_slot(path, names):
                left_out.add(name)
        elif path:
            variable = _alike_variable(name, path, names, entries)
            if variable is not None:
                left_out.add(name)
                own_slots.add((path.removesuffix(variable), last))
    # Two rules need to know all slots first. Most checkpoints have none of what they look for.
    if own_slots:
        left_out.update(name for name in names if _is_slot_outside_scopes(name, own_slots, entries))
    scopes = _hyperparameter_scopes(variables)
    if scopes:
        in_scopes = (name for name in names if name.rpartition("/")[0] in scopes)
        left_out.update(name for name in in_scopes if not entries[name].shape)
    return frozenset(name for name in names if name not in left_out)


def _is_bookkeeping(kind: str) -> bool:
    """Whether the last part of a name, without its number, is that of a counter or a power.

    Source: ``python/training/training_util.py`` makes ``global_step``, ``adam.py: _create_slots`` the powers.
    """
    return kind in BOOKKEEPING


def _slot_variable(path: str, names: Collection[str]) -> str | None:
    """The variable that slots with known names belong to, by the path before the name, whatever their shape.

    The longest end of the path that is a variable, else the variable that the path is cut from (see
    :func:`_cut_variable`). A slot may have fewer axes than its variable, so the shape says nothing.
    """
    variable = next((end for end in _ends(path) if end in names), None)
    return variable if variable is not None else _cut_variable(path, names)


def _alike_variable(name: str, path: str, names: Collection[str], entries: Mapping[str, Entry]) -> str | None:
    """The variable that a slot with any other name belongs to: one of its shape and dtype.

    Optimizers that TensorFlow does not ship choose such names. ``VARIABLE`` is the path itself, or the end of
    it if that has a scope of its own: a variable ``b`` says little about ``a/b/kernel``, but ``layer/b``
    shows that in ``train/layer/b/kernel`` the optimizer repeats the whole name.
    """
    variable = path if path in names else below_scopes(path, names) or _cut_variable(path, names)
    return variable if variable is not None and _is_alike(name, variable, entries) else None


def _is_slot_outside_scopes(name: str, own_slots: Set[tuple[str, str]], entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor is a slot of a variable outside all scopes, as slots of variables in scopes show.

    Once ``train/layer/w/my_slot`` shows that the scope ``train`` holds slots of that name,
    ``train/b/my_slot`` belongs to ``b`` if the shapes agree.
    """
    path, _, last = name.rpartition("/")
    scope, slash, variable = path.rpartition("/")
    return (scope + slash, last) in own_slots and variable in entries and _is_alike(name, variable, entries)


def _is_debias_slot(average: str, names: Collection[str]) -> bool:
    """Whether both slots of a moving average that is corrected for its bias exist below a path of a variable.

    Either alone may be a variable of the model with that name. Source: ``python/training/moving_averages.py:
    _zero_debias`` makes both in a scope named after the average, which may itself be in a scope.
    """
    has_both = all(f"{average}/{slot}" in names for slot in DEBIAS_SLOTS)
    return has_both and _slot_variable(average, names) is not None


def _hyperparameter_scopes(variables: Mapping[str, str]) -> set[str]:
    """The scopes that belong to optimizers, whose scalars are learning rates and the like.

    Slots show such a scope: it comes before the variable's name, as ``training/Adagrad`` does in
    ``training/Adagrad/dense/kernel/accumulator``. A scope of variables that have slots is the model's: its
    scalars are variables. Keras names its hyperparameters like this (``keras/optimizers.py``,
    ``K.name_scope``).
    """
    # A path longer than the variable's name has the scope before it. The path of a partitioned variable that
    # was cut does not end in the variable, and shows no scope.
    scopes = {
        path[: -len(variable) - 1] for path, variable in variables.items() if path.endswith(f"/{variable}")
    }
    if scopes:
        trained = set(variables.values())
        scopes.difference_update(scope for variable in trained for scope in _beginnings(variable))
    return scopes


def _cut_variable(path: str, names: Collection[str]) -> str | None:
    """The partitioned variable that a path is cut from: ``w``, of ``w/art_0`` in a scope ``train``.

    TensorFlow takes the name of a slot of ``w/part_0`` to be what follows as many letters as that name has.
    If it is made in a scope, ``train/w/part_0/Adam``, the scope comes first and ``art_0/Adam`` follows; it is
    saved below the whole variable, as ``w/art_0/Adam``. Source: ``python/training/slot_creator.py:
    _create_slot_var``, ``real_slot_name``.
    """
    if not _PART.fullmatch(path.rpartition("/")[2]):
        return None
    return next((each for each in _beginnings(path) if each in names), None)


def _beginnings(path: str) -> Iterator[str]:
    """The scopes that a path is in, innermost first."""
    for _ in range(MAX_SCOPES):
        path = path.rpartition("/")[0]
        if not path:
            break
        yield path


def _ends(path: str) -> Iterator[str]:
    """A path, and what is left of it without its first scopes, longest first."""
    for _ in range(MAX_SCOPES):
        if not path:
            break
        yield path
        path = path.partition("/")[2]


def _is_alike(name: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor has the shape and dtype of a variable of floating-point numbers."""
    one, other = entries[name], entries[variable]
    return one.shape == other.shape and one.dtype == other.dtype and one.dtype.is_floating
