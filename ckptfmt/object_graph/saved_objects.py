"""Objects of a SavedModel: which stored object each is restored to.

The graph of a SavedModel has objects with their names for each other, and so has its checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.proto import messages


def stored_objects(nodes: Sequence[messages.SavedObject], graph: ObjectGraph) -> dict[int, int]:
    """Return, for each object of a model by its number, the number of the stored object restored to it.

    As in TensorFlow, each object keeps the first stored one that it meets.
    """
    # Both graphs are walked together from their roots, breadth first, along edges of the same names. No edge
    # leads to a slot variable: slots are looked up once a walk is done, when all optimizers and variables
    # that they may belong to have been met, and another walk begins from them. Nothing has checked the
    # message, so each number is compared with the count of objects before it is used.
    stored: dict[int, int] = {}
    # By stored object, since a stored one may be restored to many.
    children: dict[int, dict[str, int]] = {}
    fresh = [(0, 0)] if nodes else []
    while fresh:
        queue = []
        for number, other in fresh:
            if number not in stored and 0 <= number < len(nodes):
                stored[number] = other
                queue.append(number)
        for number in queue:
            other = stored[number]
            names = children.get(other)
            if names is None:
                names = children[other] = dict(graph.edges(other))
            for child in nodes[number].children:
                if (
                    child.local_name in names
                    and child.node_id not in stored
                    and 0 <= child.node_id < len(nodes)
                ):
                    stored[child.node_id] = names[child.local_name]
                    queue.append(child.node_id)
        fresh = [pair for number in queue for pair in _stored_slots(nodes[number], number, stored, graph)]
    return stored


def _stored_slots(
    node: messages.SavedObject, number: int, stored: Mapping[int, int], graph: ObjectGraph
) -> Iterator[tuple[int, int]]:
    """Numbers of the slot variables of an optimizer, and of the stored objects restored to them."""
    for slot in node.slot_variables:
        other = graph.slot_id(stored[number], stored.get(slot.original_variable_node_id, -1), slot.slot_name)
        if other is not None:
            yield slot.slot_variable_node_id, other
