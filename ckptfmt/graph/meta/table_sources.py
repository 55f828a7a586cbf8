"""Tables: which tensors of a checkpoint each mutable lookup table of a graph is restored from.

A Saver restores a table as it does a variable, but from two tensors: its keys, and their values::

    LookupTableImportV2(table, keys, values)      keys, values ← Identity … ← RestoreV2:k

In TensorFlow 2 the nodes are in functions that the restore op calls, one within another.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.graph.meta.restore import RestoredTensor, RestoreGraph
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.tables import Fill, Made, Origin, TableKey, Tables
from ckptfmt.proto import messages


class TableSource(NamedTuple):
    """The tensors that a table is restored from."""

    handle: str
    """The table, as an input of a node takes it."""
    keys: str
    """The name of its keys in the checkpoint."""
    values: str
    """The name of their values."""


def table_sources(
    graph: messages.GraphDef, tables: Tables, restore_op: str, file: str
) -> dict[TableKey, TableSource]:
    """Return what each table is restored from when ``restore_op`` runs; if that is empty, by any node.

    Raises the errors of :func:`~ckptfmt.graph.meta.variables.variable_sources`.
    """
    nodes = RestoreGraph(graph.node, file)
    bodies: dict[str | None, RestoreGraph] = {None: nodes}

    def restored(origin: Origin | None) -> RestoredTensor | None:
        maker = tables.maker(origin)
        if maker is None or not isinstance(origin, Made):
            return None
        if origin.function not in bodies:
            bodies[origin.function] = RestoreGraph(tables.nodes_beside(origin), file, in_function=True)
        tensors = bodies[origin.function].restored_tensors(maker)
        return tensors[origin.number] if origin.number < len(tensors) else None

    sources: dict[TableKey, TableSource] = {}
    for node in nodes.leading_to(parse_output(restore_op).node) if restore_op else graph.node:
        restoring: list[Fill] = [fill for fill in tables.fills(node) if tables.is_restored(fill)]
        handles = {origin: text for text, origin in tables.handles(node)} if restoring else {}
        for fill in restoring:
            key, keys, values = tables.key(fill.table), restored(fill.keys), restored(fill.values)
            if key is not None and keys is not None and values is not None and fill.table in handles:
                sources[key] = TableSource(handles[fill.table], keys.name, values.name)
    return sources
