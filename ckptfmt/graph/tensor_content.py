"""The bytes of large constants, taken out of serialized graphs and put back into serialized nodes.

::

    GraphDef ─ 1 node ─ 5 attr ┬ 1 "value"
                               └ 2 AttrValue ─ 8 tensor ─ 4 tensor_content    of a node whose 2 op is "Const"

A graph of gigabytes is walked by tags and lengths only, so the time depends on the number of nodes and not on
the bytes of constants. Nodes that are too short for a large constant are stepped over.

Bytes are taken out only if they are stored as protobuf itself would write them: each of these fields once,
with nothing that decoding would merge or drop, in a tensor that has its elements nowhere else. Then the rest
decodes to the same message without these bytes, and putting them back gives the same bytes as protobuf would
write. Constants that are written in any other way, or damaged, are left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import Buffer, decode_varint, encode_varint
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, FieldPlace, find_fields

TAKEN_FROM = 64 << 10
"""Bytes of the shortest constant that is taken out: copying fewer costs less than looking for them."""

MAX_BYTES = (1 << 31) - 1
"""A protobuf message is shorter than this."""

NODE_TAG = encode_varint(1 << 3 | LENGTH_DELIMITED)
"""The tag of a node in a GraphDef: one byte."""

_MOST_FIELDS = 100
"""Fields of a node that are looked at. A constant has fewer than ten, besides control inputs."""

_CONTENT = 4
"""The number of ``tensor_content`` in a TensorProto."""

_TENSOR = {1: VARINT, 2: LENGTH_DELIMITED, 3: VARINT, _CONTENT: LENGTH_DELIMITED}
"""The fields of a TensorProto that may stand beside ``tensor_content``: dtype, shape and version."""


class Span(NamedTuple):
    """Where the bytes of a constant are in the file."""

    offset: int
    size: int


def is_large(size: int) -> bool:
    """Return whether a constant of ``size`` bytes is kept beside its graph."""
    return size >= TAKEN_FROM


def take_out(data: memoryview) -> tuple[Buffer, Mapping[int, Span]]:
    """Return a serialized GraphDef without the bytes of its large constants, and the spans of these bytes.

    Spans are given by the numbers of their nodes. Nothing is taken out of bytes that are not a GraphDef.
    """
    if not is_large(len(data)) or len(data) > MAX_BYTES:
        return data, {}
    kept: list[Buffer] = []
    spans: dict[int, Span] = {}
    done = 0
    try:
        for index, node in list(_large_nodes(data)):
            path = _path_to_content(data, node)
            if path is not None:
                content = path[-1]
                spans[index] = Span(content.content, content.stop - content.content)
                kept += [data[done : node.start], _without_last(data, path)]
                done = node.stop
    except CorruptError:
        return data, {}
    return b"".join([*kept, data[done:]]) if spans else data, spans


def content_size(size: int) -> int:
    """Return the bytes that a ``tensor_content`` of ``size`` bytes takes in a serialized tensor."""
    return len(_head(_CONTENT, size)) + size


def has_tensor(node: bytes) -> bool:
    """Return whether a serialized node is a constant that :func:`split_node` splits."""
    return _path_to_tensor(node, FieldPlace(1, LENGTH_DELIMITED, 0, 0, len(node))) is not None


def split_node(node: bytes, size: int) -> tuple[bytes, bytes]:
    """Return what comes before and after ``tensor_content`` of ``size`` bytes in a serialized constant.

    ``node`` is a constant that it was taken out of, serialized.
    """
    path = _path_to_tensor(node, FieldPlace(1, LENGTH_DELIMITED, 0, 0, len(node)))
    assert path is not None
    # From the inside out. The content comes last in its tensor, because protobuf writes fields by number and
    # all others that may stand beside it have smaller ones. Every field around it grows by the bytes added
    # within it, and then its own length may take more bytes too.
    before = _head(_CONTENT, size)
    added = len(before) + size
    stop = path[-1].stop
    for field in reversed(path):
        head = _head(field.number, field.stop - field.content + added)
        before = head + node[field.content : stop] + before
        added += len(head) - (field.content - field.start)
        stop = field.start
    return node[:stop] + before, node[path[-1].stop :]


def _large_nodes(data: memoryview) -> Iterator[tuple[int, FieldPlace]]:
    """Iterate over nodes that may hold a large constant, with their numbers; only tags are looked at."""
    # A field has two bytes at least. One byte that is left over is found after the loop.
    pos, index, last = 0, 0, len(data) - 1
    (node_tag,), large = NODE_TAG, TAKEN_FROM
    while pos < last:
        start = pos
        if data[pos] != node_tag:
            field = next(find_fields(data, pos, len(data)))
            if field.number == 1:
                # Its tag takes more bytes than it needs; protobuf's implementations treat that differently.
                raise CorruptError("a node written in another way", offset=pos)
            pos = field.stop
            continue
        # find_fields inlined: a graph may have very many nodes, most of them of less than 128 bytes.
        size, content = data[pos + 1], pos + 2
        if size >= 0x80:
            size, content = decode_varint(data, pos + 1)
        pos = content + size
        if size >= large:
            yield index, FieldPlace(1, LENGTH_DELIMITED, start, content, pos)
        index += 1
    if pos != len(data):
        raise TruncatedError("message", wanted=pos, available=len(data), offset=0)


def _few(data: Buffer, outer: FieldPlace, most: int) -> list[FieldPlace] | None:
    """Return the fields of the message in a field, or None if there are more than ``most``."""
    fields = list(islice(find_fields(data, outer.content, outer.stop), most + 1))
    return fields if len(fields) <= most else None


def _path_to_content(data: Buffer, node: FieldPlace) -> list[FieldPlace] | None:
    """Return a node and the fields that lead to its large ``tensor_content``, each in the one before."""
    path = _path_to_tensor(data, node)
    if path is None:
        return None
    content = _find_content(data, path[-1])
    if content is None or not is_large(content.stop - content.content):
        return None
    path = [node, *path, content]
    return path if all(map(_has_shortest_head, path)) else None


def _path_to_tensor(data: Buffer, node: FieldPlace) -> list[FieldPlace] | None:
    """Return the fields in a node that lead to the tensor of a constant; None if they are not as usual."""
    ops = []
    values = []
    for field in _few(data, node, _MOST_FIELDS) or ():
        if field.number == 2:
            ops.append(data[field.content : field.stop])
        elif field.number == 5:
            pair = _few(data, field, 2)
            if pair is None:
                return None
            if any(key.number == 1 and data[key.content : key.stop] == b"value" for key in pair):
                values.append((field, pair))
    if ops != [b"Const"] or len(values) != 1:
        return None
    entry, pair = values[0]
    value = pair[-1]
    kinds = _few(data, value, 1) if _are(pair, 1, 2) else None
    return None if kinds is None or not _are(kinds, 8) else [entry, value, *kinds]


def _are(fields: list[FieldPlace], *numbers: int) -> bool:
    """Return whether these are the fields with these numbers, in this order, all of them length-delimited."""
    return [field[:2] for field in fields] == [(number, LENGTH_DELIMITED) for number in numbers]


def _find_content(data: Buffer, tensor: FieldPlace) -> FieldPlace | None:
    """Return the content of a tensor with elements of a fixed size; None if other fields go with it."""
    stored = _few(data, tensor, len(_TENSOR)) or []
    fields = {field.number: field for field in stored}
    if len(fields) < len(stored) or any(_TENSOR.get(f.number) != f.wire_type for f in stored):
        return None
    if any(data[field.start] >= 0x80 for field in stored):
        return None  # a tag of more than one byte: some implementations of protobuf ignore the field then
    dtype = DTYPES.get(decode_varint(data, fields[1].content)[0]) if 1 in fields else None
    return None if dtype is None or dtype.itemsize is None else fields.get(_CONTENT)


def _has_shortest_head(field: FieldPlace) -> bool:
    """Return whether tag and length take no more bytes than they need; protobuf may refuse longer ones."""
    return field.content - field.start == len(_head(field.number, field.stop - field.content))


def _head(number: int, size: int) -> bytes:
    """Return tag and length of a length-delimited field."""
    return encode_varint(number << 3 | LENGTH_DELIMITED) + encode_varint(size)


def _without_last(data: memoryview, path: list[FieldPlace]) -> bytes:
    """Return the first field of a path without the last field; each field is within the one before."""
    # From the inside out, since the length of each field depends on what is left in it.
    rest = b""
    inner = path[-1]
    for outer in path[-2::-1]:
        body = b"".join([data[outer.content : inner.start], rest, data[inner.stop : outer.stop]])
        rest = _head(outer.number, len(body)) + body
        inner = outer
    return rest
