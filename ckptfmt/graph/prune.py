"""Pruning: graphs with fewer nodes that compute the same, as TensorFlow's ``graph_util`` makes them.

Each function takes a GraphDef and returns another one; nothing is executed, and the given one is not changed.
The nodes that stay keep their order, and all functions of the library stay, needed or not.

Source: TensorFlow ``python/framework/graph_util_impl.py``, ``python/tools/strip_unused_lib.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.node import OutputName, parse_output
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names

COLOCATION = b"loc:@"
"""Precedes, in the attribute ``_class``, the name of a node to be placed with."""

IDENTITIES = frozenset(("Identity", "StopGradient"))
"""Ops that pass on their input, and matter in training only."""

CHECKS = frozenset(("CheckNumerics",))
"""Ops that pass on their input after they have checked it."""


def colocated_with(node: messages.NodeDef) -> list[str]:
    """Return the names of the nodes that a node is to be placed with."""
    classes = node.attr["_class"].list.s if "_class" in node.attr else ()
    return [name.removeprefix(COLOCATION).decode("utf-8", "surrogateescape") for name in classes]


def extract_subgraph(graph: messages.GraphDef, outputs: Iterable[str], file: str | None) -> messages.GraphDef:
    """Return the nodes that outputs need, and those that these are to be placed with.

    Raises GraphError if an output does not exist, CorruptError if a node that it needs does not.
    """
    kept = needed_nodes({node.name: node for node in graph.node}, outputs, file)
    return _with_nodes(graph, (node for node in graph.node if node.name in kept))


def needed_nodes(
    nodes: Mapping[str, messages.NodeDef],
    outputs: Iterable[str],
    file: str | None,
    known: Set[str] = frozenset(),
) -> set[str]:
    """Return the names of the nodes that outputs need, except those known to be needed already.

    Raises the errors of :func:`extract_subgraph`.
    """
    waiting = [parse_output(output).node for output in outputs]
    absent = next((name for name in waiting if name not in nodes), None)
    if absent is not None:
        close = closest_names(absent, nodes)
        raise GraphError("not in the graph", node=absent, file=file, close_matches=close)
    waiting = [name for name in waiting if name not in known]
    kept = set(waiting)
    while waiting:
        node = nodes[waiting.pop()]
        # A node that another one is placed with has to stay: TensorFlow refuses a graph in which a colocation
        # leads nowhere.
        for name in (*(parse_output(text).node for text in node.input), *colocated_with(node)):
            if name in kept or name in known:
                continue
            if name not in nodes:
                raise CorruptError(f"node {node.name!r} needs {name!r}, which does not exist", file=file)
            kept.add(name)
            waiting.append(name)
    return kept


def strip_unused(
    graph: messages.GraphDef,
    inputs: Sequence[str],
    outputs: Iterable[str],
    dtypes: Mapping[str, DType],
    file: str | None,
) -> messages.GraphDef:
    """Return the nodes between inputs, which become placeholders of these dtypes, and outputs.

    A placeholder has no inputs, so the nodes before it are no longer needed. Raises GraphError if an input is
    not a node, and the errors of :func:`extract_subgraph`.
    """
    for name in inputs:
        if ":" in name:
            raise GraphError("got one of its outputs, want the node itself", node=name, file=file)
    names = {node.name for node in graph.node}
    absent = next((name for name in inputs if name not in names), None)
    if absent is not None:
        close = closest_names(absent, names)
        raise GraphError("not in the graph", node=absent, file=file, close_matches=close)
    fed = set(inputs)
    nodes = (_placeholder(node, dtypes[node.name]) if node.name in fed else node for node in graph.node)
    return extract_subgraph(_with_nodes(graph, nodes), outputs, file)


def _placeholder(node: messages.NodeDef, dtype: DType) -> messages.NodeDef:
    """Return a placeholder with the name of a node, and its shape if the node says it."""
    placeholder = messages.NodeDef(name=node.name, op="Placeholder")
    placeholder.attr["dtype"].type = dtype.code
    for name in ("_output_shapes", "shape"):
        if name in node.attr:
            placeholder.attr[name].CopyFrom(node.attr[name])
    return placeholder


def remove_training_nodes(graph: messages.GraphDef, protected: Iterable[str]) -> messages.GraphDef:
    """Return a graph without nodes that only pass on their input.

    ``CheckNumerics`` is always removed, ``Identity`` and ``StopGradient`` unless a control input or a
    placement depends on them; ``protected`` nodes stay. Control inputs from removed nodes go with them.
    """
    inputs = _removable(graph, set(protected))
    return _with_nodes(
        graph, (_without_removed(node, inputs) for node in graph.node if node.name not in inputs)
    )


def _removable(graph: messages.GraphDef, protected: set[str]) -> dict[str, str]:
    """Return the input of each node that can be removed, by the node's name."""
    checks = {node.name for node in graph.node if node.op in CHECKS and node.name not in protected}
    # A node that has control inputs, or is one, decides when others run: a node that took its input directly
    # would run too early. A node that others are placed with has to exist.
    bound: set[str] = set()
    for node in graph.node:
        if node.name in checks:
            continue
        # A control input from a check goes with the check, so it binds nothing.
        controls = [text[1:] for text in node.input if text.startswith("^") and text[1:] not in checks]
        if controls:
            bound.update(controls, [node.name])
        bound.update(colocated_with(node))
    kept = protected | bound
    # A node without a data input has nothing to pass on; such a damaged one stays as it is.
    return {
        node.name: node.input[0]
        for node in graph.node
        if node.input
        and not node.input[0].startswith("^")
        and (node.name in checks or (node.op in IDENTITIES and node.name not in kept))
    }


def _without_removed(node: messages.NodeDef, removed: Mapping[str, str]) -> messages.NodeDef:
    """Return a copy of a node that takes its inputs from before the removed nodes."""
    new = messages.NodeDef()
    new.CopyFrom(node)
    inputs = [
        text if text.startswith("^") else _before_removed(text, removed)
        for text in node.input
        if not (text.startswith("^") and text[1:] in removed)
    ]
    del new.input[:]
    new.input.extend(inputs)
    return new


def _before_removed(text: str, removed: Mapping[str, str]) -> str:
    """Return the input that replaces an input, once the removed nodes between them are skipped."""
    passed = set()
    # Only output 0 exists of such nodes; an input of any other is damaged and stays as it is.
    while (output := parse_output(text)) == OutputName(output.node) and output.node in removed:
        if output.node in passed:
            break  # a cycle of nodes that pass on each other's value
        passed.add(output.node)
        text = removed[output.node]
    return text


def clear_devices(graph: messages.GraphDef) -> messages.GraphDef:
    """Return the graph with no node placed on a device, not even in functions."""
    new = messages.GraphDef()
    new.CopyFrom(graph)
    for nodes in (new.node, *(function.node_def for function in new.library.function)):
        for node in nodes:
            node.ClearField("device")
    return new


def _with_nodes(graph: messages.GraphDef, nodes: Iterable[messages.NodeDef]) -> messages.GraphDef:
    """Return a graph of these nodes, with the library and the versions of another."""
    new = messages.GraphDef(node=nodes)
    new.library.CopyFrom(graph.library)
    new.versions.CopyFrom(graph.versions)
    new.version = graph.version
    return new
