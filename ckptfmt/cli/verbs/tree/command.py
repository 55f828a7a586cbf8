"""``ckptfmt tree``: the objects of a TF2 checkpoint or the scopes of a TF1 checkpoint, with totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

import ckptfmt
from ckptfmt import Checkpoint, Entry, Tensors, errors
from ckptfmt.cli.failures import ExitCode, code_of, describe, message_of
from ckptfmt.cli.options import given_limits, json_option, limits_option, path_argument, wide_option
from ckptfmt.cli.render.output import complain, note, write_json
from ckptfmt.cli.render.text import count_text, escape, shape_text, size_text
from ckptfmt.cli.render.tree import Branch, write_branches
from ckptfmt.cli.selection import Selection, selection_options
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.tree.rows import MAX_DEPTH, Tree, TreeRow

DEFAULT_DEPTH = 64
"""Levels shown unless the user says otherwise: no model has as many, and hostile graphs have millions."""

VALUE = "VARIABLE_VALUE"
"""The attribute of variables, which is not shown because nearly every line would have it."""

UNKNOWN = "?"
"""Shown in place of a tensor's entry that cannot be read."""


@click.command(
    "tree",
    cls=Verb,
    short_help="Show objects or scopes as a tree, with totals.",
    examples=[
        "ckptfmt tree training/",
        "ckptfmt tree training/ --depth 2",
        "ckptfmt tree training/ --weights",
        "ckptfmt tree training/ --json | jq -r '.nodes[] | select(.depth == 1) | [.name, .bytes] | @tsv'",
    ],
    json_keys="""
    {"prefix", "format", "kind": "objects" or "scopes", "nodes": [...], "unreached": [...], "absent": [...],
    "totals": {"tensors", "parameters", "bytes", "unreadable", "hidden", "deeper"}}, and for each line of the
    tree, from top to bottom, {"id", "parent", "depth", "name", "path", "node", "reference": {"id", "path"},
    "keys", "dtype", "shape", "tensors", "parameters", "bytes", "full_name", "slot": {"name", "variable",
    "optimizer"}, "registered_saver": {"name", "object_name"}}.

    "id" and "parent" are numbers of lines; "node", "variable" and "optimizer" are numbers of objects.
    "reference" is the line that shows the object in full, if this one does not. "keys" are the names of its
    own tensors; "dtype" and "shape" are null if it has none, or if its entry cannot be read; then there is an
    "error". "tensors", "parameters" and "bytes" are totals of the line and all below it, shown or not.
    "unreached" are names that belong to no object, "absent" are names that objects have and the checkpoint
    does not. What does not apply is null. A name that is not UTF-8 has its bytes as \\udc80 to \\udcff.
    """,
)
@path_argument
@click.option(
    "--depth",
    type=click.IntRange(0, MAX_DEPTH),
    metavar="N",
    help=f"Show N levels below the root. [default: {DEFAULT_DEPTH}]",
)
@click.option("--all", "with_unused", is_flag=True, help="Include objects that hold no tensors.")
@selection_options
@wide_option
@json_option
@limits_option
def command(path: str, depth: int | None, with_unused: bool, selection: Selection, as_json: bool) -> int:
    """Show the checkpoint at PATH as a tree, with totals for each part.

    A TF2 checkpoint is a tree of objects; a TF1 checkpoint one of scopes, its names split at slashes.

    Each object is shown in full below the first object that leads to it, and as "->" and its path everywhere
    else. Objects that only list others come last; slot variables come below their optimizer, as
    SLOT/VARIABLE. Objects without tensors below them are hidden, and stderr says how many. Tensors that
    belong to no object are listed together at the end. A name that is also a scope has one line for both.

    With --weights, --ema or --names full, a TF2 checkpoint is shown by scopes, too.

    Variables have dtype, shape and size; lines with others below them have totals in parentheses. Each tensor
    is counted once, where it is shown in full, so that the root has the totals of the checkpoint.

    On a terminal the tree is drawn with lines, elsewhere in ASCII. A tensor whose entry is damaged is shown
    with ?, the error goes to stderr, and the exit code is 3.
    """
    limit = DEFAULT_DEPTH if depth is None else depth
    with ckptfmt.open(path, limits=given_limits()) as checkpoint:
        tensors = selection.of(checkpoint)
        view = _build(checkpoint, tensors, limit, with_unused=with_unused)
        if as_json:
            write_json(view.to_json())
        else:
            write_branches(list(view.branches()))
    if view.hidden:
        note(f"{count_text(view.hidden, 'line')} without tensors hidden; pass --all to show them")
    if view.deeper:
        deeper = count_text(view.deeper, "line")
        note(f"{deeper} below depth {limit} hidden; pass a larger --depth to show them")
    if view.absent:
        count = count_text(len(view.absent), "tensor")
        note(f"{count} of objects missing from the checkpoint, the first {view.absent[0]!r}")
    for error in view.damage:
        complain(message_of(error))
    return max(map(code_of, view.damage), default=ExitCode.FINE)


