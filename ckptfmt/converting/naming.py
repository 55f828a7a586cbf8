"""The names that tensors get in another program's file, unless the user says which.

Keys of objects, such as ``layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE``, mean nothing outside
TensorFlow. So a weight of a model gets the name that :attr:`Tensors.weights` gives it (``dense/kernel``), and
any other value of an object its path (``optimizer/learning_rate``). Names that tensors have already, in a
checkpoint of names or by a view, stay.
"""

from __future__ import annotations

from collections import Counter

from ckptfmt import plans
from ckptfmt.errors import PlanError
from ckptfmt.object_graph.keys import ATTRIBUTES, OBJECT_GRAPH_KEY
from ckptfmt.tensors.tensors import Tensors, View

BOOKKEEPING = f"{ATTRIBUTES}OBJECT_CONFIG_JSON"
"""The end of keys under which Keras stores how to make an object again, a string."""

STORED, FULL, PATH = "stored", "full", "path"
KINDS = (STORED, FULL, PATH)
"""What ``names=`` takes."""


def named(tensors: Tensors, kind: str | None, plan: plans.Plan | None) -> Tensors:
    """Return tensors under the names of a kind; None for the usual ones.

    A plan for many models is about the usual names, unless it has keys in it, as one that ``match`` proposes,
    or leaves tensors over that it must not. Any other plan is for one model, and about what is stored there.
    """
    if kind == FULL:
        return tensors.by_full_name()
    if kind == PATH and tensors.object_graph is not None:
        return tensors.by_object_path(ambiguous="key")
    if kind is not None or tensors.object_graph is None:
        return tensors
    if plan is not None and (not plan.is_general or ATTRIBUTES in plan.to_toml()):
        return tensors
    usual = usual_names(tensors)
    return usual if plan is None or _takes_all(plan, usual) else tensors


def _takes_all(plan: plans.Plan, tensors: Tensors) -> bool:
    """Whether a plan takes every tensor that it must take."""
    if plan.rest == "error":
        try:
            plan.targets(tensors.entries)
        except PlanError:
            return False
    return True


def usual_names(tensors: Tensors) -> Tensors:
    """Return tensors under names that mean something outside TensorFlow."""
    graph = tensors.object_graph
    if graph is None:
        return tensors
    weights = {row.stored: row.name for row in tensors._weight_rules() if row.name is not None}
    paths = graph.short_names()
    # The candidates for each name, the best first; a name that several would get is nobody's.
    candidates = {}
    for name, stored in tensors._stored().items():
        if stored == OBJECT_GRAPH_KEY or name.endswith(BOOKKEEPING):
            continue
        known = [weights.get(name), paths.get(name)] if name == stored else []
        candidates[name] = [each for each in (*known, name) if each is not None]
    while True:
        claims = Counter(each[0] for each in candidates.values())
        clashing = [each for each in candidates.values() if claims[each[0]] > 1 and len(each) > 1]
        if not clashing:
            return View(tensors, {each[0]: name for name, each in candidates.items()})
        for each in clashing:
            del each[0]
