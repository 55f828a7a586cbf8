"""Model variables: the tensors of a checkpoint that are the model's own, without those that training adds.

An object-based checkpoint is judged by its object graph, :func:`training_values`. A variable is the model's
if some path from the root reaches it

- without entering an optimizer: a node that has slot variables, that an edge named ``optimizer`` leads to,
  that wraps another optimizer (:data:`WRAPPED`), or that has both an iteration counter and a hyperparameter
  among its children (:data:`COUNTERS`, :data:`HYPERPARAMETERS`), and no objects with parts of their own. One
  edge of an optimizer is followed, the list of what it trains (:data:`TRAINED`), because it leads to the
  model's own variables;
- without an edge to metrics (:data:`METRICS`), and it is not right below a metric;
- without ending in an edge named ``save_counter`` or ``global_step`` (:data:`EXTRA`).

Stored values that are not variables are left out: tables, iterators, Python values, configurations.

A name-based checkpoint is judged by its names: see :mod:`ckptfmt.tensors.scope_variables`.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from ckptfmt import object_graph as objects
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from ckptfmt.tensors.scope_variables import SETTING, SLOT

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

WRAPPED = frozenset({"base_optimizer", "inner_optimizer"})
"""Edges from an optimizer that scales the loss to the optimizer that it wraps; it has no slots of its own.

Source: Keras ``mixed_precision/loss_scale_optimizer.py`` and ``optimizers/loss_scale_optimizer.py``.
"""

PARTS = ("optimizer", "learning_rate", "loss_scale")
"""Ends of edges from an optimizer to objects with parts of their own: a wrapped optimizer, a schedule."""

METRIC = "metric"
OPTIMIZER = "part of an optimizer"
NOT_VARIABLE = "not a variable, but a table, a Python value or a configuration"

_TELLING = COUNTERS | OPTIMIZERS | WRAPPED | METRICS | EXTRA
"""Edges that say something about the node they begin or end at; few edges of a model do."""


def training_values(graph: objects.ObjectGraph) -> dict[str, str]:
    """Return the keys of an object-based checkpoint that are not the model's variables, and what each is."""
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
    metrics = _metric_values(graph, names, starts, skipped)
    counters = {_child_at(graph, at, starts) for at in skipped if names[at] in EXTRA}
    left_out = {OBJECT_GRAPH_KEY: "object graph"}
    for key, number in graph.owners.items():
        if not key.endswith(VARIABLE_VALUE):
            left_out[key] = NOT_VARIABLE
        elif number in metrics:
            left_out[key] = METRIC
        elif number not in seen:
            is_slot = number in graph.slot_numbers
            left_out[key] = SLOT if is_slot else SETTING if number in counters else OPTIMIZER
    return left_out | dict.fromkeys(graph.unreached, "value of no object")


def _metric_values(
    graph: objects.ObjectGraph, names: Sequence[str], starts: Sequence[int], skipped: Collection[int]
) -> set[int]:
    """Return the numbers of the variables of metrics, which a model may also reach in other ways.

    An edge to metrics leads to a metric or to a list of them, and a metric's variables are right below it.
    What is further below may be the model's: a metric that ranks items refers to the layers that embed them.
    """
    lists = {_child_at(graph, at, starts) for at in skipped if names[at] in METRICS}
    metrics = lists.union(*map(graph.child_ids, lists))
    return metrics.union(*map(graph.child_ids, metrics))


def _optimizers(graph: objects.ObjectGraph, numbers: Iterable[int]) -> set[int]:
    """Return those of some nodes and their children that are optimizers, judged by their edges."""
    optimizers: set[int] = set()

    # Kept, because many nodes may have one child with many parts.
    @functools.cache
    def has_named_parts(number: int) -> bool:
        return any(not part.isdecimal() for part, _ in graph.edges(number))

    for number in numbers:
        edges = graph.edges(number)
        names = {name for name, _ in edges}
        optimizers.update(child for name, child in edges if name in OPTIMIZERS)
        # The root is not one: programs save a counter and settings of their own beside the model.
        has_settings = not COUNTERS.isdisjoint(names) and not HYPERPARAMETERS.isdisjoint(names)
        # An optimizer has variables, and lists of them, which are numbered; few have more. A trainer that
        # keeps a counter and a learning rate beside its model does.
        has_settings = has_settings and not any(
            has_named_parts(child) for edge, child in edges if not edge.endswith(PARTS)
        )
        if number and (has_settings or not WRAPPED.isdisjoint(names)):
            optimizers.add(number)
    return optimizers


def _child_at(graph: objects.ObjectGraph, at: int, starts: Sequence[int]) -> int:
    """Return the number of the node that an edge leads to, by the position of its name among all."""
    number = bisect_right(starts, at) - 1
    return graph.child_ids(number)[at - starts[number]]
