"""Pruning: graphs with fewer nodes that compute the same, as TensorFlow's ``graph_util`` makes them.

Functions take a GraphDef and return another one; nothing is executed and nothing of the first is changed.
Source: TensorFlow ``python/framework/graph_util_impl.py``, ``python/tools/strip_unused_lib.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.node import OutputName, parse_output
from ckptfmt.proto import messages

COLOCATION = b"loc:@"
"""What stands before the name of a node with which another one is to be placed, in ``_class``."""

SPLICED = frozenset(("Identity", "StopGradient"))
CHECKS = frozenset(("CheckNumerics",))
"""Ops that hand on their input, and matter in training only."""


def colocated_with(node: messages.NodeDef) -> list[str]:
    """Return the names of the nodes that a node is to be placed with."""
    classes = node.attr["_class"].list.s if "_class" in node.attr else ()
    return [name.removeprefix(COLOCATION).decode("utf-8", "surrogateescape") for name in classes]


def extract_subgraph(graph: messages.GraphDef, outputs: Iterable[str], file: str | None) -> messages.GraphDef:
    """Return the nodes that outputs need, and what these are to be placed with, in their order.

    All functions stay. Raises GraphError where an output, CorruptError where something needed is not there.
    """
    nodes = {node.name: node for node in graph.node}
    waiting = [parse_output(output).node for output in outputs]
    absent = next((name for name in waiting if name not in nodes), None)
    if absent is not None:
        raise GraphError("not in the graph", node=absent)
    kept = set(waiting)
    while waiting:
        node = nodes[waiting.pop()]
        for name in (*(parse_output(text).node for text in node.input), *colocated_with(node)):
            if name in kept:
                continue
            if name not in nodes:
                raise CorruptError(f"node {node.name!r} needs {name!r}, which is not there", file=file)
            kept.add(name)
            waiting.append(name)
    return _with_nodes(graph, (node for node in graph.node if node.name in kept))


def strip_unused(
    graph: messages.GraphDef,
    inputs: Sequence[str],
    outputs: Iterable[str],
    dtypes: Mapping[str, DType],
    file: str | None,
) -> messages.GraphDef:
    """Return the nodes between inputs, which become placeholders of these dtypes, and outputs.

    Raises GraphError where an input is no node; errors as of :func:`extract_subgraph` otherwise.
    """
    for name in inputs:
        if ":" in name:
            raise GraphError("want a node, got one of its outputs", node=name)
    absent = set(inputs).difference(node.name for node in graph.node)
    if absent:
        raise GraphError("not in the graph", node=min(absent))
    wanted = set(inputs)

    def placeholder(node: messages.NodeDef) -> messages.NodeDef:
        new = messages.NodeDef(name=node.name, op="Placeholder")
        new.attr["dtype"].type = dtypes[node.name].code
        for name in ("_output_shapes", "shape"):
            if name in node.attr:
                new.attr[name].CopyFrom(node.attr[name])
        return new

    replaced = _with_nodes(graph, (placeholder(n) if n.name in wanted else n for n in graph.node))
    return extract_subgraph(replaced, outputs, file)


def remove_training_nodes(graph: messages.GraphDef, protected: Iterable[str]) -> messages.GraphDef:
    """Return a graph without nodes that only hand on their input.

    ``CheckNumerics`` always goes, ``Identity`` and ``StopGradient`` where no control input and no placement
    depends on them; ``protected`` nodes stay. Control inputs from what is gone go with it.
    """
    kept = set(protected)
    checks = {node.name for node in graph.node if node.op in CHECKS and node.name not in kept}
    bound: set[str] = set()
    for node in graph.node:
        if node.name in checks:
            continue
        controls = [text[1:] for text in node.input if text.startswith("^") and text[1:] not in checks]
        if controls:
            bound.update(controls, [node.name])
        bound.update(colocated_with(node))
    gone = {
        node.name: node.input[0]
        for node in graph.node
        if node.input
        and not node.input[0].startswith("^")
        and (node.name in checks or (node.op in SPLICED and node.name not in kept | bound))
    }

    def source(text: str) -> str:
        passed = set()
        while (output := parse_output(text)) == OutputName(output.node) and output.node in gone:
            if output.node in passed:
                break  # nodes that hand on each other's value
            passed.add(output.node)
            text = gone[output.node]
        return text

    def spliced(node: messages.NodeDef) -> messages.NodeDef:
        new = messages.NodeDef()
        new.CopyFrom(node)
        inputs = [
            text if text.startswith("^") else source(text)
            for text in node.input
            if not (text.startswith("^") and text[1:] in gone)
        ]
        del new.input[:]
        new.input.extend(inputs)
        return new

    return _with_nodes(graph, (spliced(node) for node in graph.node if node.name not in gone))


def clear_devices(graph: messages.GraphDef) -> messages.GraphDef:
    """Return the graph with no node, of it or of its functions, placed on a device."""
    new = messages.GraphDef()
    new.CopyFrom(graph)
    for nodes in (new.node, *(function.node_def for function in new.library.function)):
        for node in nodes:
            node.ClearField("device")
    return new


def _with_nodes(graph: messages.GraphDef, nodes: Iterable[messages.NodeDef]) -> messages.GraphDef:
    """A graph of these nodes, with the library and the versions of another."""
    new = messages.GraphDef(node=nodes)
    new.library.CopyFrom(graph.library)
    new.versions.CopyFrom(graph.versions)
    new.version = graph.version
    return new
