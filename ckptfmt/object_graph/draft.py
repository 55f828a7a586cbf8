"""Drafts: an object graph that is being changed.

A draft edits a copy of the message in place, so that fields which this package does not know stay. What is
removed is only marked until the end, since positions in the message are how edges and slots are found; then
nodes that have lost all their values are dropped and the others get new numbers, in their old order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from ckptfmt.proto import messages

Object: TypeAlias = "messages.TrackableObjectGraph.TrackableObject"
"""A node's message."""

Stored: TypeAlias = "messages.TrackableObjectGraph.TrackableObject.SerializedTensor"
"""An attribute's message."""


class Removed(NamedTuple):
    """Positions in a node of what is no longer part of it."""

    edges: set[int]
    attributes: set[int]
    slots: set[int]


_NOTHING = Removed(set(), set(), set())


class Draft:
    """A copy of an object graph, whose numbers have been checked, to be changed."""

    def __init__(self, message: messages.TrackableObjectGraph) -> None:
        self.message = messages.TrackableObjectGraph()
        self.message.CopyFrom(message)
        self.nodes: list[Object] = list(self.message.nodes)
        """The nodes by number; those that are added come last."""
        self.first_added = len(self.nodes)
        """The number of the first node that was added."""
        self._removed: dict[int, Removed] = {}
        self._positions: dict[int, dict[str, int]] = {}
        """Positions of edges by name, of the nodes that were looked into."""
        self._slot_positions: dict[int, dict[tuple[int, str], int]] = {}

    def gone(self, number: int) -> Removed:
        """Return what is removed from a node, only to read it."""
        return self._removed.get(number, _NOTHING)

    def removed(self, number: int) -> Removed:
        """Return what is removed from a node, to add to it."""
        removed = self._removed.get(number)
        if removed is None:
            removed = self._removed[number] = Removed(set(), set(), set())
        return removed

    # --- edges -------------------------------------------------------------------------------------------

    def edge(self, number: int, name: str) -> int | None:
        """Return the position of a node's edge, the last of those with the name; None if it has none."""
        return self._edges_of(number).get(name)

    def _edges_of(self, number: int) -> dict[str, int]:
        # Kept, so that looking up every child of a node with a million of them stays linear.
        positions = self._positions.get(number)
        if positions is None:
            gone = self.gone(number).edges
            children = self.nodes[number].children
            positions = {child.local_name: at for at, child in enumerate(children) if at not in gone}
            self._positions[number] = positions
        return positions

    def child(self, number: int, name: str) -> int | None:
        """Return the child of a node with a name."""
        position = self.edge(number, name)
        return None if position is None else self.nodes[number].children[position].node_id

    def remove_edge(self, number: int, position: int) -> None:
        """Remove an edge."""
        name = self.nodes[number].children[position].local_name
        if self._edges_of(number).get(name) == position:
            del self._positions[number][name]
        self.removed(number).edges.add(position)

    def set_edge(self, number: int, name: str, child: int, at: int | None = None) -> None:
        """Make a node the child of another, at the place of a removed edge or after all others."""
        position = self.edge(number, name)
        edges = self.nodes[number].children
        if at is not None and at != position:
            if position is not None:
                self.remove_edge(number, position)
            self.removed(number).edges.discard(at)
            edges[at].local_name = name
            position = at
        if position is None:
            position = len(edges)
            edges.add(local_name=name)
        edges[position].node_id = child
        self._positions[number][name] = position

    def find(self, names: Iterable[str]) -> int | None:
        """Return the node that names lead to from the root."""
        number: int | None = 0
        for name in names:
            if number is None:
                break
            number = self.child(number, name)
        return number

    def make(self, names: Iterable[str]) -> int:
        """Return the node that names lead to from the root, after adding those that are missing."""
        number = 0
        for name in names:
            child = self.child(number, name)
            if child is None:
                child = self.add_node()
                self.set_edge(number, name, child)
            number = child
        return number

    def add_node(self) -> int:
        """Add a node without anything, and return its number."""
        self.nodes.append(self.message.nodes.add())
        return len(self.nodes) - 1

    # --- attributes and slots ----------------------------------------------------------------------------

    def live_attributes(self, number: int) -> Iterator[Stored]:
        """Yield the attributes of a node that are not removed."""
        gone = self.gone(number).attributes
        for position, attribute in enumerate(self.nodes[number].attributes):
            if position not in gone:
                yield attribute

    def set_attribute(self, number: int, name: str, full_name: str, key: str) -> None:
        """Give a node a value that is stored under a key."""
        for attribute in self.live_attributes(number):
            if attribute.name == name:
                attribute.checkpoint_key = key
                return
        self.nodes[number].attributes.add(name=name, full_name=full_name, checkpoint_key=key)

    def _slots_of(self, optimizer: int) -> dict[tuple[int, str], int]:
        """Return the positions of an optimizer's slots, by variable and name."""
        positions = self._slot_positions.get(optimizer)
        if positions is None:
            gone = self.gone(optimizer).slots
            positions = {
                (slot.original_variable_node_id, slot.slot_name): position
                for position, slot in enumerate(self.nodes[optimizer].slot_variables)
                if position not in gone
            }
            self._slot_positions[optimizer] = positions
        return positions

    def slot(self, optimizer: int, variable: int, name: str) -> int | None:
        """Return the slot variable that an optimizer keeps for a variable under a name."""
        position = self._slots_of(optimizer).get((variable, name))
        return (
            None if position is None else self.nodes[optimizer].slot_variables[position].slot_variable_node_id
        )

    def remove_slot(self, optimizer: int, variable: int, name: str) -> None:
        """Take a slot variable from its optimizer."""
        position = self._slots_of(optimizer).pop((variable, name), None)
        if position is not None:
            self.removed(optimizer).slots.add(position)

    def set_slot(self, optimizer: int, variable: int, name: str, node: int) -> None:
        """Make a node the slot variable that an optimizer keeps for a variable."""
        self.remove_slot(optimizer, variable, name)
        slots = self.nodes[optimizer].slot_variables
        self._slots_of(optimizer)[variable, name] = len(slots)
        slots.add(original_variable_node_id=variable, slot_name=name, slot_variable_node_id=node)
