"""Files of ``flax.serialization``, written: nested maps in MessagePack, whose leaves are arrays.

A name is split at its slashes: ``params/Dense_0/kernel`` is in the map ``Dense_0`` of the map ``params``. An
array is an extension with its shape, the name of its dtype, and its bytes; one of more than 1 GiB is a map of
several. All lengths are known beforehand, so that everything is streamed, which ``msgpack`` cannot do.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md, ``flax/serialization.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from ckptfmt.converting.sinks.jax_tree import leaf_problem
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.msgpack.reader import ARRAY
from ckptfmt.converting.sources.msgpack.source import CHUNKED
from ckptfmt.dtypes import DType
from ckptfmt.storage.output import Data
from ckptfmt.tensors.nesting import SCOPE_PROBLEM, nest, scope_names

MAX_CHUNK = 1 << 30
"""Bytes of the largest array that is not cut up: ``flax.serialization.MAX_CHUNK_SIZE``."""


class MsgpackSink:
    """Writes files of flax; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "msgpack"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if CHUNKED in tensor.name.split("/"):
            return f"no name with {CHUNKED}"
        return leaf_problem(tensor)

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors whose names are also scopes of others: a map has no value of its own."""
        return dict.fromkeys(scope_names(tensor.name for tensor in tensors), SCOPE_PROBLEM)

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write one file."""
        tree = nest(((tensor.name, tensor) for tensor in tensors), file=writing.path)  # type: ignore[misc]
        with writing.create() as output:
            done = len(writing.noted(output))
            if not tensors:
                output.write(_map(0))
            for number, (before, tensor) in enumerate(_leaves(tree, b"")):
                if number < done:
                    continue
                output.write(before)
                output.write_all(_array(tensor, writing))
                writing.note(output, None)
                tensor.release()
        return [writing.path]


def _leaves(tree: dict[str, Any], before: bytes) -> Iterator[tuple[bytes, Outgoing]]:
    """Iterate over all arrays, each with the heads of maps and the keys that come before it."""
    before += _map(len(tree))
    for key, child in tree.items():
        before += _text(key)
        if isinstance(child, dict):
            yield from _leaves(child, before)
        else:
            yield before, child
        before = b""


def _array(tensor: Outgoing, writing: Writing) -> Iterator[Data]:
    """Iterate over the bytes of an array, or of a map of arrays if it is large."""
    if tensor.nbytes <= MAX_CHUNK:
        yield _head(tensor.dtype, tensor.shape, tensor.nbytes)
        yield from tensor.encoded(writing.advance)
        return
    itemsize = tensor.dtype.itemsize or 1
    whole_chunk = MAX_CHUNK // itemsize * itemsize
    count = -(-tensor.nbytes // whole_chunk)
    shape = b"".join(_text(str(axis)) + _number(size) for axis, size in enumerate(tensor.shape))
    yield _map(3) + _text(CHUNKED) + b"\xc3" + _text("shape") + _map(len(tensor.shape)) + shape
    yield _text("chunks") + _map(count)
    number, missing = 0, 0
    left = tensor.nbytes
    for rest in tensor.encoded(writing.advance):
        while rest.nbytes:
            if not missing:
                missing = min(whole_chunk, left)
                left -= missing
                yield _text(str(number)) + _head(tensor.dtype, (missing // itemsize,), missing)
                number += 1
            part, rest = rest[:missing], rest[missing:]
            missing -= part.nbytes
            yield part


def _head(dtype: DType, shape: Sequence[int], nbytes: int) -> bytes:
    """Return all of an array before its bytes."""
    sizes = b"".join(map(_number, shape))
    content = b"\x93" + _list(len(shape)) + sizes + _text(dtype.numpy.name)
    content += b"\xc6" + struct.pack(">I", nbytes)
    return b"\xc9" + struct.pack(">Ib", len(content) + nbytes, ARRAY) + content


def _map(count: int) -> bytes:
    if count <= 0x0F:
        return bytes([0x80 | count])
    return struct.pack(">BH", 0xDE, count) if count <= 0xFFFF else struct.pack(">BI", 0xDF, count)


def _list(count: int) -> bytes:
    return bytes([0x90 | count]) if count <= 0x0F else struct.pack(">BH", 0xDC, count)


def _text(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size <= 0x1F:
        return bytes([0xA0 | size]) + data
    head = struct.pack(">BH", 0xDA, size) if size <= 0xFFFF else struct.pack(">BI", 0xDB, size)
    return head + data


def _number(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else struct.pack(">BQ", 0xCF, number)
