"""Placing: objects brought to the paths of their new keys, and objects added at paths that are new.

All that moves is taken up before the first is put down, since two objects may change places. Slot variables
come after the variables and optimizers that they belong to, with which most of them have moved already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ckptfmt.object_graph.build import UNNAMED
from ckptfmt.object_graph.draft import Draft
from ckptfmt.object_graph.edges import Edges, Slot
from ckptfmt.object_graph.keys import KeyPath, split_key
from ckptfmt.object_graph.moves import Move, Names, find_moves
from ckptfmt.object_graph.paths import Paths


@dataclass(slots=True)
class Value:
    """An attribute whose tensors are selected."""

    number: int
    """Its node."""
    position: int
    """Its position in the node."""
    old: str
    """The key that it names in the checkpoint."""
    new: str
    """The key that it is to name."""
    others: Sequence[str]
    """More names of the tensor."""


@dataclass(slots=True)
class _Journey:
    """A value, and the places of its object."""

    value: Value
    old: KeyPath | None
    """None if no path leads to the object."""
    new: KeyPath | None
    """None if the object stays where it is."""


class Placement:
    """Brings the objects of a draft to their places.

    Parameters
    ----------
    edges, paths
        The graph before any change.
    draft
        The graph that is changed.
    valued
        The nodes that have values, which is changed too.
    """

    def __init__(self, edges: Edges, paths: Paths, draft: Draft, valued: set[int]) -> None:
        self._edges = edges
        self._paths = paths
        self._draft = draft
        self._valued = valued

    def leads_to(self, key: KeyPath | None, number: int) -> bool:
        """Return whether a key is one of the paths to a node."""
        if key is None:
            return False
        node = self._find(key.names)
        if node is None or key.optimizer is None:
            return node == number
        optimizer = self._find(key.optimizer)
        slot = self._edges.slots_by_name.get((node, -1 if optimizer is None else optimizer, key.slot))
        return slot is not None and slot.node == number

    def _find(self, names: Names) -> int | None:
        return self._paths.follow_names(names)

    # --- objects that move -------------------------------------------------------------------------------

    def move(self, values: Sequence[Value]) -> None:
        """Bring the objects to the places that their new keys say."""
        plain, slots = [], []
        for value in values:
            journey = self._journey(value)
            old, new = journey.old, journey.new
            if old is not None and old.optimizer is None and (new is None or new.optimizer is None):
                plain.append(journey)
            elif new is not None:
                slots.append(journey)
        self._move_objects(plain)
        self._move_slots(slots)

    def _journey(self, value: Value) -> _Journey:
        old = split_key(value.old)
        if old is None or not self.leads_to(old, value.number):
            old = self._place_of(value.number)
        new = split_key(value.new) if value.new != value.old else None
        if new is not None and self.leads_to(new, value.number):
            new = None
        return _Journey(value, old, new)

    def _place_of(self, number: int) -> KeyPath | None:
        names = self._paths.names(number)
        if names is not None:
            return KeyPath(names, "")
        slot = self._edges.slots_by_node.get(number)
        if slot is None:
            return None
        variable, optimizer = self._paths.names(slot.variable), self._paths.names(slot.optimizer)
        if variable is None or optimizer is None:
            return None
        return KeyPath(variable, "", optimizer, slot.name)

    def _move_objects(self, journeys: Sequence[_Journey]) -> None:
        """Move objects to which edges lead, with as much of what is below them as moves with them."""
        pairs = [Move(_names(each.old), _names(each.new or each.old)) for each in journeys]
        moves = find_moves(pairs)
        lifted = []
        for move in moves.whole:
            parent = self._find(move.old[:-1])
            child = self._find(move.old)
            if parent is None or child is None:
                continue  # the old key led there over a name that a later child has too
            position = self._draft.edge(parent, move.old[-1])
            if position is not None:
                lifted.append((move, child, parent, position))
        # All of them are taken up before the first is put down: two may change places.
        self._remove_stale_positions(moves.whole, journeys)
        for _, _, parent, position in lifted:
            self._draft.remove_edge(parent, position)
        for move, child, parent, position in lifted:
            new_parent = self._draft.make(move.new[:-1])
            self._draft.set_edge(new_parent, move.new[-1], child, position if new_parent == parent else None)
        for at in moves.single:
            self._move_value(journeys[at].value, pairs[at].new)

    def _move_value(self, value: Value, names: Names) -> None:
        """Give a value to the object at a path."""
        target = self._draft.make(names)
        if target != value.number:
            stored = self._draft.nodes[value.number].attributes[value.position]
            self._draft.removed(value.number).attributes.add(value.position)
            if not any(True for _ in self._draft.live_attributes(value.number)):
                self._valued.discard(value.number)
            self._draft.set_attribute(target, stored.name, stored.full_name, value.new)
            self._valued.add(target)

    def _remove_stale_positions(self, moves: Iterable[Move], journeys: Iterable[_Journey]) -> None:
        """Remove the other paths over positions to objects that get a new position in a list.

        Keras lists layers and weights several times. When one list has changed, an object's position in
        another list is no longer known, and a wrong one would restore the object to another. Paths that
        consist of names of attributes stay, and so do lists below the object itself.
        """
        moved = {
            number
            for move in moves
            if any(old != new and _is_position(old) for old, new in zip(move.old, move.new, strict=False))
            and (number := self._find(move.old)) is not None
        }
        if not moved:
            return
        below, listed = set(moved), set()
        for number, parent in self._paths.parents.items():
            if parent in below:
                below.add(number)
            if parent in listed or _is_position(self._paths.last_name(number)):
                listed.add(number)
        stale = moved.union(each.value.number for each in journeys if each.value.number in below)
        for number, children in enumerate(self._edges.children):
            if number in below or stale.isdisjoint(children):
                continue
            for position, child in enumerate(children):
                is_stale = number in listed or _is_position(self._edges.name(number, position))
                if child in stale and is_stale:
                    self._draft.remove_edge(number, position)

    def _move_slots(self, journeys: Sequence[_Journey]) -> None:
        """Move slot variables, and variables that become slots or are no longer slots."""
        changed = []
        for journey in journeys:
            number, old, new = journey.value.number, journey.old, journey.new
            slot = self._edges.slots_by_node.get(number)
            if new is None or (slot is not None and slot == self._slot_at(new, number)):
                continue  # it has moved with its variable and its optimizer
            changed.append((new, number))
            if slot is not None:
                self._draft.remove_slot(slot.optimizer, slot.variable, slot.name)
            elif old is not None and old.names:
                parent = self._find(old.names[:-1])
                position = None if parent is None else self._draft.edge(parent, old.names[-1])
                if parent is not None and position is not None:
                    self._draft.remove_edge(parent, position)
        for new, number in changed:
            if new.optimizer is not None:
                optimizer, variable = self._draft.make(new.optimizer), self._draft.make(new.names)
                self._draft.set_slot(optimizer, variable, new.slot, number)
            elif new.names:
                self._draft.set_edge(self._draft.make(new.names[:-1]), new.names[-1], number)

    def _slot_at(self, key: KeyPath, number: int) -> Slot | None:
        """Return the slot that a key stands for, with a node in it; None if an object is missing."""
        optimizer = None if key.optimizer is None else self._draft.find(key.optimizer)
        variable = self._draft.find(key.names)
        if optimizer is None or variable is None:
            return None
        return Slot(optimizer, variable, key.slot, number)

    # --- new objects -------------------------------------------------------------------------------------

    def add(self, name: str, attribute: str = "", full_name: str = UNNAMED, number: int = -1) -> None:
        """Add an object for a tensor if its name is a key that does not lead to the tensor's own node."""
        key = split_key(name)
        if key is None:
            return
        variable = self._draft.make(key.names)
        node: int | None = variable
        if key.optimizer is not None:
            optimizer = self._draft.make(key.optimizer)
            node = self._draft.slot(optimizer, variable, key.slot)
            if node is None:
                node = self._draft.add_node()
                self._draft.set_slot(optimizer, variable, key.slot, node)
        if node is not None and node != number:
            self._draft.set_attribute(node, attribute or key.attribute, full_name, name)
            self._valued.add(node)


def _names(key: KeyPath | None) -> Names:
    return () if key is None else key.names


def _is_position(name: str) -> bool:
    """Return whether a name is a position in a list: ``3``, or ``layer-3`` and the like of Keras 2."""
    return name.rpartition("-")[2].isdecimal()
