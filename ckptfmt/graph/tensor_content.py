"""The bytes of large constants, taken out of serialized graphs and put back into serialized nodes.

::

    GraphDef ─ 1 node ─ 5 attr ┬ 1 "value"
                               └ 2 AttrValue ─ 8 tensor ─ 4 tensor_content    of a node whose 2 op is "Const"

Taken out are only bytes that lie as protobuf itself would write them: each of these fields once, with nothing
that decoding would merge or drop, in tensors that have their elements nowhere else. All other ways to write a
constant, damaged ones too, are left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    Buffer,
    decode_varint,
    encode_varint,
)

TAKEN_FROM = 64 << 10
"""Bytes of a constant from which on it is taken out: far more than it costs to look for them."""

MAX_BYTES = (1 << 31) - 1
"""Bytes that no message of protobuf has."""

NODE_TAG = encode_varint(1 << 3 | LENGTH_DELIMITED)
"""The tag of a node in a GraphDef: one byte."""

_CONTENT = 4
"""The number of ``tensor_content`` in a TensorProto."""

_TENSOR = {1: VARINT, 2: LENGTH_DELIMITED, 3: VARINT, _CONTENT: LENGTH_DELIMITED}
"""The fields of a TensorProto with ``tensor_content``: dtype, shape, version and that."""


class Span(NamedTuple):
    """Where some bytes lie."""

    offset: int
    size: int


class _Field(NamedTuple):
    """Where a field of a message lies, and what it holds."""

    number: int
    wire_type: int
    start: int
    content: int
    """Where its value begins."""
    stop: int


def is_large(size: int) -> bool:
    """Return whether a constant of so many bytes lies beside its graph."""
    return size >= TAKEN_FROM


def take_out(data: memoryview) -> tuple[Buffer, Mapping[int, Span]]:
    """Return a serialized GraphDef without the bytes of its large constants, and where these lie.

    They are given by the number of their node. Of bytes that are no GraphDef nothing is taken out.
    """
    if not is_large(len(data)) or len(data) > MAX_BYTES:
        return data, {}
    pieces: list[Buffer] = []
    spans: dict[int, Span] = {}
    done = 0
    try:
        for index, node in list(_large_nodes(data)):
            path = _path_to_content(data, node)
            if path is not None:
                content = path[-1]
                spans[index] = Span(content.content, content.stop - content.content)
                pieces += [data[done : node.start], _without_last(data, path)]
                done = node.stop
    except CorruptError:
        return data, {}
    return b"".join([*pieces, data[done:]]) if spans else data, spans


def content_size(size: int) -> int:
    """Return the bytes that a ``tensor_content`` of so many bytes takes in a serialized tensor."""
    return len(_head(_CONTENT, size)) + size


def split_node(node: bytes, size: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind ``tensor_content`` of so many bytes in a serialized constant.

    ``node`` is the constant without it, otherwise as it was taken out.
    """
    path = _path_to_tensor(node, 0, len(node))
    assert path is not None
    inner = _head(_CONTENT, size)
    added = len(inner) + size
    behind = path[-1].stop
    for field in reversed(path):
        head = _head(field.number, field.stop - field.content + added)
        inner = head + node[field.content : behind] + inner
        added += len(head) - (field.content - field.start)
        behind = field.start
    return node[:behind] + inner, node[path[-1].stop :]


def _large_nodes(data: memoryview) -> Iterator[tuple[int, _Field]]:
    """The nodes that may hold a large constant, with their numbers among all; only tags are looked at."""
    pos, index, last = 0, 0, len(data) - 1
    (node_tag,), large = NODE_TAG, TAKEN_FROM
    while pos < last:
        start = pos
        if data[pos] != node_tag:
            field = next(_fields(data, pos, len(data)))
            if field.number == 1:
                raise CorruptError("a node written otherwise", offset=pos)  # protobufs differ in what it is
            pos = field.stop
            continue
        # Written out: a graph may have very many nodes, most of them of less than 128 bytes.
        size, content = data[pos + 1], pos + 2
        if size >= 0x80:
            size, content = decode_varint(data, pos + 1)
        pos = content + size
        if size >= large:
            yield index, _Field(1, LENGTH_DELIMITED, start, content, pos)
        index += 1
    if pos != len(data):
        raise TruncatedError("message", wanted=pos, available=len(data), offset=0)


