"""Edges: how the objects of a TrackableObjectGraph refer to each other, by number.

A node has children, each under a name; an optimizer also has slot variables, each for another variable. All
numbers are checked here, once, so that code which follows them need not. The message stays as protobuf parsed
it: names are read from it when they are needed, for most are never asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message

KERAS_OPTIMIZER = frozenset(("_iterations", "_trainable_variables"))
"""Edges by which an optimizer of Keras 3 is recognised, whatever its name: it has no slot variables."""


class Slot(NamedTuple):
    """A variable that an optimizer keeps for another, as numbers of nodes."""

    optimizer: int
    variable: int
    name: str
    """The optimizer's name for the slot: ``m``, ``v``, ``momentum``."""
    node: int
    """The slot variable itself."""


class Edges:
    """The nodes of a graph, their children and their slots.

    Parameters
    ----------
    data
        A serialized TrackableObjectGraph.
    file
        What errors call the graph.

    Raises
    ------
    CorruptError
        The bytes are not such a message, it has no node, or a node refers to one that does not exist.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self.message = parse_message(messages.TrackableObjectGraph, data, file, None)
        """The message."""
        self.children: list[Sequence[int]] = []
        """Numbers of the children of each node, in the order of their names in the message."""
        self.slots_by_optimizer: dict[int, list[Slot]] = {}
        self.slots_by_variable: dict[int, list[Slot]] = {}
        self.slots_by_node: dict[int, Slot] = {}
        self.slots_by_name: dict[tuple[int, int, str], Slot] = {}
        """Slots by the numbers of variable and optimizer, and by name."""
        self._file = file
        self._full_names: dict[int, str | None] = {}
        # Reading the names of all edges is slow, and a search of the bytes rules most graphs out.
        self._may_have_keras_optimizers = all(name.encode() in data for name in KERAS_OPTIMIZER)
        nodes = self.message.nodes
        count = len(nodes)
        if not count:
            raise self._corrupt("got no nodes, want at least the root")
        for number, node in enumerate(nodes):
            # One empty tuple for all leaves: 100,000 empty lists would keep the garbage collector busy.
            children = [child.node_id for child in node.children] or ()
            if children and not (min(children) >= 0 and max(children) < count):
                child = next(each for each in node.children if not 0 <= each.node_id < count)
                raise self._corrupt(
                    f"node {number}: child {child.local_name!r}: "
                    f"got node {child.node_id}, want 0 to {count - 1}"
                )
            self.children.append(children)
            for slot in node.slot_variables:
                ids = slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id
                self._add_slot(Slot(number, *ids), count)

    def _add_slot(self, slot: Slot, count: int) -> None:
        for node in (slot.variable, slot.node):
            if not 0 <= node < count:
                raise self._corrupt(
                    f"node {slot.optimizer}: slot {slot.name!r}: got node {node}, want 0 to {count - 1}"
                )
        self.slots_by_optimizer.setdefault(slot.optimizer, []).append(slot)
        self.slots_by_variable.setdefault(slot.variable, []).append(slot)
        self.slots_by_node.setdefault(slot.node, slot)
        self.slots_by_name.setdefault((slot.variable, slot.optimizer, slot.name), slot)

    def _corrupt(self, what: str) -> CorruptError:
        return CorruptError(f"object graph: {what}", file=self._file)

    def __len__(self) -> int:
        return len(self.children)

    def of(self, number: int) -> list[tuple[str, int]]:
        """Return a node's names for its children, and their numbers."""
        if not self.children[number]:
            return []
        return [(child.local_name, child.node_id) for child in self.message.nodes[number].children]

    def name(self, number: int, position: int) -> str:
        """Return a node's name for one of its children, by its position among them."""
        return str(self.message.nodes[number].children[position].local_name)

    def names(self) -> tuple[list[str], list[int]]:
        """Return the names of all edges, node by node, and the index of the first name of each node."""
        names = [
            child.local_name for number in self._parents() for child in self.message.nodes[number].children
        ]
        return names, [0, *accumulate(map(len, self.children))]

    def hidden(self) -> dict[int, set[int]]:
        """Return, by node, the positions of children whose name a later child of the node has too."""
        hidden: dict[int, set[int]] = {}
        for number in self._parents():
            names = [child.local_name for child in self.message.nodes[number].children]
            last = {name: position for position, name in enumerate(names)}
            if len(last) < len(names):
                hidden[number] = set(range(len(names))).difference(last.values())
        return hidden

    def full_name(self, number: int) -> str | None:
        """Return the name of a variable in the program, None if the node is not a variable."""
        # Kept, since a walk asks once for each slot of a variable, which may have many slots and attributes.
        if number not in self._full_names:
            named = [each for each in self.message.nodes[number].attributes if each.full_name]
            values = [each.full_name for each in named if each.name == "VARIABLE_VALUE"]
            first = named[0].full_name if named else None
            self._full_names[number] = values[0] if values else first
        return self._full_names[number]

    def keras_optimizers(self) -> set[int]:
        """Return the numbers of the optimizers of Keras 3."""
        if not self._may_have_keras_optimizers:
            return set()
        nodes = self.message.nodes
        return {
            number
            for number in self._parents()
            if KERAS_OPTIMIZER.issubset(child.local_name for child in nodes[number].children)
        }

    def _parents(self) -> Sequence[int]:
        return [number for number, children in enumerate(self.children) if children]