def _build(checkpoint: Checkpoint, tensors: Tensors, limit: int, *, with_unused: bool) -> TreeView:
    # Other names than the stored ones are those of scopes: the objects have the names in the keys.
    graph = checkpoint.object_graph if tensors is checkpoint else None
    tree = Tree(tensors)
    if graph is None:
        # One level more than is shown, to count what is deeper; below that, names need not be split.
        tree.add_scopes(limit + 1)
    else:
        tree.add_objects(graph)
    tree.finish()
    rows = [row for row in tree.rows if row.used or with_unused]
    shown = [row for row in rows if row.depth <= limit]
    return TreeView(
        tree,
        "scopes" if graph is None else "objects",
        shown,
        hidden=len(tree.rows) - len(rows),
        deeper=len(rows) - len(shown),
        unreached=[] if graph is None else graph.unreached,
        absent=() if graph is None else graph.absent,
        damage=[entry for entry in tree.entries.values() if isinstance(entry, errors.CkptfmtError)],
    )


@dataclass(frozen=True)
class TreeView:
    """A tree, and which of its lines are shown."""

    tree: Tree
    kind: str
    """``objects`` or ``scopes``."""
    rows: Sequence[TreeRow]
    """The lines that are shown."""
    hidden: int
    """Lines that are not shown because nothing is stored below them."""
    deeper: int
    """Lines that are not shown because they are too deep."""
    unreached: Sequence[str]
    """Names of tensors that belong to no object."""
    absent: Sequence[str]
    """Names of tensors that objects have and the checkpoint does not."""
    damage: Sequence[errors.CkptfmtError]
    """Why entries cannot be read."""

    def to_json(self) -> dict[str, object]:
        """Return the document of ``--json``."""
        root, checkpoint = self.tree.rows[0], self.tree.checkpoint
        return {
            "prefix": checkpoint.prefix,
            "format": checkpoint.format,
            "kind": self.kind,
            "nodes": [_describe(self.tree, row) for row in self.rows],
            "unreached": self.unreached,
            "absent": self.absent,
            "totals": {
                "tensors": root.tensors,
                "parameters": root.parameters,
                "bytes": root.nbytes,
                "unreadable": len(self.damage),
                "hidden": self.hidden,
                "deeper": self.deeper,
            },
        }

    def branches(self) -> Iterator[Branch]:
        """Iterate over the lines as text."""
        # Of all lines, shown or not: a line keeps its totals if what is below it is cut off.
        rows = self.tree.rows
        parents = {row.parent.number for row in rows if row.parent is not None and row.tensors}
        for row in self.rows:
            has_totals = row.parent is None or row.number in parents
            details = "  ".join(_details(self.tree, row, has_totals=has_totals))
            yield Branch(row.depth, escape(row.name) or '""', details)


def _details(tree: Tree, row: TreeRow, *, has_totals: bool) -> Iterator[str]:
    """Iterate over the parts of a line after its name."""
    if row.target is not None:
        path = tree.path(row.target)
        yield f"-> {UNKNOWN if path is None else escape(path) or '(root)'}"
        return
    for key in row.keys:
        entry = tree.entries[key]
        # Scopes have no attributes: their tensors are variables.
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
    """Return a line for JSON."""
    node, target = row.node, row.target
    entry = tree.entries[row.keys[0]] if row.keys else None
    slot = node.slot if node is not None else None
    saver = node.registered_saver if node is not None else None
    described: dict[str, object] = {
        "id": row.number,
        "parent": row.parent.number if row.parent is not None else None,
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
