"""``ckptfmt tree``: the objects of a TF2 checkpoint, the scopes of a TF1 checkpoint, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import click

import ckptfmt
from ckptfmt import Checkpoint, Entry, ObjectGraph, ObjectNode, errors
from ckptfmt.cli.failures import ExitCode, code_of, describe, message_of
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.output import complain, note, write_json
from ckptfmt.cli.render.text import count_text, escape, shape_text, size_text
from ckptfmt.cli.render.tree import Branch, write_branches

DEFAULT_DEPTH = 64
"""Levels shown where the user does not say: no model has as many, and hostile graphs have millions."""

MAX_DEPTH = 1000
"""Levels that a user may ask for; each line is four characters longer than the one above it."""

MAX_PATH = 2000
"""Characters of a path that are shown; paths repeat the names on them, and all together may be too long."""

VALUE = "VARIABLE_VALUE"
"""The attribute of variables; it goes without saying."""

UNKNOWN = "?"
"""What is shown of a tensor whose entry cannot be read."""

OUTSIDE = "(in no object)"
"""Title of the group of tensors that belong to no object."""


@dataclass(slots=True, eq=False)
class TreeRow:
    """One line of the tree: an object or a scope, a tensor, or a reference to a line above."""

    number: int
    above: TreeRow | None
    name: str
    """Not escaped."""
    part: str = ""
    """The name as it stands in a path."""
    node: ObjectNode | None = None
    is_slot: bool = False
    """Whether the line above it is its optimizer."""
    target: TreeRow | None = None
    """Where it is shown in full, if not here."""
    keys: list[str] = field(default_factory=list)
    """Tensors of its own, in full and counted here."""
    lost: int = 0
    """Tensors that it should have and that are not in the checkpoint under a key of its own."""
    depth: int = 0
    used: bool = False
    """Whether anything is stored here or below, or below what it refers to."""
    tensors: int = 0
    """Of its own and below, as all totals."""
    parameters: int = 0
    """Elements of numbers."""
    nbytes: int = 0


class Tree:
    """The lines, from top to bottom, each below its own ``above``."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.rows: list[TreeRow] = []
        self.entries: dict[str, Entry | errors.CkptfmtError] = {}
        """Of each tensor its entry, or why there is none."""
        self._places: dict[int, TreeRow] = {}
        """Where each object is shown in full, by its number."""

    def add(
        self, above: TreeRow | None, name: str, part: str | None = None, *, node: ObjectNode | None = None
    ) -> TreeRow:
        """Append a line."""
        row = TreeRow(len(self.rows), above, name, name if part is None else part, node)
        row.depth = above.depth + 1 if above else 0
        self.rows.append(row)
        return row

    def hold(self, row: TreeRow, keys: Iterable[str]) -> None:
        """Give a line tensors of its own; each is counted where it is met first."""
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
        """Add up the totals, once all lines are there, and find what leads to something stored."""
        references: dict[int, list[TreeRow]] = {}
        for row in reversed(self.rows):
            if row.target is not None:
                references.setdefault(row.target.number, []).append(row)
            if row.above is not None:
                row.above.tensors += row.tensors
                row.above.parameters += row.parameters
                row.above.nbytes += row.nbytes
        todo = [row for row in self.rows if row.keys or row.lost or _saver(row)]
        todo.append(self.rows[0])
        while todo:
            row = todo.pop()
            if not row.used:
                row.used = True
                todo += references.get(row.number, ())
                if row.above is not None:
                    todo.append(row.above)

    # --- objects -----------------------------------------------------------------------------------------

    def add_objects(self, graph: ObjectGraph) -> None:
        """Add what a walk over the objects meets; then the tensors that it does not."""
        trail: list[TreeRow] = []
        for visit in graph.walk():
            del trail[visit.depth :]
            above = trail[-1] if trail else None
            name = visit.name if above else self.checkpoint.prefix
            row = self.add(above, name, visit.part, node=visit.node)
            row.is_slot = visit.slot is not None
            trail.append(row)
            if visit.first:
                self._places[visit.node.id] = row
                self._hold_object(row, visit.node)
            else:
                row.target = self._places[visit.node.id]
        root = self.rows[0]
        unreached = set(graph.unreached)
        outside = [key for key in self.checkpoint if key not in self.entries]
        if any(self._is_outside(graph, key, unreached) for key in outside):
            group = self.add(root, OUTSIDE)
            for key in outside:
                if self._is_outside(graph, key, unreached):
                    self.hold(self.add(group, key), [key])
        for key in outside:
            if key not in self.entries:  # the object graph itself
                self.hold(self.add(root, key), [key])

    @staticmethod
    def _is_outside(graph: ObjectGraph, key: str, unreached: set[str]) -> bool:
        """Whether no object has the tensor, or one that no other object leads to."""
        return key in unreached or key in graph.nodes_by_key

    def _hold_object(self, row: TreeRow, node: ObjectNode) -> None:
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
        """Add a line for each scope, and those of the tensors in it; deeper ones are not cut any further."""
        trail = [self.add(None, self.checkpoint.prefix)]
        names: list[str] = []
        split = [(name.split("/", max_depth), name) for name in self.checkpoint]
        for parts, key in sorted(split):
            shared = 0
            for known, part in zip(names, parts, strict=False):
                if known != part:
                    break
                shared += 1
            del trail[shared + 1 :]
            for part in parts[shared:]:
                trail.append(self.add(trail[-1], part))
            names = parts
            self.hold(trail[-1], [key])

    # --- paths -------------------------------------------------------------------------------------------

    def path(self, row: TreeRow) -> str | None:
        """The names from the root to a line, as in keys; None where it has none, or one too long to show."""
        if row.depth > MAX_DEPTH:
            return None
        if row.is_slot and row.node is not None:
            return self._slot_path(row.node)
        parts: list[str] = []
        length = 0
        at: TreeRow | None = row
        while at is not None and at.above is not None:
            if at.is_slot and at.node is not None:
                before = self._slot_path(at.node)
                if before is None:
                    return None
                parts.append(before)
                break
            parts.append(at.part)
            length += len(at.part) + 1
            if length > MAX_PATH:
                return None
            at = at.above
        return "/".join(reversed(parts))

    def _slot_path(self, node: ObjectNode) -> str | None:
        """The path of a slot variable, where its variable and optimizer are not too deep: none is deeper."""
        slot = node.slot
        ends = (slot.variable, slot.optimizer) if slot is not None else ()
        rows = [self._places.get(end.id) for end in ends]
        if any(row is None or row.depth > MAX_DEPTH for row in rows):
            return None
        path = node.path
        return path if path is None or len(path) <= MAX_PATH else None


