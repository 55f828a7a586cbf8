"""Paths: the shortest way from the root to each object, and the object at a path.

TensorFlow finds objects breadth first, so a key is the shortest path to an object, or the first found if
several are as short. Other paths, even through cycles, lead to the same object and are accepted too.
"""

from __future__ import annotations

from ckptfmt.cached_property import cached_property
from ckptfmt.object_graph.edges import Edges
from ckptfmt.object_graph.keys import SLOT, escape, unescape


class Paths:
    """The paths of a graph, computed when first asked for."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._children_by_name: dict[int, dict[str, int]] = {}
        """Children by name, of the nodes that paths were looked up in."""

    @cached_property
    def parents(self) -> dict[int, int]:
        """The node before each one on its shortest path, breadth first; only nodes that a path leads to."""
        # Only the parent of each node is kept, and a path is joined when it is asked for: together, the paths
        # of a chain of a million objects would have 10¹² characters.
        children = self._edges.children
        parents = {0: 0}
        queue = [0]
        for number in queue:
            for child in children[number]:
                if child not in parents:
                    parents[child] = number
                    queue.append(child)
        return parents

    @cached_property
    def _positions(self) -> dict[int, int]:
        """The position of each of these nodes among the children of its parent."""
        # Not computed with the parents, since most callers need only those. If several edges lead from the
        # parent to a node, the first one names it, as in TensorFlow's keys.
        positions: dict[int, int] = {}
        for number in self.parents:
            for position, child in enumerate(self._edges.children[number]):
                if self.parents[child] == number:
                    positions.setdefault(child, position)
        return positions

    def last_name(self, number: int) -> str:
        """Return the name of the last edge of the shortest path; empty for the root and if no path exists."""
        if not number or number not in self.parents:
            return ""
        return self._edges.name(self.parents[number], self._positions[number])

    def path(self, number: int) -> str | None:
        """Return the shortest path to a node, its names escaped; None if no path leads there."""
        if number not in self.parents:
            return None
        names = []
        while number:
            names.append(escape(self.last_name(number)))
            number = self.parents[number]
        return "/".join(reversed(names))

    def path_or_slot(self, number: int) -> str | None:
        """Return the shortest path to a node; a slot variable without one gets that through its variable."""
        path = self.path(number)
        slot = self._edges.slots_by_node.get(number)
        if path is not None or slot is None:
            return path
        variable, optimizer = self.path(slot.variable), self.path(slot.optimizer)
        if variable is None or optimizer is None:
            return None
        return f"{variable}/{SLOT}/{optimizer}/{escape(slot.name)}"

    def find(self, path: str) -> int | None:
        """Return the node at a path, or None; the path may be that of a slot variable."""
        variable, separator, slot = path.partition(f"/{SLOT}/")
        number, _ = self.follow(variable)
        if not separator or number is None:
            return number
        owner, slash, name = slot.rpartition("/")
        optimizer, _ = self.follow(owner)
        if not slash or optimizer is None:
            return None
        slots = (self._edges.slots_by_name.get((number, optimizer, each)) for each in (unescape(name), name))
        return next((each.node for each in slots if each is not None), None)

    def follow(self, path: str) -> tuple[int | None, list[str]]:
        """Follow names from the root; return the node reached, None if one is missing, and the names found.

        A name is escaped as in a key, or plain if it has no slash.
        """
        number = 0
        done: list[str] = []
        for part in path.split("/") if path else ():
            # Kept, so that looking up every child of a node with a million of them stays linear.
            children = self._children_by_name.get(number)
            if children is None:
                children = self._children_by_name[number] = dict(self._edges.of(number))
            child = children.get(unescape(part), children.get(part))
            if child is None:
                return None, done
            number = child
            done.append(part)
        return number, done
