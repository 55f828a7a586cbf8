"""Objects to objects: which values of one object graph ``tf.train.Checkpoint.restore`` puts where in another.

Both graphs are walked from their roots, breadth first, along edges of the same names. The first object that a
saved one meets is the one it is restored to; slot variables follow where their optimizer and their variable
have been met. Source: TensorFlow ``python/checkpoint/restore.py``, ``CheckpointPosition``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from ckptfmt.object_graph.object_graph import Attribute, ObjectGraph, ObjectNode


class Pairs(NamedTuple):
    """What a restore of one object graph into another does."""

    stored_for: dict[str, str]
    """Key wanted → key that is stored."""
    consumed: set[str]
    """Stored keys whose objects have met one that wants them, also where another was faster."""


def pair_objects(stored: ObjectGraph, wanted: ObjectGraph) -> Pairs:
    """Return which stored keys are restored to which wanted ones."""
    return _Walk(stored, wanted).run()


class _Walk:
    def __init__(self, stored: ObjectGraph, wanted: ObjectGraph) -> None:
        self._targets: dict[int, ObjectNode] = {stored.root.id: wanted.root}
        """Number of a stored node → the object it is restored to."""
        self._queue = deque([stored.root])
        self._restored: set[int] = set()
        self._pairs = Pairs({}, set())
        # An object may be met by many; what it has is looked up once.
        self._children: dict[int, Mapping[str, ObjectNode]] = {}
        self._attributes: dict[int, dict[str, Attribute]] = {}
        self._slots: dict[int, dict[tuple[int, str], ObjectNode]] = {}

    def run(self) -> Pairs:
        while self._queue:
            node = self._queue.popleft()
            target = self._targets[node.id]
            self._restore(node, target)
            children = self._children_of(target)
            for name, child in node.children.items():
                self._bind(child, children.get(name))
            for slot in node.slots:
                optimizer = self._targets.get(slot.optimizer.id)
                if optimizer is not None:
                    self._bind(slot.node, self._slots_of(optimizer).get((target.id, slot.name)))
            for slot in node.slot_variables:
                variable = self._targets.get(slot.variable.id)
                if variable is not None:
                    self._bind(slot.node, self._slots_of(target).get((variable.id, slot.name)))
        return self._pairs

    def _bind(self, node: ObjectNode, target: ObjectNode | None) -> None:
        """Restore a node to an object, unless it has one."""
        if target is not None and node.id not in self._targets:
            self._targets[node.id] = target
            self._queue.append(node)

    def _restore(self, node: ObjectNode, target: ObjectNode) -> None:
        """Pair the values of a node with those of its object, which takes those of the first node only."""
        wanted = self._attributes_of(target)
        first = target.id not in self._restored
        self._restored.add(target.id)
        for attribute in node.attributes:
            place = wanted.get(attribute.name)
            if place is None:
                continue
            self._pairs.consumed.update(attribute.keys)
            if first:
                # Of a table, "…/table" in the graph, the keys are "…/table-keys" and "…/table-values".
                ends = {key[len(attribute.checkpoint_key) :]: key for key in attribute.keys}
                for key in place.keys:
                    found = ends.get(key[len(place.checkpoint_key) :])
                    if found is not None:
                        self._pairs.stored_for.setdefault(key, found)

    def _children_of(self, target: ObjectNode) -> Mapping[str, ObjectNode]:
        if target.id not in self._children:
            self._children[target.id] = target.children
        return self._children[target.id]

    def _attributes_of(self, target: ObjectNode) -> dict[str, Attribute]:
        if target.id not in self._attributes:
            self._attributes[target.id] = {attribute.name: attribute for attribute in target.attributes}
        return self._attributes[target.id]

    def _slots_of(self, optimizer: ObjectNode) -> dict[tuple[int, str], ObjectNode]:
        if optimizer.id not in self._slots:
            self._slots[optimizer.id] = {
                (slot.variable.id, slot.name): slot.node for slot in optimizer.slot_variables
            }
        return self._slots[optimizer.id]
