"""Replacing: the node that a node becomes when it takes the value of a variable instead of its handle.

=====================================  ==============================================================
node                                   becomes
=====================================  ==============================================================
ReadVariableOp                         Identity
ResourceGather, ResourceGatherNd       GatherV2 with a constant axis, GatherNd
VariableShape                          Shape
VarIsInitializedOp and similar ops     a constant, true
=====================================  ==============================================================

A node keeps its name, so that edges to it stay, its colocation, and the inputs that its new op takes. It
loses its control inputs, which said when to read: a constant has the same value at all times.

Source: TensorFlow ``python/framework/convert_to_constants.py``, the classes ``_ReadVariable``,
``_ResourceGather`` and ``_ResourceGatherNd``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ckptfmt.arrays.encode import fill_proto, to_proto
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import GraphError
from ckptfmt.graph.freeze.body import Body
from ckptfmt.proto import messages

_INDEX_DTYPES = (messages.DataType.DT_INT32, messages.DataType.DT_INT64)


def _replace(node: messages.NodeDef, op: str, inputs: Iterable[str], types: Mapping[str, int]) -> None:
    """Turn a node into one of another op; only its name and colocation stay."""
    name, inputs = node.name, list(inputs)
    colocation = list(node.attr["_class"].list.s) if "_class" in node.attr else []
    node.Clear()
    node.name, node.op = name, op
    node.input.extend(inputs)
    for attribute, code in types.items():
        node.attr[attribute].type = code
    if colocation:
        node.attr["_class"].list.s.extend(colocation)


def _replace_read(body: Body, node: messages.NodeDef, dtype: DType) -> None:
    _replace(node, "Identity", node.input[:1], {"T": node.attr["dtype"].type})
    # ReadVariableOp calls its output "value", Identity "output". Gathers need no renaming: both ops say
    # "output".
    body.rename_output(node, "value", "output")


def _check_gather(node: messages.NodeDef) -> None:
    indices = node.attr["Tindices"].type
    if len(node.input) < 2 or indices not in _INDEX_DTYPES:
        raise GraphError(
            f"{node.op}: got {len(node.input)} inputs and indices of {find_dtype(indices).name}, "
            "want 2 and int32 or int64",
            node=node.name,
        )


def _replace_gather(body: Body, node: messages.NodeDef, dtype: DType) -> None:
    _check_gather(node)
    batch_dims = node.attr["batch_dims"].i
    if batch_dims < 0:
        # Counted from the rank of the indices, which the graph need not say.
        raise GraphError(f"ResourceGather with batch_dims {batch_dims} cannot be frozen", node=node.name)
    indices = node.attr["Tindices"].type
    # ResourceGather gathers along the first axis after the batch; GatherV2 takes the axis as an input.
    axis = body.add_constant(f"{node.name}/axis", to_proto(batch_dims, find_dtype(indices)))
    types = {"Tparams": node.attr["dtype"].type, "Tindices": indices, "Taxis": indices}
    _replace(node, "GatherV2", [*node.input[:2], axis], types)
    if batch_dims:
        node.attr["batch_dims"].i = batch_dims


def _replace_gather_nd(body: Body, node: messages.NodeDef, dtype: DType) -> None:
    _check_gather(node)
    types = {"Tparams": node.attr["dtype"].type, "Tindices": node.attr["Tindices"].type}
    _replace(node, "GatherNd", node.input[:2], types)


def _replace_shape(body: Body, node: messages.NodeDef, dtype: DType) -> None:
    out = node.attr["out_type"].type or messages.DataType.DT_INT32
    _replace(node, "Shape", node.input[:1], {"T": dtype.code, "out_type": out})


def _replace_question(body: Body, node: messages.NodeDef, dtype: DType) -> None:
    """Answer whether a variable has a value: a constant has one."""
    boolean = find_dtype(messages.DataType.DT_BOOL)
    _replace(node, "Const", [], {"dtype": boolean.code})
    fill_proto(node.attr["value"].tensor, np.asarray(True), boolean, ())
    body.rename_output(node, "is_initialized", "output")


REPLACEMENTS: Mapping[str, Callable[[Body, messages.NodeDef, DType], None]] = {
    "ReadVariableOp": _replace_read,
    "ResourceGather": _replace_gather,
    "ResourceGatherNd": _replace_gather_nd,
    "VariableShape": _replace_shape,
    "VarIsInitializedOp": _replace_question,
    "IsVariableInitialized": _replace_question,
}
"""Op -> the function that replaces a node of it in a body, given the dtype of the variable.

No such op has an output that is a handle, so propagation ends at these nodes. An op added here must not have
one either.
"""
