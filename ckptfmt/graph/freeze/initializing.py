"""Initialising: the parts of a graph that run only before its outputs do.

A model of TensorFlow 1 that TensorFlow 2 has saved again initialises all in one function: tables, and
variables too. There, an assignment to a variable has nothing to do in a frozen graph. Anywhere else it writes
the variable on the way to an output.
"""

from __future__ import annotations

from collections.abc import Iterable

from ckptfmt.graph.graph import Graph
from ckptfmt.graph.prune import needed_nodes


def initializing(graph: Graph, outputs: Iterable[str]) -> set[tuple[str | None, str | None]]:
    """Return the nodes that outputs do not need, as ``(None, node)``, and functions, ``(name, None)``."""
    nodes = {node.name: node for node in graph._outline.message.node}
    needed = needed_nodes(nodes, outputs, graph.file)
    others = set(nodes) - needed
    if not others:
        return set()
    functions = graph.functions
    used, called = (
        set(functions.reached_from(functions.called_by(nodes[name] for name in names)))
        for names in (needed, others)
    )
    return {*((None, name) for name in others), *((name, None) for name in called - used)}
