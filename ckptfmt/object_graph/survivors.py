"""Survivors: the nodes of a changed graph that stay, and the message that has only these.

A node stays if it has a value, if it lies on a way to one, or if it never led to one: a Keras layer without
weights has a node too, and ``assert_existing_objects_matched`` looks for it. So a node goes only if it led to
values and has lost them all, and a graph that loses nothing stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ckptfmt.object_graph.draft import Draft, Object
from ckptfmt.object_graph.edges import Edges
from ckptfmt.proto import messages


def find_idle(edges: Edges, valued: Iterable[int]) -> set[int]:
    """Return the nodes of a graph that lead to no value, given the nodes that have one."""
    # A slot variable needs its variable and its optimizer, and no edge leads to it.
    slots = edges.slots_by_node.values()
    ends = {*valued, *(slot.optimizer for slot in slots), *(slot.variable for slot in slots)}
    return set(range(len(edges))).difference(_with_ancestors(ends, edges.children))


def encode_survivors(draft: Draft, valued: Collection[int], idle: Collection[int]) -> bytes:
    """Return the message of the nodes that stay.

    Parameters
    ----------
    draft
        The changed graph. It is used up.
    valued
        The nodes that have values now.
    idle
        The nodes that led to no value before.
    """
    ends = {0, *valued}
    for number, node in enumerate(draft.nodes):
        for position, slot in enumerate(node.slot_variables):
            if slot.slot_variable_node_id in valued and position not in draft.gone(number).slots:
                ends.update((number, slot.original_variable_node_id))
            elif slot.slot_variable_node_id not in idle:
                draft.removed(number).slots.add(position)
    children = [_children(draft, number, idle) for number in range(len(draft.nodes))]
    kept = _with_ancestors(ends, children)
    # Idle nodes stay with the nodes that lead to them. Those that no edge leads to stay too.
    todo = list(kept)
    todo += set(idle).difference(kept, *children)
    kept.update(todo)
    while todo:
        more = [child for child in children[todo.pop()] if child in idle and child not in kept]
        kept.update(more)
        todo += more
    return _encode(draft, sorted(kept))


def _children(draft: Draft, number: int, idle: Collection[int]) -> Sequence[int]:
    """Return the children of a node, and its slot variables without values, which stay if it does."""
    node = draft.nodes[number]
    if not (node.children or node.slot_variables):
        return ()
    gone = draft.gone(number)
    children = [edge.node_id for at, edge in enumerate(node.children) if at not in gone.edges]
    slots = (
        slot.slot_variable_node_id for at, slot in enumerate(node.slot_variables) if at not in gone.slots
    )
    return [*children, *(slot for slot in slots if slot in idle)]


def _with_ancestors(numbers: Iterable[int], children: Sequence[Sequence[int]]) -> set[int]:
    """Return nodes, and all from which edges lead to one of them."""
    parents: dict[int, list[int]] = {}
    for number, each in enumerate(children):
        for child in each:
            parents.setdefault(child, []).append(number)
    reached = set(numbers)
    todo = list(reached)
    while todo:
        more = [parent for parent in parents.get(todo.pop(), ()) if parent not in reached]
        reached.update(more)
        todo += more
    return reached


# --- the message -----------------------------------------------------------------------------------------


def _encode(draft: Draft, kept: Sequence[int]) -> bytes:
    says_values = draft.nodes[0].HasField("has_checkpoint_values")
    numbers = {old: new for new, old in enumerate(kept)}
    nodes = [draft.nodes[old] for old in kept]
    for old, node in zip(kept, nodes, strict=True):
        _remove(draft, old, node, numbers)
        if len(kept) < len(draft.nodes):
            _renumber(node, numbers)
    # As add_checkpoint_values_check of TensorFlow's python/checkpoint/util.py computes it.
    ends = [number for number, node in enumerate(nodes) if _has_values(node)]
    valued = _with_ancestors(ends, [[edge.node_id for edge in node.children] for node in nodes])
    for old, node in zip(kept, nodes, strict=True):
        if node.HasField("has_checkpoint_values") or (says_values and old >= draft.first_added):
            value = numbers[old] in valued
            # Assigning false makes the field present.
            if not node.HasField("has_checkpoint_values") or node.has_checkpoint_values.value != value:
                node.has_checkpoint_values.value = value
    if len(kept) == len(draft.nodes):
        return draft.message.SerializeToString(deterministic=True)
    message = messages.TrackableObjectGraph(nodes=nodes)
    draft.message.ClearField("nodes")
    message.MergeFrom(draft.message)  # fields that are not known here
    return message.SerializeToString(deterministic=True)


def _has_values(node: Object) -> bool:
    return bool(node.attributes or node.slot_variables) or node.HasField("registered_saver")


def _remove(draft: Draft, number: int, node: Object, numbers: Mapping[int, int]) -> None:
    """Take out of a node what is removed from it, and what refers to nodes that are dropped."""
    gone = draft.gone(number)
    if not (node.children or node.slot_variables or gone.attributes):
        return  # a variable: most nodes are
    edges = [e for at, e in enumerate(node.children) if at not in gone.edges and e.node_id in numbers]
    attributes = [each for at, each in enumerate(node.attributes) if at not in gone.attributes]
    slots = [
        slot
        for at, slot in enumerate(node.slot_variables)
        if at not in gone.slots
        and slot.slot_variable_node_id in numbers
        and slot.original_variable_node_id in numbers
    ]
    kept = messages.TrackableObjectGraph.TrackableObject()
    if len(edges) < len(node.children):
        kept.children.extend(edges)
        node.ClearField("children")
    if len(attributes) < len(node.attributes):
        kept.attributes.extend(attributes)
        node.ClearField("attributes")
    if len(slots) < len(node.slot_variables):
        kept.slot_variables.extend(slots)
        node.ClearField("slot_variables")
    node.MergeFrom(kept)


def _renumber(node: Object, numbers: Mapping[int, int]) -> None:
    for edge in node.children:
        edge.node_id = numbers[edge.node_id]
    for slot in node.slot_variables:
        slot.original_variable_node_id = numbers[slot.original_variable_node_id]
        slot.slot_variable_node_id = numbers[slot.slot_variable_node_id]
