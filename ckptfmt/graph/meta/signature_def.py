"""SignatureDefs from what people write: the names of inputs and outputs, each with a tensor of the graph.

::

    {"inputs": {"x": "x:0"}, "outputs": {"scores": "softmax:0"}}

Dtypes and shapes come from the graph. Source: TensorFlow ``python/saved_model/signature_def_utils_impl.py``,
``utils_impl.py: build_tensor_info``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ckptfmt.arrays.encode import to_proto
from ckptfmt.errors import CkptfmtError, GraphError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.node_builder import fill_shape
from ckptfmt.graph.meta.signature import CompositeTensor, Signature, SparseTensor, TensorInfo
from ckptfmt.graph.tensor import GraphTensor
from ckptfmt.proto import messages

PREDICT = "tensorflow/serving/predict"
"""The method of signatures that take and return anything."""

TensorLike: TypeAlias = (
    "str | GraphTensor | SparseTensor | CompositeTensor | TensorInfo | messages.TensorInfo"
)
"""A tensor of a graph, by name (``x:0``, or ``x`` for the first output of a node) or as an object."""

SignatureLike: TypeAlias = "Mapping[str, Any] | Signature | messages.SignatureDef"
"""A mapping with ``inputs`` and ``outputs``, each a mapping of names to tensors, and maybe ``method`` and
``defaults``; or a signature that was read."""

_KEYS = ("inputs", "outputs", "method", "method_name", "defaults")


def encode_signature(signature: SignatureLike, graph: Graph, name: str = "") -> messages.SignatureDef:
    """Return a signature of a graph as a SignatureDef; errors call it ``name``.

    Raises
    ------
    NameNotFoundError
        A tensor is not in the graph; it is a TensorNotFoundError if only its node is.
    GraphError
        The signature is neither of the accepted forms, or the graph does not say the dtype of a tensor.
    """
    if isinstance(signature, messages.SignatureDef):
        return signature
    label = f"signature {name!r}"
    given: Any = signature._asdict() if isinstance(signature, Signature) else signature
    if not isinstance(given, Mapping) or not {"inputs", "outputs"} & set(given):
        raise GraphError(f"{label}: got {given!r:.200}, want a mapping with 'inputs' and 'outputs'")
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise GraphError(f"{label}: got {unknown[0]!r:.200}, want one of {', '.join(map(repr, _KEYS))}")
    content: dict[str, Any] = dict(given)
    for part in ("inputs", "outputs", "defaults"):
        if not hasattr(content.get(part, {}), "items"):
            raise GraphError(
                f"{label}: {part}: got {content[part]!r:.200}, want a mapping of names to tensors"
            )
    method = content.get("method", content.get("method_name", PREDICT))
    result = messages.SignatureDef(method_name=method)
    try:
        for key, tensor in content.get("inputs", {}).items():
            result.inputs[key].CopyFrom(encode_tensor_info(tensor, graph))
        for key, tensor in content.get("outputs", {}).items():
            result.outputs[key].CopyFrom(encode_tensor_info(tensor, graph))
        for key, value in content.get("defaults", {}).items():
            default = to_proto(value, result.inputs[key].dtype if key in result.inputs else None)
            result.defaults[key].CopyFrom(default)
    except CkptfmtError as error:
        raise error.at(graph.file or "graph", label=label) from error.__cause__
    return result


def encode_tensor_info(tensor: TensorLike, graph: Graph) -> messages.TensorInfo:
    """Return a tensor of a graph as a TensorInfo, with its dtype and, as far as the graph has it, its shape.

    Raises the errors of :func:`encode_signature`.
    """
    if isinstance(tensor, messages.TensorInfo):
        return tensor
    if isinstance(tensor, TensorInfo):
        info = messages.TensorInfo(dtype=tensor.dtype.code)
        fill_shape(info.tensor_shape, tensor.shape)
        _fill_encoding(info, tensor.tensor, graph)
        return info
    info = messages.TensorInfo()
    if isinstance(tensor, str) and _is_operation(tensor, graph):
        info.name = tensor
        fill_shape(info.tensor_shape, None)
        return info
    _fill_encoding(info, tensor, graph)
    if isinstance(tensor, CompositeTensor):
        raise GraphError("the graph does not say the dtype of a composite tensor: pass a TensorInfo")
    # A sparse tensor has the dtype of its values; its shape is the content of another tensor.
    main = tensor.values if isinstance(tensor, SparseTensor) else tensor
    known = main if isinstance(main, GraphTensor) else graph.tensor(main)
    if known.dtype is None:
        raise GraphError("its dtype is not known: pass a TensorInfo", node=known.name)
    info.dtype = known.dtype.code
    fill_shape(info.tensor_shape, None if isinstance(tensor, SparseTensor) else known.shape)
    return info


def _is_operation(name: str, graph: Graph) -> bool:
    """Whether a name is that of a node without outputs, such as the init op that a signature names."""
    op = graph.functions.op(graph[name].op) if name in graph else None
    return op is not None and not op.output_arg


def _fill_encoding(info: messages.TensorInfo, tensor: object, graph: Graph) -> None:
    """Say in a TensorInfo which tensor it is of; each tensor must exist in the graph."""
    if isinstance(tensor, SparseTensor):
        names = (graph.tensor(name).name for name in tensor)
        sparse = info.coo_sparse
        sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name = names
    elif isinstance(tensor, CompositeTensor):
        info.composite_tensor.type_spec.CopyFrom(tensor.type_spec)
        for component in tensor.components:
            info.composite_tensor.components.append(encode_tensor_info(component, graph))
    elif isinstance(tensor, str) and _is_operation(tensor, graph):
        info.name = tensor
    elif isinstance(tensor, str | GraphTensor):
        info.name = graph.tensor(tensor if isinstance(tensor, str) else tensor.name).name
    elif tensor is not None:
        raise GraphError(f"got {tensor!r:.200}, want the name of a tensor")
