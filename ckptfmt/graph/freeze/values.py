"""Values: which array each variable gets, and the constant made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.encode import outline_proto
from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import GraphError
from ckptfmt.graph.freeze.partitions import Partitions
from ckptfmt.graph.meta.variables import Source, read_source
from ckptfmt.graph.tensor_content import is_large
from ckptfmt.proto import messages
from ckptfmt.storage.file import is_mapping


def choose_sources(
    nodes: Sequence[messages.NodeDef],
    saved: Mapping[str, Source],
    variables: Mapping[str, Array],
    partitions: Partitions,
) -> dict[str, Source]:
    """Return where the value of each variable comes from, by the name of its node.

    All variables are looked up by their names in the checkpoint or, if any is missing, all by the names of
    their nodes, then by the names that their resources are shared under, and then by either with ``:0``.

    Raises GraphError if a variable has no value by any of these.
    """
    # Kinds of names are never mixed: a Saver can store one variable under the name of another one's node,
    # and a variable would silently get a value that is not its own.
    names = [node.name for node in nodes]
    by_saved_name = {name: saved.get(name, Source(name, None)) for name in names}
    absent = [name for name, source in by_saved_name.items() if source.name not in variables]
    if not absent:
        return by_saved_name
    shared = {node.name: _shared_name(node) for node in nodes}
    for suffix, known_as in product(("", ":0"), (dict(zip(names, names, strict=True)), shared)):
        sources: dict[str, Source] = {}
        for name in names:
            stored = known_as[name] + suffix
            is_stored = stored in variables
            part = None if is_stored else partitions.source(name, variables, suffix)
            if is_stored or part is not None:
                sources[name] = part or Source(stored, None)
        if len(sources) == len(names):
            return sources
    # The error is about the kind of names that the mapping has more of.
    absent = min(absent, [name for name in names if name not in variables], key=len)
    wanted = " or ".join(map(repr, dict.fromkeys([by_saved_name[absent[0]].name, absent[0]])))
    raise GraphError(f"variable has no value: the mapping has no {wanted}", node=absent[0])


def _shared_name(node: messages.NodeDef) -> str:
    """Return the name that a resource is shared under, which stays when its node gets a scope; or its own."""
    shared = node.attr["shared_name"].s if node.op == "VarHandleOp" and "shared_name" in node.attr else b""
    return shared.decode("utf-8", "surrogateescape") or node.name


def variable_dtype(node: messages.NodeDef) -> DType:
    """Return the dtype of the value of a variable."""
    return find_dtype(node.attr["dtype"].type).base_dtype


def read_value(node: messages.NodeDef, source: Source, variables: Mapping[str, Array]) -> Array:
    """Return the value of a variable; GraphError unless its dtype and shape are those of the node."""
    array = read_source(source, variables)
    dtype = variable_dtype(node)
    known = node.attr["shape"].shape if "shape" in node.attr else messages.TensorShapeProto(unknown_rank=True)
    sizes = None if known.unknown_rank else [dim.size for dim in known.dim]
    fits = sizes is None or (
        len(sizes) == array.ndim and all(w in (-1, got) for w, got in zip(sizes, array.shape, strict=True))
    )
    if node.op == "Variable" and sizes == []:
        fits = True  # the oldest kind of variable writes [] for an unknown shape too
    if dtype.storage is Storage.NONE or array.dtype != dtype.numpy or not fits:
        raise GraphError(
            f"value of the variable: got {array.dtype}{list(array.shape)}, want {dtype.name}{sizes}",
            node=node.name,
        )
    return array


def make_constant(node: messages.NodeDef, array: Array, contents: dict[str, memoryview]) -> None:
    """Turn a variable into a constant; large content goes into ``contents``, by the name of the node."""
    name, dtype = node.name, variable_dtype(node)
    node.Clear()
    node.name = name
    fill_constant(node, array, dtype, contents)


def fill_constant(
    node: messages.NodeDef, array: Array, dtype: DType, contents: dict[str, memoryview]
) -> None:
    """Make a node that has nothing but a name a constant; ``contents`` as of :func:`make_constant`."""
    node.op = "Const"
    node.attr["dtype"].type = dtype.code
    tensor = node.attr["value"].tensor
    try:
        content = outline_proto(tensor, array, dtype, array.shape)
    except (TypeError, ValueError) as error:
        raise GraphError(f"value of the constant: {error}", node=node.name) from error
    if content is not None and is_large(content.nbytes):
        # Freezing a checkpoint should not copy gigabytes: the graph keeps a view if the bytes cannot change,
        # or if they are a copy already, made to be contiguous. Others are copied, since the caller may change
        # an array before the graph is written.
        is_safe = _is_immutable(array) or not np.may_share_memory(content, array)
        contents[node.name] = (content if is_safe else content.copy()).data.toreadonly()
    elif content is not None:
        tensor.tensor_content = content.tobytes()


def _is_immutable(array: Array) -> bool:
    """Return whether an array views ``bytes`` or a read-only mapping.

    A read-only array that owns its memory is not immutable: another view of it may be writable.
    """
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return (isinstance(base, bytes) or is_mapping(base)) and memoryview(base).readonly
