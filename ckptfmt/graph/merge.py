"""Merging: graphs put together, as ``tf.import_graph_def(name=…, input_map=…)`` does.

First :func:`import_graph` writes a graph as it would look inside another one: each node has a prefix before
its name, and so has every mention of a node, in inputs, control inputs and colocations. Then
:func:`merge_graphs` joins graphs whose names are distinct.

Source: TensorFlow ``core/common_runtime/graph_constructor.cc``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.graph.node import OutputName, parse_output
from ckptfmt.graph.prune import COLOCATION
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names


def import_graph(
    graph: messages.GraphDef, prefix: str, inputs: Mapping[str, str], file: str | None
) -> messages.GraphDef:
    """Return a graph with a prefix before the names of its nodes, and inputs taken from other tensors.

    ``inputs`` maps outputs of this graph, without the prefix, to the tensors that take their place, which get
    no prefix; ``^name`` replaces a control input. Functions keep their names.

    Raises GraphError if an output to replace is not in the graph.
    """
    names = {node.name for node in graph.node}
    outputs: dict[OutputName, str] = {}
    controls: dict[str, str] = {}
    for old, new in inputs.items():
        output = parse_output(old)
        if output.node not in names:
            what = "not in the graph, so no node takes an input from it"
            close = closest_names(output.node, names)
            raise GraphError(what, node=output.node, file=file, close_matches=close)
        if old.startswith("^"):
            controls[output.node] = parse_output(new).node
        else:
            outputs[output] = _format_input(parse_output(new))
    result = messages.GraphDef()
    result.CopyFrom(graph)
    for node in result.node:
        node.name = prefix + node.name
        for i, text in enumerate(node.input):
            output = parse_output(text)
            if text.startswith("^"):
                node.input[i] = f"^{controls.get(output.node, prefix + output.node)}"
            elif output in outputs:
                node.input[i] = outputs[output]
            else:
                node.input[i] = _format_input(output._replace(node=prefix + output.node))
        if prefix and "_class" in node.attr:
            classes = node.attr["_class"].list.s
            for i, name in enumerate(classes):
                if name.startswith(COLOCATION):
                    classes[i] = COLOCATION + prefix.encode() + name.removeprefix(COLOCATION)
    return result


def _format_input(output: OutputName) -> str:
    """Return an input as TensorFlow writes it: output 0 is the node's name alone."""
    return output.node if output.number == 0 else f"{output.node}:{output.number}"


def merge_graphs(graphs: Sequence[messages.GraphDef]) -> messages.GraphDef:
    """Return one graph with the nodes of all; its versions are those of readers that can read all of them.

    Raises
    ------
    NameConflictError
        Several have a node of the same name, or different functions or gradients of the same name. All such
        names are found before it is raised.
    """
    result = messages.GraphDef()
    owners: dict[str, list[str]] = {}
    functions: dict[str, messages.FunctionDef] = {}
    gradients: dict[str, str] = {}
    conflicts: dict[str, list[str]] = {}
    for number, graph in enumerate(graphs):
        for node in graph.node:
            owners.setdefault(node.name, []).append(f"graph {number}")
        result.node.extend(graph.node)
        # Graphs of one program share functions, so the same function twice is not a conflict.
        for function in graph.library.function:
            name = function.signature.name
            if functions.setdefault(name, function) != function:
                conflicts.setdefault(name, ["another function"]).append(f"the function of graph {number}")
        for gradient in graph.library.gradient:
            name = gradient.function_name
            if gradients.setdefault(name, gradient.gradient_func) != gradient.gradient_func:
                conflicts.setdefault(name, ["another gradient"]).append(f"the gradient of graph {number}")
    conflicts.update((name, several) for name, several in owners.items() if len(several) > 1)
    if conflicts:
        raise NameConflictError("names used in several graphs", names=conflicts)
    result.library.function.extend(functions.values())
    for name, gradient_name in gradients.items():
        result.library.gradient.add(function_name=name, gradient_func=gradient_name)
    # As TensorFlow merges versions: a reader has to understand the oldest producer, and to be as new as any
    # of the graphs asks for.
    versions = [graph.versions for graph in graphs]
    result.versions.producer = min((each.producer for each in versions), default=0)
    result.versions.min_consumer = max((each.min_consumer for each in versions), default=0)
    result.versions.bad_consumers.extend(sorted({bad for each in versions for bad in each.bad_consumers}))
    return result
