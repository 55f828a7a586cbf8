"""Initializers: the nodes to run once, before any other, so that the tables of a graph are filled.

A GraphDef has no place to name them, so they are found by what they do. Any graph has the same ones again
after it has been written and read.
"""

from __future__ import annotations

from collections.abc import Iterable

from ckptfmt.graph.closure import closure
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.tables import Made, Tables
from ckptfmt.proto import messages

_FED = frozenset({"Placeholder", "PlaceholderV2"})
"""Ops that cannot run without being fed."""


def find_initializers(graph: messages.GraphDef, file: str) -> tuple[str, ...]:
    """Return the names of the nodes to run once, in the order of the graph.

    A node counts if it fills a static table that it is given, or if it fills any table and can run without
    being fed. It does not count if it fills a table from a checkpoint, as a Saver does. If a NoOp runs
    several of them and nothing else, it stands for them.
    """
    tables = Tables(graph, file)
    if tables.is_empty:
        return ()
    fed = fed_nodes(graph.node)
    fillers = [node.name for node in graph.node if initializes(tables, node, needs_feeding=node.name in fed)]
    groups, covered = _groups(graph.node, fillers)
    first = groups.union(fillers) - covered
    return tuple(node.name for node in graph.node if node.name in first)


def initializes(tables: Tables, node: messages.NodeDef, *, needs_feeding: bool) -> bool:
    """Return whether a node fills a table, and is meant to do so once, before others run."""
    fills = [fill for fill in tables.fills(node) if not tables.is_restored(fill)]
    # A signature, too, may call a function that fills a table: one that it makes itself, or, with what it is
    # fed, a mutable one.
    return bool(fills) and (
        not needs_feeding
        or any(
            fill.is_initializing and isinstance(fill.table, Made) and fill.table.function is None
            for fill in fills
        )
    )


def fed_nodes(nodes: Iterable[messages.NodeDef]) -> set[str]:
    """Return the names of the nodes that need a placeholder."""
    takers: dict[str, list[str]] = {}
    for node in nodes:
        for text in node.input:
            takers.setdefault(parse_output(text).node, []).append(node.name)
    placeholders = (node.name for node in nodes if node.op in _FED)
    return closure(placeholders, lambda name: takers.get(name, ()))


def _groups(nodes: Iterable[messages.NodeDef], members: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the NoOps that run only members or such NoOps, and the nodes that they run."""
    inputs = {
        node.name: {text[1:] for text in node.input}
        for node in nodes
        if node.op == "NoOp" and node.input and all(text.startswith("^") for text in node.input)
    }
    takers: dict[str, list[str]] = {}
    for name, sources in inputs.items():
        for source in sources:
            takers.setdefault(source, []).append(name)
    missing = {name: len(sources) for name, sources in inputs.items()}
    groups: set[str] = set()
    covered: set[str] = set()
    waiting = list(members)
    while waiting:
        for taker in takers.get(waiting.pop(), ()):
            missing[taker] -= 1
            if not missing[taker]:
                groups.add(taker)
                covered |= inputs[taker]
                waiting.append(taker)
    return groups, covered
