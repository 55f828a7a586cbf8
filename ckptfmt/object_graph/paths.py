"""Paths: the shortest way from the root to each object, and the object at a path.

TensorFlow finds objects breadth first, so a key is the shortest path to an object, or the first found if
several are as short. Other paths, even through cycles, lead to the same object and are accepted too.

In a damaged or made-up graph, a name may be empty or belong to several children of an object. The last of
these children has it, and no path leads to the others over that name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ckptfmt.cached_property import cached_property
from ckptfmt.object_graph.edges import Edges
from ckptfmt.object_graph.keys import SLOT, escape, unescape

_EMPTY = "."
"""The path of the child of the root whose name is empty; no escaped name has a single point."""


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
    def _named(self) -> tuple[dict[int, int], dict[int, int]]:
        """The parents of the nodes that names lead to, and the positions of these nodes among children."""
        # Not computed with the parents, since most callers need only those. If several edges lead from the
        # parent to a node, the first one names it, as in TensorFlow's keys.
        hidden = self._edges.hidden()
        parents = self._parents_by_name(hidden) if hidden else self.parents
        positions: dict[int, int] = {}
        for number in parents:
            for position, child in enumerate(self._edges.children[number]):
                if parents.get(child) == number and position not in hidden.get(number, ()):
                    positions.setdefault(child, position)
        return parents, positions

    def _parents_by_name(self, hidden: Mapping[int, Collection[int]]) -> dict[int, int]:
        """Return the parents again, without following edges whose names lead to another node."""
        parents = {0: 0}
        queue = [0]
        for number in queue:
            skipped = hidden.get(number, ())
            for position, child in enumerate(self._edges.children[number]):
                if child not in parents and position not in skipped:
                    parents[child] = number
                    queue.append(child)
        return parents

    def last_name(self, number: int) -> str:
        """Return the name of the last edge of the shortest path; empty for the root and if no path exists."""
        parents, positions = self._named
        if not number or number not in parents:
            return ""
        return self._edges.name(parents[number], positions[number])

    def names(self, number: int) -> tuple[str, ...] | None:
        """Return the names on the shortest path to a node; None if no path leads there."""
        parents, _ = self._named
        if number not in parents:
            return None
        names = []
        while number:
            names.append(self.last_name(number))
            number = parents[number]
        return tuple(reversed(names))

    def path(self, number: int) -> str | None:
        """Return the shortest path to a node, its names escaped; None if no path leads there."""
        names = self.names(number)
        if names is None:
            return None
        return _EMPTY if names == ("",) else "/".join(map(escape, names))

    def path_or_slot(self, number: int) -> str | None:
        """Return the shortest path to a node; a slot variable without one gets that through its variable."""
        path = self.path(number)
        slot = self._edges.slots_by_node.get(number)
        if path is not None or slot is None:
            return path
        if self._edges.slots_by_name[slot.variable, slot.optimizer, slot.name] != slot:
            return None  # the path leads to another slot of that name
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
        if path == _EMPTY and "" in self._children(0):
            return self._children(0)[""], [path]
        for part in path.split("/") if path else ():
            children = self._children(number)
            child = children.get(unescape(part), children.get(part))
            if child is None:
                return None, done
            number = child
            done.append(part)
        return number, done

    def follow_names(self, names: Iterable[str]) -> int | None:
        """Return the node that names lead to from the root."""
        number: int | None = 0
        for name in names:
            if number is None:
                break
            number = self._children(number).get(name)
        return number

    def _children(self, number: int) -> dict[str, int]:
        # Kept, so that looking up every child of a node with a million of them stays linear.
        children = self._children_by_name.get(number)
        if children is None:
            children = self._children_by_name[number] = dict(self._edges.of(number))
        return children
