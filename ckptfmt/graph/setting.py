"""Setting: placeholders that become constants, and what these decide.

A graph that was built for both training and inference asks a placeholder, such as ``is_training``, which of
them to do. Once that is a constant, only one branch of each condition runs
(:mod:`ckptfmt.graph.deciding` and, in functions, :mod:`ckptfmt.graph.specializing`). The others are removed:

- A ``Switch`` becomes an ``Identity`` of its input, a ``Merge`` one of its live input. Both keep their names.
- Nodes that never run are removed, and so are control inputs from nodes that only compute the predicate.

Nothing else is computed or removed: all other nodes stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from ckptfmt.arrays.encode import to_proto
from ckptfmt.dtypes import REF_OFFSET, DType, Storage
from ckptfmt.errors import GraphError
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.deciding import Deciding
from ckptfmt.graph.function import Functions
from ckptfmt.graph.node import GraphNode, free_name, parse_output
from ckptfmt.graph.prune import colocated_with
from ckptfmt.graph.scalars import Scalar, scalar_of
from ckptfmt.graph.specializing import Specializer
from ckptfmt.graph.tensor import NodeOutputs
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names

_LAST_SCALAR_MEANS_UNKNOWN = 21
"""The last version of graphs in which a placeholder writes an unknown shape as that of a scalar. Source:
TensorFlow ``core/ops/array_ops.cc``."""


def set_constants(
    graph: messages.GraphDef, values: Mapping[str, Any], functions: Functions, file: str | None
) -> set[str]:
    """Make nodes of a graph constants, remove nodes that then never run, and return the nodes that were set.

    The graph is changed in place.

    Raises GraphError if a node does not exist, or cannot have the value.
    """
    nodes = {node.name: node for node in graph.node}
    names = {_node_name(name, nodes, file): value for name, value in values.items()}
    scalars: dict[str, Scalar] = {}
    version = graph.versions.producer or graph.version
    for name, value in names.items():
        tensor = _set(nodes[name], value, functions, version, file)
        scalar = scalar_of(tensor)
        if scalar is not None:
            scalars[name] = scalar
    deciding = Deciding(graph.node, file)
    try:
        deciding.run(scalars)
    except GraphError as error:
        raise (error if file is None else error.at(file)) from error.__cause__
    before = functions.reached_from(functions.called_by(graph.node))
    Specializer(graph.library, file).specialize(graph, deciding)
    _rewrite(graph, deciding)
    _remove_functions(graph, before, file)
    return set(names)


# --- setting a node --------------------------------------------------------------------------------------


def _node_name(name: str, nodes: Mapping[str, messages.NodeDef], file: str | None) -> str:
    output = parse_output(name)
    if output.node not in nodes:
        placeholders = [node.name for node in nodes.values() if node.op.startswith("Placeholder")]
        close = closest_names(output.node, placeholders) or closest_names(output.node, nodes)
        raise GraphError("not in the graph", node=output.node, file=file, close_matches=close)
    if output.number or name.startswith("^"):
        raise GraphError("only the first output of a node can be set", node=output.node, file=file)
    return output.node


def _set(
    node: messages.NodeDef, value: object, functions: Functions, version: int, file: str | None
) -> messages.TensorProto:
    """Make a node a constant, and return its value."""
    tensors = NodeOutputs(GraphNode(node, file=file), functions.op(node.op))
    tensor = tensors.find(0) if len(tensors) == 1 else None
    dtype = None if tensor is None else tensor.dtype
    if tensor is None or dtype is None or dtype.storage is Storage.NONE or dtype.code >= REF_OFFSET:
        raise GraphError(f"{node.op} cannot be set to a constant", node=node.name, file=file)
    try:
        proto = to_proto(_castable(value, dtype), dtype)
    except (TypeError, ValueError) as error:
        raise GraphError(f"value to set: {error}", node=node.name, file=file) from error
    got = tuple(dim.size for dim in proto.tensor_shape.dim)
    shape = tensor.shape
    if shape == () and node.op == "Placeholder" and version <= _LAST_SCALAR_MEANS_UNKNOWN:
        shape = None
    if not _fits(got, shape):
        want = "[" + ", ".join("?" if size is None else str(size) for size in shape or ()) + "]"
        raise GraphError(f"value to set: got shape {list(got)}, want {want}", node=node.name, file=file)
    name, device = node.name, node.device
    node.Clear()
    node.name, node.op, node.device = name, "Const", device
    node.attr["dtype"].type = dtype.code
    node.attr["value"].tensor.CopyFrom(proto)
    return proto


def _castable(value: object, dtype: DType) -> object:
    """Return a value; TypeError if it has a dtype of its own, for numbers of another kind."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != dtype.numpy:
        if value.dtype.kind in "SU":
            return value.tolist()
        if not np.can_cast(value.dtype, dtype.numpy, "same_kind"):
            raise TypeError(f"got values of {value.dtype}, want {dtype.name}")
    return value