@click.command(
    "tree",
    short_help="Show objects or scopes as a tree, with totals.",
    epilog="""\b
    Examples:
      ckptfmt tree training/
      ckptfmt tree training/ --depth 2
      ckptfmt tree training/ --json | jq -r '.nodes[] | select(.depth == 1) | [.name, .bytes] | @tsv'

    JSON: {"prefix", "format", "kind": "objects" or "scopes", "nodes": [...], "unreached": [...],
    "absent": [...], "totals": {"tensors", "parameters", "bytes", "unreadable", "hidden", "deeper"}}, and for
    each line of the tree, from top to bottom, {"id", "parent", "depth", "name", "path", "node",
    "reference": {"id", "path"}, "keys", "dtype", "shape", "tensors", "parameters", "bytes", "full_name",
    "slot": {"name", "variable", "optimizer"}, "registered_saver": {"name", "object_name"}}. "id" and
    "parent" are numbers of lines, "node" is the number of the object, as "variable" and "optimizer" are.
    "reference" says where an object is shown in full, if not here. "keys" are the names of its own tensors;
    "dtype" and "shape" are null where it has none, or one that cannot be read, which then has "error".
    "tensors", "parameters" and "bytes" are totals with all that is below, shown or not. "unreached" are
    names that belong to no object, "absent" are names that objects have and the checkpoint does not.
    What does not apply is null. A name that is not UTF-8 has its bytes as \\udc80 to \\udcff.
    """,
)
@path_argument
@click.option(
    "--depth",
    type=click.IntRange(0, MAX_DEPTH),
    metavar="N",
    help=f"Show N levels below the root; {DEFAULT_DEPTH} where not given.",
)
@click.option("--all", "with_unused", is_flag=True, help="Also what has nothing stored below it.")
@json_option
def command(path: str, depth: int | None, with_unused: bool, as_json: bool) -> int:
    """Show the checkpoint at PATH as a tree, and what each part of it adds up to.

    A TF2 checkpoint has objects: each is shown below the object it was met in first, and by "->" and its path
    wherever else it hangs. What only lists other objects comes last, slot variables come below their
    optimizer as SLOT/VARIABLE. Objects below which nothing is stored are hidden; stderr says how many.
    Tensors of no object stand together at the end. In the tree of a TF1 checkpoint the names are split at
    slashes; where a name is also a scope, its line has both.

    Variables have dtype, shape and size; lines with others below have totals in parentheses. Each tensor is
    counted once, where it is shown in full, so that the root has the totals of the checkpoint.

    On a terminal the tree has lines, elsewhere it is ASCII. A tensor whose entry is damaged is shown with ?,
    the error goes to stderr, and the exit code is 3.
    """
    limit = DEFAULT_DEPTH if depth is None else depth
    with ckptfmt.open(path) as checkpoint:
        graph = checkpoint.object_graph
        tree = Tree(checkpoint)
        if graph is None:
            tree.add_scopes(limit + 1)
        else:
            tree.add_objects(graph)
        tree.finish()
        rows = [row for row in tree.rows if row.used or with_unused]
        shown = [row for row in rows if row.depth <= limit]
        hidden, deeper = len(tree.rows) - len(rows), len(rows) - len(shown)
        damage = [entry for entry in tree.entries.values() if isinstance(entry, errors.CkptfmtError)]
        absent = graph.absent if graph is not None else ()
        if as_json:
            root = tree.rows[0]
            write_json(
                {
                    "prefix": checkpoint.prefix,
                    "format": checkpoint.format,
                    "kind": "scopes" if graph is None else "objects",
                    "nodes": [_describe(tree, row) for row in shown],
                    "unreached": graph.unreached if graph is not None else [],
                    "absent": absent,
                    "totals": {
                        "tensors": root.tensors,
                        "parameters": root.parameters,
                        "bytes": root.nbytes,
                        "unreadable": len(damage),
                        "hidden": hidden,
                        "deeper": deeper,
                    },
                }
            )
        else:
            write_branches(list(_branches(tree, shown)))
    if hidden:
        note(f"{count_text(hidden, 'line')} hidden, with nothing stored below; --all shows them")
    if deeper:
        note(f"{count_text(deeper, 'line')} deeper than {limit} not shown; see --depth")
    if absent:
        note(f"{count_text(len(absent), 'tensor')} of objects not in the checkpoint, the first {absent[0]!r}")
    for error in damage:
        complain(message_of(error))
    return max(map(code_of, damage), default=ExitCode.FINE)


