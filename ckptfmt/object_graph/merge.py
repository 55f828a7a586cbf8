"""Merge: one object graph of several, for a checkpoint that is put together from parts of others.

Objects to which the same path leads are one object, which has the children, the values and the slot variables
of all: the model of one checkpoint and the optimizer of another share the root, and maybe the variables that
the optimizer's slots are for.
"""

from __future__ import annotations

from collections.abc import Sequence

from ckptfmt.errors import GraphError
from ckptfmt.object_graph.draft import Draft
from ckptfmt.object_graph.edges import Edges
from ckptfmt.object_graph.keys import split_key
from ckptfmt.object_graph.paths import Paths
from ckptfmt.object_graph.survivors import encode_survivors
from ckptfmt.text.quoting import shortened


def merge_graphs(graphs: Sequence[bytes]) -> bytes:
    """Return the message of an object graph that has the objects of all these.

    Raises
    ------
    GraphError
        Objects at one path of several graphs have values under different keys.
    CorruptError
        A message is not an object graph.
    """
    merged = graphs[0]
    for graph in graphs[1:]:
        merged = _Union(merged, graph).encode()
    return merged


class _Union:
    """A graph that gets the objects of another."""

    def __init__(self, merged: bytes, added: bytes) -> None:
        self._base = Edges(merged, "object graph")
        self._added = Edges(added, "object graph")
        self._draft = Draft(self._base.message)

    def encode(self) -> bytes:
        """Return the message of the union."""
        numbers = self._find_equals()
        # A node of the other graph whose value differs is an object of its own, at the paths that lead to no
        # object here: a variable that has two names there may be two variables here.
        for number in [each for each in numbers if self._clashes(each, numbers[each])]:
            del numbers[number]
        separate = [number for number in range(len(self._added)) if number not in numbers]
        for number in separate:
            numbers[number] = self._copy(number)
        for number in numbers:
            self._add(number, numbers)
        self._check_reached(separate, numbers)
        everything = range(len(self._draft.nodes))
        return encode_survivors(self._draft, everything, everything)

    def _copy(self, number: int) -> int:
        """Add a node as it is in the other graph, without what refers to nodes there."""
        copy = self._draft.add_node()
        node = self._draft.nodes[copy]
        node.CopyFrom(self._added.message.nodes[number])
        node.ClearField("children")
        node.ClearField("slot_variables")
        return copy

    def _find_equals(self) -> dict[int, int]:
        """Return the nodes of the first graph to which paths of the other lead too, by number there."""
        numbers = {0: 0}
        taken = {0}
        fresh = [0]
        # No edge leads to a slot variable: slots are looked up once all variables and optimizers that edges
        # lead to have been met.
        while fresh:
            for number in fresh:
                for name, child in self._added.of(number):
                    other = self._draft.child(numbers[number], name)
                    if other is not None and child not in numbers and other not in taken:
                        numbers[child] = other
                        taken.add(other)
                        fresh.append(child)
            fresh = []
            for node, slot in self._added.slots_by_node.items():
                if node in numbers or slot.optimizer not in numbers or slot.variable not in numbers:
                    continue
                other = self._draft.slot(numbers[slot.optimizer], numbers[slot.variable], slot.name)
                if other is not None and other not in taken:
                    numbers[node] = other
                    taken.add(other)
                    fresh.append(node)
        return numbers

    def _clashes(self, number: int, other: int) -> bool:
        """Return whether a node and its equal have different values of one name."""
        stored = {(each.name, each.checkpoint_key) for each in self._base.message.nodes[other].attributes}
        names = {name for name, _ in stored}
        return any(
            each.name in names and (each.name, each.checkpoint_key) not in stored
            for each in self._added.message.nodes[number].attributes
        )

    def _add(self, number: int, numbers: dict[int, int]) -> None:
        """Add to a node what the other graph has there."""
        message = self._added.message.nodes[number]
        target = numbers[number]
        node = self._draft.nodes[target]
        for name, child in self._added.of(number):
            if self._draft.child(target, name) is None:
                self._draft.set_edge(target, name, numbers[child])
        names = {each.name for each in node.attributes}
        node.attributes.extend(each for each in message.attributes if each.name not in names)
        for slot in message.slot_variables:
            variable, held = numbers[slot.original_variable_node_id], numbers[slot.slot_variable_node_id]
            if self._draft.slot(target, variable, slot.slot_name) is None:
                self._draft.set_slot(target, variable, slot.slot_name, held)
        if message.HasField("registered_saver") and not node.HasField("registered_saver"):
            node.registered_saver.CopyFrom(message.registered_saver)

    def _check_reached(self, separate: Sequence[int], numbers: dict[int, int]) -> None:
        """Raise GraphError if an object with values, to which names led, has lost all of them to others."""
        reached = {edge.node_id for node in self._draft.nodes for edge in node.children}
        paths = Paths(self._added)
        for number in separate:
            attributes = self._added.message.nodes[number].attributes
            if not attributes or numbers[number] in reached or paths.names(number) is None:
                continue
            if not self._take_path(numbers[number]):
                path, key = repr(paths.path(number)), repr(attributes[0].checkpoint_key)
                raise GraphError(
                    f"object graphs to merge: {shortened(path)} is {shortened(key)} in one, "
                    "and another object in others"
                )

    def _take_path(self, number: int) -> bool:
        """Let the path in a node's key lead to it, if the node that is there now is named by another path."""
        key = split_key(self._draft.nodes[number].attributes[0].checkpoint_key)
        if key is None or key.optimizer is not None or not key.names:
            return False
        other = self._draft.find(key.names)
        parent = self._draft.find(key.names[:-1])
        if other is None or parent is None:
            return False
        keys = [split_key(each.checkpoint_key) for each in self._draft.nodes[other].attributes]
        for each in keys:
            if each is None or each.names == key.names or self._draft.find(each.names) != other:
                return False
        self._draft.set_edge(parent, key.names[-1], number)
        return True