def _fields(data: Buffer, start: int, stop: int) -> Iterator[_Field]:
    """The fields of a message; CorruptError where there is something else."""
    pos = start
    while pos < stop:
        begin = pos
        tag, pos = decode_varint(data, pos)
        number, wire_type = tag >> 3, tag & 7
        content = pos
        if wire_type == VARINT:
            _, pos = decode_varint(data, pos)
        elif wire_type == LENGTH_DELIMITED:
            size, content = decode_varint(data, pos)
            pos = content + size
        elif wire_type in (FIXED32, FIXED64):
            pos += 4 if wire_type == FIXED32 else 8
        else:
            raise CorruptError(f"field {number} has wire type {wire_type}", offset=begin)
        if pos > stop:
            raise TruncatedError(f"field {number}", wanted=pos, available=stop, offset=begin)
        yield _Field(number, wire_type, begin, content, pos)


def _path_to_content(data: Buffer, node: _Field) -> list[_Field] | None:
    """A node and the fields in it, each in the one before, that lead to a large ``tensor_content``."""
    path = _path_to_tensor(data, node.content, node.stop)
    if path is None:
        return None
    fields = list(_fields(data, path[-1].content, path[-1].stop))
    content = next((field for field in fields if field.number == _CONTENT), None)
    if content is None or not is_large(content.stop - content.content):
        return None
    path = [node, *path, content]
    return path if all(map(_has_shortest_head, path)) else None


def _path_to_tensor(data: Buffer, start: int, stop: int) -> list[_Field] | None:
    """The fields in a node that lead to the tensor of a constant, if they are there and all is as usual."""
    ops = []
    values = []
    for field in _fields(data, start, stop):
        if field.number == 2:
            ops.append(bytes(data[field.content : field.stop]))
        elif field.number == 5:
            inner = list(_fields(data, field.content, field.stop))
            if any(key.number == 1 and data[key.content : key.stop] == b"value" for key in inner):
                values.append([field, *inner])
    if ops != [b"Const"] or len(values) != 1:
        return None
    entry, *inner = values[0]
    if not _are(inner, (1, LENGTH_DELIMITED), (2, LENGTH_DELIMITED)):
        return None
    value = inner[1]
    kinds = list(_fields(data, value.content, value.stop))
    if not _are(kinds, (8, LENGTH_DELIMITED)) or not _is_usual(data, kinds[0]):
        return None
    return [entry, value, kinds[0]]


def _are(fields: list[_Field], *wanted: tuple[int, int]) -> bool:
    return [(field.number, field.wire_type) for field in fields] == list(wanted)


def _is_usual(data: Buffer, tensor: _Field) -> bool:
    """Whether a tensor of elements of a fixed size has nothing but what goes with ``tensor_content``."""
    fields = list(_fields(data, tensor.content, tensor.stop))
    numbers = {field.number: field for field in fields}
    if len(numbers) < len(fields) or any(_TENSOR.get(f.number) != f.wire_type for f in fields):
        return False
    if any(data[field.start] >= 0x80 for field in fields):
        return False  # a tag in more than its one byte: some protobufs do not know the field then
    dtype = DTYPES.get(decode_varint(data, numbers[1].content)[0]) if 1 in numbers else None
    return dtype is not None and dtype.itemsize is not None


def _has_shortest_head(field: _Field) -> bool:
    """Whether tag and length are written in no more bytes than they need; longer ones protobuf may refuse."""
    return field.content - field.start == len(_head(field.number, field.stop - field.content))


def _head(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return encode_varint(number << 3 | LENGTH_DELIMITED) + encode_varint(size)


def _without_last(data: memoryview, path: list[_Field]) -> bytes:
    """The first field of a path, of which each lies in the one before, without the last of them."""
    rest = b""
    inner = path[-1]
    for outer in path[-2::-1]:
        body = b"".join([data[outer.content : inner.start], rest, data[inner.stop : outer.stop]])
        rest = _head(outer.number, len(body)) + body
        inner = outer
    return rest
