"""Walks: objects in the order in which a person reads a model, depth first.

Keras lists every variable several times: below the layer that owns it, in lists of all variables, and below
the optimizer. An object is entered where it is first met, so the lists come last: a variable is then met
below its layer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import NamedTuple

from ckptfmt.object_graph.edges import Edges, Slot
from ckptfmt.object_graph.paths import Paths

VIEWS = frozenset(
    (
        *("variables", "trainable_variables", "non_trainable_variables", "_variables", "_all_variables"),
        *("_trainable_variables", "_non_trainable_variables", "keras_api", "optimizer", "_optimizer"),
        *("layers", "losses", "metrics", "regularization_losses", "signatures"),
    )
)
"""Edges by which Keras lists what other objects own, and to the optimizer, which lists all that it trains."""


class Step(NamedTuple):
    """An edge that a walk follows, or only mentions."""

    depth: int
    """Edges from where the walk began."""
    name: str
    """Name of the edge; of a slot variable ``SLOT/VARIABLE``."""
    number: int
    """The node that it leads to."""
    first: bool
    """Whether the node is met for the first time; else the walk does not enter it again."""
    slot: Slot | None
    """The slot, if the edge leads from an optimizer to a slot variable."""


def walk(edges: Edges, paths: Paths, start: int) -> Iterator[Step]:
    """Walk depth first from a node, in bounded memory: a trail of iterators and one byte for each node.

    After the children of an optimizer come its slot variables.
    """
    late = edges.keras_optimizers()
    seen = bytearray(len(edges))
    trail: list[Iterator[tuple[str, int, Slot | None]]] = [iter([("", start, None)])]
    while trail:
        for name, number, slot in trail[-1]:
            first = not seen[number]
            yield Step(len(trail) - 1, name, number, first, slot)
            if first:
                seen[number] = True
                if edges.children[number] or number in edges.slots_by_optimizer:
                    trail.append(_ordered_edges(edges, paths, number, late))
                    break
        else:
            trail.pop()


def _ordered_edges(
    edges: Edges, paths: Paths, number: int, late: Collection[int]
) -> Iterator[tuple[str, int, Slot | None]]:
    """Children, those that only list others' objects last, then slot variables."""
    children = edges.of(number)
    if len(children) > 1:
        children.sort(key=lambda edge: edge[0] in VIEWS or edge[1] in late)
    slots = edges.slots_by_optimizer.get(number, ())
    return chain(
        ((name, child, None) for name, child in children),
        ((_slot_name(edges, paths, slot), slot.node, slot) for slot in slots),
    )


def _slot_name(edges: Edges, paths: Paths, slot: Slot) -> str:
    variable = edges.full_name(slot.variable) or paths.last_name(slot.variable)
    return f"{slot.name}/{variable}"
