"""Saved variables: what the Saver of a ``.meta`` file restores, with dtypes and shapes.

They are found by following the Saver's restore op. TensorFlow restores a graph that was exported without a
Saver with a new Saver for the collection ``variables``, so that collection counts then.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.meta.restore import ASSIGN_OPS, RestoreGraph, base_dtype
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import RESTORE_OPS, VARIABLE_OPS
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message


class SavedVariable(NamedTuple):
    """What a graph says about a tensor in its checkpoint."""

    dtype: DType
    """Its dtype."""
    shape: PartialShape
    """Its full shape, even if it is saved in parts."""


def saved_variables(meta: messages.MetaGraphDef, file: str) -> dict[str, SavedVariable]:
    """Return what the Saver of a MetaGraphDef restores, by name in the checkpoint.

    Raises
    ------
    CorruptError
        The graph refers to a node that does not exist, or contradicts itself about a tensor.
    GraphError
        The graph has variables, but neither a Saver nor a collection says which of them are saved; or names
        are computed when the graph runs.
    """
    graph = RestoreGraph(meta.graph_def.node, file)
    variables = _restored_by(graph, meta.saver_def.restore_op_name)
    if variables:
        return variables
    if "variables" in meta.collection_def:
        return _collected(graph, meta.collection_def["variables"])
    if any(node.op in VARIABLE_OPS for node in meta.graph_def.node):
        raise GraphError("neither a Saver nor a collection says which variables are saved", file=file)
    return {}


def _restored_by(graph: RestoreGraph, restore_op: str) -> dict[str, SavedVariable]:
    """Return what a Saver's restore op restores, in its order; nothing if it leads to no op that restores."""
    if not restore_op:
        return {}
    restores: dict[str, messages.NodeDef] = {}
    assigned: dict[tuple[str, int], list[messages.NodeDef]] = {}
    for node in graph.leading_to(parse_output(restore_op).node):
        if node.op in RESTORE_OPS:
            restores[node.name] = node
        elif node.op in ASSIGN_OPS:
            value = graph.input(node, 1)
            variable = graph.input(node, 0).node
            if value.node.op in RESTORE_OPS and variable.op in VARIABLE_OPS:
                assigned.setdefault((value.node.name, value.number), []).append(variable)
    variables: dict[str, SavedVariable] = {}
    for node in restores.values():
        for index, tensor in enumerate(graph.restored_tensors(node)):
            # A slice says the full shape. Without a slice, the shape is that of the variables that the tensor
            # is assigned to; it is unknown if something is computed from the tensor before the assignment.
            shapes: list[PartialShape] = [None if tensor.full_shape is None else tuple(tensor.full_shape)]
            if tensor.full_shape is None:
                shapes += map(variable_shape, assigned.get((node.name, index), ()))
            for shape in shapes:
                _add(variables, tensor.name, SavedVariable(tensor.dtype, shape), graph.file)
    return variables


def _collected(graph: RestoreGraph, collection: messages.CollectionDef) -> dict[str, SavedVariable]:
    """Return the variables of a collection, by the names that a Saver of all of them gives them."""
    variables: dict[str, SavedVariable] = {}
    for data in collection.bytes_list.value:
        variable = parse_message(messages.VariableDef, data, graph.file, None)
        node = graph.node(parse_output(variable.variable_name).node)
        name, shape = node.name, variable_shape(node)
        if variable.save_slice_info_def.full_name:
            name = variable.save_slice_info_def.full_name
            shape = tuple(variable.save_slice_info_def.full_shape)
        dtype = base_dtype(node.attr["dtype"].type if "dtype" in node.attr else 0)
        _add(variables, name, SavedVariable(dtype, shape), graph.file)
    return variables


def _add(variables: dict[str, SavedVariable], name: str, new: SavedVariable, file: str) -> None:
    """Combine what is known of a tensor with what was known before; CorruptError if they contradict."""
    known = variables.get(name)
    if known is not None:
        shape = _merge_shapes(known.shape, new.shape)
        if known.dtype != new.dtype or shape is _CONTRADICTION:
            raise CorruptError(
                f"tensor {name!r} is restored as {known.dtype.name} of shape {known.shape} "
                f"and as {new.dtype.name} of shape {new.shape}",
                file=file,
            )
        new = SavedVariable(new.dtype, shape)
    variables[name] = new


def variable_shape(node: messages.NodeDef) -> PartialShape:
    """Return the shape of a variable that its node says."""
    if "shape" not in node.attr or node.attr["shape"].WhichOneof("value") != "shape":
        return None
    shape = decode_shape(node.attr["shape"].shape)
    if node.op == "Variable" and shape == ():
        # The oldest kind of variable has [] for an unknown shape too. The shape that TensorFlow inferred
        # tells them apart.
        inferred = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
        return decode_shape(inferred[0]) if inferred else None
    return shape


_CONTRADICTION = (-1,)
"""Stands for two shapes that contradict each other; no real shape has a size of -1."""


def _merge_shapes(a: PartialShape, b: PartialShape) -> PartialShape:
    """Return the shape that agrees with both, or :data:`_CONTRADICTION`."""
    if a is None or b is None:
        return b if a is None else a
    if len(a) != len(b) or any(p != q and p is not None and q is not None for p, q in zip(a, b, strict=True)):
        return _CONTRADICTION
    return tuple(q if p is None else p for p, q in zip(a, b, strict=True))