def _fits(got: tuple[int, ...], shape: PartialShape) -> bool:
    if shape is None:
        return True
    return len(got) == len(shape) and all(w in (None, g) for g, w in zip(got, shape, strict=True))


# --- rewriting -------------------------------------------------------------------------------------------


def _rewrite(graph: messages.GraphDef, deciding: Deciding) -> None:
    """Remove the nodes that never run, and the switches that are decided."""
    indexes: dict[str, str] = {}
    """Merge that is decided -> the constant that says which input it returns."""
    added: list[messages.NodeDef] = []
    live = [node for node in graph.node if node.name not in deciding.dead]
    for node in live:
        _remove_colocation(node, deciding.dead)
        inputs = [text for text in node.input if not _is_needless(text, deciding)]
        if node.name in deciding.merges:
            inputs = _merged(node, inputs, deciding)
        elif node.name in deciding.switches:
            inputs = _switched(node, inputs, deciding)
        for i, text in enumerate(inputs):
            output = parse_output(text)
            if text.startswith("^"):
                continue
            if output.node in deciding.switches:
                inputs[i] = output.node
            elif output.number == 1 and output.node in deciding.merges:
                if output.node not in indexes:
                    added.append(_index_of(output.node, deciding))
                    indexes[output.node] = added[-1].name
                inputs[i] = indexes[output.node]
        if inputs != list(node.input):
            del node.input[:]
            node.input.extend(inputs)
    # As copies: deleting the repeated field would take the nodes with it.
    result = messages.GraphDef(node=[*live, *added])
    del graph.node[:]
    graph.node.extend(result.node)


def _remove_functions(graph: messages.GraphDef, before: Set[str], file: str | None) -> None:
    """Remove the functions that were called before and no longer are; others stay, needed or not."""
    functions = Functions(graph.library, file)
    others = functions.keys() - before
    gone = before - functions.reached_from((*functions.called_by(graph.node), *others))
    if not gone:
        return
    kept = messages.FunctionDefLibrary()
    kept.CopyFrom(graph.library)
    del kept.function[:], kept.gradient[:]
    kept.function.extend(each for each in graph.library.function if each.signature.name not in gone)
    kept.gradient.extend(
        each
        for each in graph.library.gradient
        if each.function_name not in gone and each.gradient_func not in gone
    )
    graph.library.CopyFrom(kept)


def _is_needless(text: str, deciding: Deciding) -> bool:
    """Return whether an input is a control input from a node that never runs, or does nothing."""
    return text.startswith("^") and (text[1:] in deciding.dead or deciding.is_plain(text[1:]))


def _merged(node: messages.NodeDef, inputs: list[str], deciding: Deciding) -> list[str]:
    """Make a Merge an Identity, and return its inputs."""
    live = node.input[deciding.merges[node.name]]
    _make_identity(node, 0)
    return [live, *(text for text in inputs if text.startswith("^"))]


def _switched(node: messages.NodeDef, inputs: list[str], deciding: Deciding) -> list[str]:
    """Make a Switch an Identity, and return its inputs."""
    predicate = node.input[1]
    value = deciding.value(predicate)
    controls = [text for text in inputs if text.startswith("^")]
    if value is not None and not value.is_plain:
        controls.append(f"^{parse_output(predicate).node}")
    _make_identity(node, deciding.switches[node.name])
    return [inputs[0], *dict.fromkeys(controls)]


def _make_identity(node: messages.NodeDef, output: int) -> None:
    """Change the op of a node, and keep the shape of one output."""
    node.op = "RefIdentity" if node.op.startswith("Ref") else "Identity"
    for name in ("N", "num_outs"):
        node.attr.pop(name, None)
    if "_output_shapes" in node.attr:
        shapes = node.attr["_output_shapes"].list.shape
        kept = list(shapes)[output : output + 1]
        del shapes[:]
        shapes.extend(kept)


def _index_of(merge: str, deciding: Deciding) -> messages.NodeDef:
    """Return a constant, the number of the input that a Merge returns."""
    node = messages.NodeDef(name=free_name(f"{merge}/value_index", deciding.nodes), op="Const")
    # It is computed when the Merge is, and so in the same round of a loop.
    node.input.append(f"^{merge}")
    node.attr["dtype"].type = messages.DataType.DT_INT32
    node.attr["value"].tensor.CopyFrom(to_proto(deciding.merges[merge], "int32"))
    return node


def _remove_colocation(node: messages.NodeDef, dead: set[str]) -> None:
    if not dead or "_class" not in node.attr:
        return
    classes = node.attr["_class"].list.s
    kept = [each for each, name in zip(classes, colocated_with(node), strict=True) if name not in dead]
    if len(kept) == len(classes):
        return
    del classes[:]
    classes.extend(kept)
    if not kept:
        del node.attr["_class"]