def _saver(row: TreeRow) -> bool:
    return row.node is not None and row.target is None and row.node.registered_saver is not None


def _branches(tree: Tree, rows: Sequence[TreeRow]) -> Iterator[Branch]:
    """The lines as text."""
    parents = {row.above.number for row in tree.rows if row.above is not None and row.tensors}
    for row in rows:
        details = "  ".join(_details(tree, row, has_totals=not row.number or row.number in parents))
        yield Branch(row.depth, escape(row.name) or '""', details)


def _details(tree: Tree, row: TreeRow, *, has_totals: bool) -> Iterator[str]:
    if row.target is not None:
        path = tree.path(row.target)
        yield f"-> {UNKNOWN if path is None else escape(path) or '(root)'}"
        return
    for key in row.keys:
        entry = tree.entries[key]
        attribute = key.rpartition("/")[2] if row.node is not None else VALUE
        if attribute != VALUE:
            yield escape(attribute)
        if isinstance(entry, Entry):
            yield f"{entry.dtype.name} {shape_text(entry.shape)}"
            yield size_text(entry.nbytes)
        else:
            yield UNKNOWN
    if row.lost:
        yield f"{count_text(row.lost, 'tensor')} not in the checkpoint"
    saver = row.node.registered_saver if row.node is not None else None
    if saver is not None:
        yield f"saved by {escape(saver.name)} as {escape(saver.object_name)}"
    if has_totals:
        tensors, parameters = count_text(row.tensors, "tensor"), count_text(row.parameters, "parameter")
        yield f"({tensors}, {parameters}, {size_text(row.nbytes)})"


def _describe(tree: Tree, row: TreeRow) -> dict[str, object]:
    """A line for JSON."""
    node, target = row.node, row.target
    entry = tree.entries[row.keys[0]] if row.keys else None
    slot = node.slot if node is not None else None
    saver = node.registered_saver if node is not None else None
    described: dict[str, object] = {
        "id": row.number,
        "parent": row.above.number if row.above is not None else None,
        "depth": row.depth,
        "name": row.name,
        "path": tree.path(row),
        "node": node.id if node is not None else None,
        "reference": {"id": target.number, "path": tree.path(target)} if target is not None else None,
        "keys": row.keys,
        "dtype": entry.dtype.name if isinstance(entry, Entry) else None,
        "shape": entry.shape if isinstance(entry, Entry) else None,
        "tensors": row.tensors,
        "parameters": row.parameters,
        "bytes": row.nbytes,
        "full_name": node.full_name if node is not None else None,
        "slot": slot and {"name": slot.name, "variable": slot.variable.id, "optimizer": slot.optimizer.id},
        "registered_saver": saver and {"name": saver.name, "object_name": saver.object_name},
    }
    if isinstance(entry, errors.CkptfmtError):
        described["error"] = describe(entry)
    return described
