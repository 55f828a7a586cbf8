"""Constants of memory-mapped graphs: nodes ``ImmutableConst`` become the ``Const`` nodes that they once were.

TensorFlow's converter moved the bytes of each large constant into a region of the file, and left the node::

    Const(value, dtype)    ->    ImmutableConst(dtype, shape, memory_region_name)

Their bytes stay in the file: the outline has views of it if the file system maps files. Source: TensorFlow
``contrib/util/convert_graphdef_memmapped_format_lib.cc``, ``core/kernels/immutable_constant_op.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ckptfmt.dtypes import find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.attributes import decode_shape
from ckptfmt.graph.tensor_content import has_tensor, is_large
from ckptfmt.limits import Limits
from ckptfmt.memmapped import PREFIX, Region
from ckptfmt.proto import messages
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.text.quoting import shortened

OP = "ImmutableConst"


def restore_constants(
    graph: messages.GraphDef, file: RandomAccessFile, regions: Mapping[str, Region], limits: Limits
) -> dict[int, memoryview]:
    """Turn the constants of a graph that are in regions into ``Const`` nodes.

    Returns the bytes of the large ones by the numbers of their nodes; the message lacks them. Constants in
    other files, and nodes of other operations, stay as they are.

    Raises
    ------
    CorruptError
        The region of a constant does not exist or is too short, or no constant has its dtype and shape.
    LimitError
        The constants take many times the size of the file: see :attr:`Limits.max_ratio`.
    """
    contents: dict[int, memoryview] = {}
    total = 0
    bodies = (function.node_def for function in graph.library.function)
    for nodes in (graph.node, *bodies):
        for number, node in enumerate(nodes):
            name = _region_name(node)
            if name is None:
                continue
            place = _find(node, name, regions, file.name)
            total += place.size
            # The converter gives each constant its own region, but a few nodes of a few bytes may share one.
            limits.check_memory("bytes of constants", total, file.size, file=file.name)
            _to_const(node)
            content = file.read(place.offset, place.size)
            # Functions have no outline, and a node in an unusual form cannot be put together from parts.
            if nodes is graph.node and is_large(place.size) and has_tensor(_serialized(node)):
                contents[number] = content
            else:
                node.attr["value"].tensor.tensor_content = bytes(content)
    return contents


def _region_name(node: messages.NodeDef) -> str | None:
    """Return the region that a constant is in; None if it is in another file, or the node is another."""
    if node.op != OP or "memory_region_name" not in node.attr:
        return None
    name = node.attr["memory_region_name"].s.decode("utf-8", "backslashreplace")
    return name if name.startswith(PREFIX) else None


def _find(node: messages.NodeDef, name: str, regions: Mapping[str, Region], file: str) -> Region:
    """Return where the bytes of a constant are, no more than its dtype and shape ask for."""
    what = f"constant {shortened(node.name)!r}"
    region = regions.get(name)
    if region is None:
        raise CorruptError(f"{what}: no region is named {shortened(name)!r}", file=file)
    dtype = find_dtype(node.attr["dtype"].type)
    shape = decode_shape(node.attr["shape"].shape)
    if shape is None or None in shape or dtype.itemsize is None:
        raise CorruptError(f"{what}: no constant has dtype {dtype.name} and shape {shape}", file=file)
    size = math.prod(each for each in shape if each is not None) * dtype.itemsize
    if size > region.size:
        found = f"region {shortened(name)!r} has {region.size} bytes"
        raise CorruptError(f"{what}: {found}, want {size}", file=file, offset=region.offset)
    return Region(region.offset, size)


def _to_const(node: messages.NodeDef) -> None:
    """Turn a node into a ``Const`` without the bytes of its value."""
    tensor = messages.TensorProto(dtype=node.attr["dtype"].type, tensor_shape=node.attr["shape"].shape)
    for name in ("shape", "memory_region_name", "value"):
        node.attr.pop(name, None)
    node.op = "Const"
    node.attr["value"].tensor.CopyFrom(tensor)


def _serialized(node: messages.NodeDef) -> bytes:
    return node.SerializeToString(deterministic=True)
