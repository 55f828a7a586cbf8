"""Pairs of objects: which stored key ``tf.train.Checkpoint.restore`` restores each wanted key from.

Both graphs are walked together from their roots, breadth first, along edges of the same names. A stored
object is restored to the first wanted object that it meets. Several stored objects may meet one wanted
object; the first of them gives it its values. Source: TensorFlow ``python/checkpoint/restore.py``,
``CheckpointPosition``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptfmt.object_graph.object_graph import Attribute, ObjectGraph, ObjectNode


@dataclass
class ObjectPairs:
    """The effects of restoring one object graph into another."""

    stored_for: dict[str, str] = field(default_factory=dict)
    """The stored key that each wanted key is restored from."""
    consumed: set[str] = field(default_factory=set)
    """Stored keys whose objects met one that wants them, also if another object came first."""


def pair_objects(stored: ObjectGraph, wanted: ObjectGraph) -> ObjectPairs:
    """Return which stored keys are restored to which wanted ones."""
    return _Walk(stored, wanted).run()


class _Walk:
    """A walk through both graphs."""

    def __init__(self, stored: ObjectGraph, wanted: ObjectGraph) -> None:
        self._targets: dict[int, ObjectNode] = {stored.root.id: wanted.root}
        """The wanted object that each stored one, by its number, is restored to."""
        self._queue = deque([stored.root])
        self._restored: set[int] = set()
        """Numbers of wanted objects that have their values."""
        self._pairs = ObjectPairs()
        # Many stored objects may meet one wanted object, whose names are looked up once.
        self._children: dict[int, Mapping[str, ObjectNode]] = {}
        self._attributes: dict[int, dict[str, Attribute]] = {}
        self._slots: dict[int, dict[tuple[int, str], ObjectNode]] = {}

    def run(self) -> ObjectPairs:
        # Each stored node is queued once, so each of its edges and slots is looked at once: linear time.
        while self._queue:
            node = self._queue.popleft()
            target = self._targets[node.id]
            self._restore(node, target)
            children = self._children_of(target)
            for name, child in node.children.items():
                self._bind(child, children.get(name))
            # No edge leads to a slot variable. It is bound once both its optimizer and its variable are: the
            # first loop is for a variable that is met after its optimizer, the second for an optimizer that
            # is met after its variable.
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
        """Restore a stored object to a wanted one, unless it is restored to another already."""
        if target is not None and node.id not in self._targets:
            self._targets[node.id] = target
            self._queue.append(node)

    def _restore(self, node: ObjectNode, target: ObjectNode) -> None:
        """Pair the values of a stored object with those of its target, if it is the first to meet that."""
        wanted = self._attributes_of(target)
        is_first = target.id not in self._restored
        self._restored.add(target.id)
        for attribute in node.attributes:
            counterpart = wanted.get(attribute.name)
            if counterpart is None:
                continue
            self._pairs.consumed.update(attribute.keys)
            if is_first:
                # A table has one attribute, "…/table", but two keys, "…/table-keys" and "…/table-values":
                # keys are paired by what follows the name that each side has for the attribute.
                by_ending = {key[len(attribute.checkpoint_key) :]: key for key in attribute.keys}
                for key in counterpart.keys:
                    stored = by_ending.get(key[len(counterpart.checkpoint_key) :])
                    if stored is not None:
                        self._pairs.stored_for.setdefault(key, stored)

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
