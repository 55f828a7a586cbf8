"""The lines of ``ckptfmt tree``: objects or scopes, what they hold, and what that adds up to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from ckptfmt import Entry, ObjectGraph, ObjectNode, Tensors, errors

MAX_DEPTH = 1000
"""Levels that a user may ask for; each line is four characters longer than the one above it."""

MAX_PATH = 2000
"""Characters of a path that are shown. Paths repeat the names on them: in a chain of a million objects they
would take more memory than a machine has."""

OUTSIDE = "(in no object)"
"""Title of the group of tensors that belong to no object."""


@dataclass(slots=True, eq=False)
class TreeRow:
    """One line of the tree: an object or a scope, a tensor, or a reference to a line above."""

    number: int
    parent: TreeRow | None
    name: str
    """Not escaped."""
    part: str = ""
    """The name as it appears in a path."""
    node: ObjectNode | None = None
    is_slot: bool = False
    """Whether it is a slot variable, below its optimizer."""
    target: TreeRow | None = None
    """The line that shows the object in full, if this one does not."""
    keys: list[str] = field(default_factory=list)
    """The tensors of its own that this line shows in full and counts."""
    lost: int = 0
    """Tensors that it should have and that are not in the checkpoint under a key of its own."""
    depth: int = 0
    used: bool = False
    """Whether anything is stored here or below, or below the line it refers to."""
    tensors: int = 0
    """Tensors here and below; the other totals count the same tensors."""
    parameters: int = 0
    """Elements that are numbers."""
    nbytes: int = 0

    @property
    def has_saver(self) -> bool:
        """Whether it shows an object in full that a registered saver stores in a way of its own."""
        return self.node is not None and self.target is None and self.node.registered_saver is not None


class Tree:
    """The lines from top to bottom, each after its parent."""

    def __init__(self, checkpoint: Tensors) -> None:
        self.checkpoint = checkpoint
        self.rows: list[TreeRow] = []
        self.entries: dict[str, Entry | errors.CkptfmtError] = {}
        """The entry of each tensor, or why it cannot be read."""
        self._places: dict[int, TreeRow] = {}
        """The line that shows an object in full, by the object's number."""

    def add(
        self, parent: TreeRow | None, name: str, part: str | None = None, *, node: ObjectNode | None = None
    ) -> TreeRow:
        """Append a line."""
        row = TreeRow(len(self.rows), parent, name, name if part is None else part, node)
        row.depth = parent.depth + 1 if parent else 0
        self.rows.append(row)
        return row

    def hold(self, row: TreeRow, keys: Iterable[str]) -> None:
        """Give a line tensors of its own; a tensor counts for the first line that has it."""
        for key in keys:
            if key in self.entries:
                continue
            row.keys.append(key)
            row.tensors += 1
            try:
                entry = self.entries[key] = self.checkpoint.entries[key]
            except errors.CkptfmtError as error:
                self.entries[key] = error
                continue
            row.nbytes += entry.nbytes
            if entry.dtype.itemsize is not None:
                row.parameters += math.prod(entry.shape)

    def finish(self) -> None:
        """Add up the totals once all lines are added, and mark the lines that lead to something stored."""
        references: dict[int, list[TreeRow]] = {}
        # Every line comes after its parent, so one pass from the bottom up completes each total before it is
        # added to the parent's.
        for row in reversed(self.rows):
            if row.target is not None:
                references.setdefault(row.target.number, []).append(row)
            if row.parent is not None:
                row.parent.tensors += row.tensors
                row.parent.parameters += row.parameters
                row.parent.nbytes += row.nbytes
        # Use spreads from what is stored to parents, and from a line to those that refer to it. References
        # may lead anywhere, in cycles too: each line is visited once.
        todo = [row for row in self.rows if row.keys or row.lost or row.has_saver]
        todo.append(self.rows[0])
        while todo:
            row = todo.pop()
            if not row.used:
                row.used = True
                todo += references.get(row.number, ())
                if row.parent is not None:
                    todo.append(row.parent)

    # --- objects -----------------------------------------------------------------------------------------

    def add_objects(self, graph: ObjectGraph) -> None:
        """Add what a walk over the objects reaches, then the tensors that it does not reach."""
        trail: list[TreeRow] = []
        for visit in graph.walk():
            del trail[visit.depth :]
            parent = trail[-1] if trail else None
            name = visit.name if parent else self.checkpoint.prefix
            row = self.add(parent, name, visit.part, node=visit.node)
            row.is_slot = visit.slot is not None
            trail.append(row)
            # The walk leads to an object once for each that refers to it; the first time it is shown in full.
            if visit.first:
                self._places[visit.node.id] = row
                self._hold_object(row, visit.node)
            else:
                row.target = self._places[visit.node.id]
        root = self.rows[0]
        unreached = set(graph.unreached)
        rest = [key for key in self.checkpoint if key not in self.entries]
        outside = [key for key in rest if _is_outside(graph, key, unreached)]
        if outside:
            group = self.add(root, OUTSIDE)
            for key in outside:
                self.hold(self.add(group, key), [key])
        for key in rest:
            if key not in self.entries:  # the object graph itself
                self.hold(self.add(root, key), [key])

    def _hold_object(self, row: TreeRow, node: ObjectNode) -> None:
        """Give a line its object's tensors: a single one on the line itself, several on lines below it."""
        attributes = node.attributes
        row.lost = sum(not attribute.keys for attribute in attributes)
        keys = [key for attribute in attributes for key in attribute.keys]
        if len(keys) == 1:
            self.hold(row, keys)
            return
        for key in keys:
            if key not in self.entries:
                name = key.rpartition("/")[2]
                self.hold(self.add(row, name), [key])

    # --- scopes ------------------------------------------------------------------------------------------

    def add_scopes(self, max_depth: int) -> None:
        """Add a line for each scope and each tensor; the rest of a name below ``max_depth`` is not split."""
        trail = [self.add(None, self.checkpoint.prefix)]
        last: list[str] = []
        split = [(name.split("/", max_depth), name) for name in self.checkpoint]
        # Sorted by their parts, the names of a scope follow each other, and the scope itself comes first.
        for parts, key in sorted(split):
            shared = 0
            for known, part in zip(last, parts, strict=False):
                if known != part:
                    break
                shared += 1
            del trail[shared + 1 :]
            for part in parts[shared:]:
                trail.append(self.add(trail[-1], part))
            last = parts
            self.hold(trail[-1], [key])

    # --- paths -------------------------------------------------------------------------------------------

    def path(self, row: TreeRow) -> str | None:
        """Return the names from the root to a line, as in keys; None if it has no path or one too long."""
        if row.depth > MAX_DEPTH:
            return None
        if row.is_slot and row.node is not None:
            return self._slot_path(row.node)
        parts: list[str] = []
        length = 0
        at: TreeRow | None = row
        while at is not None and at.parent is not None:
            if at.is_slot and at.node is not None:
                # A slot variable's path is not that of the optimizer it is shown below.
                slot_path = self._slot_path(at.node)
                if slot_path is None:
                    return None
                parts.append(slot_path)
                break
            parts.append(at.part)
            length += len(at.part) + 1
            if length > MAX_PATH:
                return None
            at = at.parent
        return "/".join(reversed(parts))

    def _slot_path(self, node: ObjectNode) -> str | None:
        """Return the path of a slot variable; None if its variable or optimizer is too deep for one."""
        slot = node.slot
        ends = (slot.variable, slot.optimizer) if slot is not None else ()
        rows = [self._places.get(end.id) for end in ends]
        if any(row is None or row.depth > MAX_DEPTH for row in rows):
            return None
        path = node.path
        return path if path is None or len(path) <= MAX_PATH else None


def _is_outside(graph: ObjectGraph, key: str, unreached: set[str]) -> bool:
    """Return whether no object has a tensor, or only one that no other object leads to."""
    return key in unreached or key in graph.nodes_by_key
