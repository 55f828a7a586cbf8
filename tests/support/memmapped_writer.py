"""A writer of memory-mapped packages and graphs, for tests.

Source: TensorFlow ``core/util/memmapped_file_system_writer.cc``,
``contrib/util/convert_graphdef_memmapped_format_lib.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ckptfmt.wire.coding import encode_varint

PREFIX = "memmapped_package://"
ALIGNMENT = 64


def encode_package(regions: Iterable[tuple[str, bytes]], *, has_lengths: bool = True) -> bytes:
    """A package of regions by name; the first versions of the format had no lengths."""
    data, directory = b"", b""
    for name, content in regions:
        data += bytes(-len(data) % ALIGNMENT)
        directory += encode_element(name, len(data), len(content) if has_lengths else 0)
        data += content
    return data + directory + len(data).to_bytes(8, "little")


def encode_element(name: str, offset: int, length: int) -> bytes:
    """An element of the directory, as a field of it; proto3 leaves out zeros."""
    encoded = name.encode()
    fields = b"".join(
        (
            b"\x08" + encode_varint(offset) if offset else b"",
            b"\x12" + encode_varint(len(encoded)) + encoded,
            b"\x18" + encode_varint(length) if length else b"",
        )
    )
    return b"\x0a" + encode_varint(len(fields)) + fields


def to_memmapped(graph: Any, *, least: int = 0, has_lengths: bool = True) -> bytes:
    """A GraphDef, TensorFlow's or ours, whose constants of ``least`` bytes and more are in regions."""
    converted = type(graph)()
    converted.CopyFrom(graph)
    regions = []
    for number, node in enumerate(converted.node):
        content = node.attr["value"].tensor.tensor_content if node.op == "Const" else b""
        if content and len(content) >= least:
            tensor = node.attr["value"].tensor
            node.attr["dtype"].type = tensor.dtype
            node.attr["shape"].shape.CopyFrom(tensor.tensor_shape)
            name = f"{PREFIX}{''.join(c if c.isalnum() else '_' for c in node.name)}_{number}"
            node.attr["memory_region_name"].s = name.encode()
            del node.attr["value"]
            node.op = "ImmutableConst"
            regions.append((name, content))
    graph_region = (f"{PREFIX}.", converted.SerializeToString())
    return encode_package([*regions, graph_region], has_lengths=has_lengths)
