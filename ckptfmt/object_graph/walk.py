"""Walks: objects in the order in which a person reads a model, depth first.

Keras lists every variable several times: below the layer that owns it, in lists of all variables, and below
the optimizer. A walk enters an object only when it first meets it, so it leaves these lists to the end and
meets each variable below its layer.
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
"""Edges to lists that Keras keeps of what other objects own, and to the optimizer, which keeps such lists."""


class Step(NamedTuple):
    """An edge that a walk follows, or only reports because it has met the node before."""

    depth: int
    """Edges from where the walk began."""
    name: str
    """Name of the edge; ``SLOT/VARIABLE`` for a slot variable."""
    number: int
    """The node that it leads to."""
    first: bool
    """Whether the node is met for the first time; if not, the walk does not enter it again."""
    slot: Slot | None
    """The slot, if the edge leads from an optimizer to a slot variable."""


def walk(edges: Edges, paths: Paths, start: int) -> Iterator[Step]:
    """Walk depth first from a node; the slot variables of an optimizer come after its children.

    A node is entered once, so each edge is followed once, and the walk takes linear time.
    """
    late = edges.keras_optimizers()
    # Without recursion, because a chain may be a million objects deep: for each node that is entered and not
    # yet left, the trail holds the edges still to follow. A byte for each node says whether it has been met.
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
    """Children, with the edges that only list other objects last, then slot variables."""
    children = edges.of(number)
    # The sort is stable: within both groups the order of the message stays.
    if len(children) > 1:
        children.sort(key=lambda edge: edge[0] in VIEWS or edge[1] in late)
    ordered = ((name, child, None) for name, child in children)
    slots = edges.slots_by_optimizer.get(number)
    # A single iterator for nearly every node: each one on a deep trail costs the garbage collector time.
    if slots is None:
        return ordered
    return chain(ordered, ((_slot_name(edges, paths, slot), slot.node, slot) for slot in slots))


def _slot_name(edges: Edges, paths: Paths, slot: Slot) -> str:
    variable = edges.full_name(slot.variable) or paths.last_name(slot.variable)
    return f"{slot.name}/{variable}"
