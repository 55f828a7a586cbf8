"""Scopes: putting graphs together, as ``tf.import_graph_def(name=…, input_map=…)`` does.

Source: TensorFlow ``core/common_runtime/graph_constructor.cc``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.graph.node import OutputName, parse_output
from ckptfmt.graph.prune import COLOCATION
from ckptfmt.proto import messages


def imported(graph: messages.GraphDef, prefix: str, inputs: Mapping[str, str]) -> messages.GraphDef:
    """Return a graph with a prefix before the names of its nodes, and inputs taken from elsewhere.

    ``inputs`` has outputs of this graph, without the prefix, and what is to be taken in their place, with
    none put before it; ``^name`` replaces a control input. Functions keep their names.

    Raises GraphError where what is to be replaced is not in the graph.
    """
    names = {node.name for node in graph.node}
    outputs: dict[OutputName, str] = {}
    controls: dict[str, str] = {}
    for old, new in inputs.items():
        output = parse_output(old)
        if output.node not in names:
            raise GraphError("not in the graph, so that nothing takes it", node=output.node)
        if old.startswith("^"):
            controls[output.node] = parse_output(new).node
        else:
            outputs[output] = _written(parse_output(new))
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
                node.input[i] = _written(output._replace(node=prefix + output.node))
        if prefix and "_class" in node.attr:
            classes = node.attr["_class"].list.s
            for i, name in enumerate(classes):
                if name.startswith(COLOCATION):
                    classes[i] = COLOCATION + prefix.encode() + name.removeprefix(COLOCATION)
    return result


def _written(output: OutputName) -> str:
    """An input as TensorFlow writes it: of output 0 the node's name alone."""
    return output.node if output.number == 0 else f"{output.node}:{output.number}"


def merged(graphs: Sequence[messages.GraphDef]) -> messages.GraphDef:
    """Return one graph of the nodes of all, of the versions that all can be read with.

    Raises
    ------
    NameConflictError
        Several have a node of one name, or different functions of one name.
    """
    result = messages.GraphDef()
    owners: dict[str, list[str]] = {}
    functions: dict[str, messages.FunctionDef] = {}
    gradients: dict[str, str] = {}
    clashes: dict[str, list[str]] = {}
    for number, graph in enumerate(graphs):
        for node in graph.node:
            owners.setdefault(node.name, []).append(f"graph {number}")
        result.node.extend(graph.node)
        for function in graph.library.function:
            name = function.signature.name
            if functions.setdefault(name, function) != function:
                clashes.setdefault(name, ["another function"]).append(f"the function of graph {number}")
        for gradient in graph.library.gradient:
            name = gradient.function_name
            if gradients.setdefault(name, gradient.gradient_func) != gradient.gradient_func:
                clashes.setdefault(name, ["another gradient"]).append(f"the gradient of graph {number}")
    clashes.update((name, several) for name, several in owners.items() if len(several) > 1)
    if clashes:
        raise NameConflictError("several graphs have it", names=clashes)
    result.library.function.extend(functions.values())
    for name, gradient_name in gradients.items():
        result.library.gradient.add(function_name=name, gradient_func=gradient_name)
    versions = [graph.versions for graph in graphs]
    result.versions.producer = min((each.producer for each in versions), default=0)
    result.versions.min_consumer = max((each.min_consumer for each in versions), default=0)
    result.versions.bad_consumers.extend(sorted({bad for each in versions for bad in each.bad_consumers}))
    return result
