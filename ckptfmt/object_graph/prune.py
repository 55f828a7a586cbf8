"""Prune: the object graph of a selection of a checkpoint's tensors, under old or new names.

A program restores objects by following edges: it looks for the names of its own attributes in the graph, and
reads each value under the key that it finds there. So a new name becomes a ``checkpoint_key``; and if it is
the key of another path, the edges change too, so that a program with objects at that path finds it.
TensorFlow only accepts names of the form ``…/.ATTRIBUTES/VARIABLE_VALUE``, and raises ValueError for any
other: a tensor under such a name is left to those who look for names. In this order:

1. Each stored attribute gets its new key, or is removed if it has none.
2. Objects move to the paths that their new keys have (:mod:`ckptfmt.object_graph.moves`), then slot variables
   to their variables and optimizers.
3. Tensors that the graph does not know, and second names of one tensor, become new objects if their names are
   keys.
4. What has lost all its values goes (:mod:`ckptfmt.object_graph.survivors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ckptfmt.object_graph.build import UNNAMED
from ckptfmt.object_graph.claims import Claims
from ckptfmt.object_graph.draft import Draft
from ckptfmt.object_graph.edges import Edges, Slot
from ckptfmt.object_graph.keys import KeyPath, split_key
from ckptfmt.object_graph.moves import Move, Names, find_moves
from ckptfmt.object_graph.paths import Paths
from ckptfmt.object_graph.survivors import encode_survivors, find_idle


@dataclass(slots=True)
class _Value:
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

    value: _Value
    old: KeyPath | None
    """None if no path leads to the object."""
    new: KeyPath | None
    """None if the object stays where it is."""


def prune_graph(edges: Edges, paths: Paths, claims: Claims, names: Mapping[str, str | None]) -> bytes:
    """Return the message of an object graph for a selection of the tensors of its checkpoint.

    Parameters
    ----------
    edges, paths, claims
        The graph.
    names
        The key in the checkpoint of each tensor by its new name; None for a tensor that comes from elsewhere.
    """
    selected: dict[str, list[str]] = {}
    added = []
    for name, key in names.items():
        stored = name if key is None else key
        if stored in claims.owners:
            selected.setdefault(stored, []).append(name)
        elif (key is None or name != key) and split_key(name) is not None:
            added.append(name)
    if (
        not added
        and selected.keys() == claims.owners.keys()
        and all(new == [old] for old, new in selected.items())
    ):
        return edges.message.SerializeToString(deterministic=True)
    return _Pruning(edges, paths, claims, selected).run(added)


class _Pruning:
    """A graph that is being pruned."""

    def __init__(
        self, edges: Edges, paths: Paths, claims: Claims, selected: Mapping[str, Sequence[str]]
    ) -> None:
        self._edges = edges
        self._paths = paths
        self._claims = claims
        self._selected = selected
        self._draft = Draft(edges.message)
        self._valued: set[int] = set()
        """The nodes that have values now."""

    def run(self, added: Iterable[str]) -> bytes:
        values = self._set_keys()
        if any(value.new != value.old for value in values):
            self._move(values)
        for value in values:
            stored = self._draft.nodes[value.number].attributes[value.position]
            for name in value.others:
                self._add(name, stored.name, stored.full_name, value.number)
        for name in added:
            self._add(name)
        had_values = self._claims.owners.values()
        return encode_survivors(self._draft, self._valued, find_idle(self._edges, had_values))

    # --- keys --------------------------------------------------------------------------------------------

    def _set_keys(self) -> list[_Value]:
        """Give each attribute its new key, or remove it; return those that stay."""
        values = []
        new_keys: dict[str, str] = {}
        for number, node in enumerate(self._draft.nodes):
            for position, stored in enumerate(node.attributes):
                old = stored.checkpoint_key
                special = self._claims.special.get((number, position))
                if special == () and old not in self._claims.owners:
                    continue  # nothing was ever stored there
                names = self._keys_among(self._names_of(old, special), old)
                if not names:
                    self._draft.removed(number).attributes.add(position)
                    continue
                self._valued.add(number)
                if old not in new_keys:
                    new_keys[old] = new = self._main_name(names, old, number)
                    values.append(_Value(number, position, old, new, [name for name in names if name != new]))
                if new_keys[old] != old:
                    stored.checkpoint_key = new_keys[old]
        return values

    def _names_of(self, key: str, keys: Sequence[str] | None) -> Sequence[str]:
        """Return the names that an attribute may have as its key.

        An attribute that stores several tensors has the key with which all of theirs begin: there are none
        unless all are selected, and end as before.
        """
        if not keys:
            return self._selected.get(key, ())
        names: dict[str, None] | None = None
        for each in keys:
            end = each[len(key) :]
            beginnings = [name[: -len(end)] for name in self._selected.get(each, ()) if name.endswith(end)]
            names = dict.fromkeys(name for name in beginnings if names is None or name in names)
        return list(names or ())

    def _keys_among(self, names: Sequence[str], old: str) -> Sequence[str]:
        """Return the names that are keys of the attribute that a key is of."""
        if old in names and len(names) == 1:
            return names
        was = split_key(old)
        keys = [(name, split_key(name)) for name in names]
        return [
            name
            for name, key in keys
            if name == old or (key is not None and (was is None or key.attribute == was.attribute))
        ]

    def _main_name(self, names: Sequence[str], old: str, number: int) -> str:
        """Return the key that the object keeps: its old one, or that of another path to it, or any."""
        if len(names) == 1 or old in names:
            return old if old in names else names[0]
        return next((name for name in names if self._leads_to(split_key(name), number)), names[0])

    def _leads_to(self, key: KeyPath | None, number: int) -> bool:
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

    # --- places ------------------------------------------------------------------------------------------

    def _move(self, values: Sequence[_Value]) -> None:
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

    def _journey(self, value: _Value) -> _Journey:
        old = split_key(value.old)
        if old is None or not self._leads_to(old, value.number):
            old = self._place_of(value.number)
        new = split_key(value.new) if value.new != value.old else None
        if new is not None and self._leads_to(new, value.number):
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

    def _move_value(self, value: _Value, names: Names) -> None:
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

    def _add(self, name: str, attribute: str = "", full_name: str = UNNAMED, number: int = -1) -> None:
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
