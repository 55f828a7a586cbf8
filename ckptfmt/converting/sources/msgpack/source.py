"""Files of ``flax.serialization``: nested maps in MessagePack, whose leaves are arrays.

A name is the way to a leaf, with slashes: ``params/Dense_0/kernel``. The bytes of an array are a stretch of
the file, so arrays are views of the mapped file. Numbers and texts beside the arrays are scalars.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md, ``flax/serialization.py``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.arrays.shape import MAX_RANK, Shape, check_shape
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.converting.sources.msgpack.reader import ArrayPlace, MsgpackReader
from ckptfmt.converting.sources.rows import rows_of
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.dtypes import BY_NAME, DType, Storage
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.buffers import new_buffer

CHUNKED = "__msgpack_chunked_array__"
"""Key of a map that is an array in several pieces, with its ``shape`` and ``chunks``."""

IN_DIRECTORY = "flax_model.msgpack"
"""The file in a directory of Hugging Face."""

_NAME_BYTES = 300
"""Bytes of memory for an array and its name, beside the characters of the name."""


class _Leaf(NamedTuple):
    """What is at the end of a way."""

    dtype: DType
    shape: Shape
    parts: Sequence[tuple[int, int]]
    """Offset and size of each piece of its bytes, which follow one another in the array."""
    value: Array | None = None
    """The value of what is not an array."""


class MsgpackSource:
    """The arrays of one file; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "msgpack"

    def __init__(self, path: str, file: RandomAccessFile, leaves: Mapping[str, _Leaf]) -> None:
        self.path = path
        self.tensors = {
            name: Stored(leaf.dtype, leaf.shape, sum(size for _, size in leaf.parts))
            for name, leaf in leaves.items()
        }
        self._file = file
        self._leaves = leaves

    def read(self, name: str, region: Region | None) -> Array:
        """Return an array, or a region of it."""
        leaf = self._leaves[name]
        wanted = whole(leaf.shape) if region is None else region
        if leaf.value is not None:
            return leaf.value[within(wanted, whole(leaf.shape))]
        rows = rows_of(wanted, leaf.shape)
        size = leaf.dtype.itemsize or 1
        start = rows.start * size
        data = self._bytes(leaf, start, start + math.prod(rows.shape) * size)
        try:
            return decode_raw(data, leaf.dtype, rows.shape, at=rows.at)
        except CkptfmtError as error:
            raise error.at(self.path, leaf.parts[0][0] if leaf.parts else None, label=repr(name)) from None

    def _bytes(self, leaf: _Leaf, start: int, stop: int) -> memoryview:
        """Return bytes of an array from its pieces: a view if they are in one."""
        found = []
        position = 0
        for offset, size in leaf.parts:
            first, last = max(start, position), min(stop, position + size)
            if first < last:
                found.append((offset + first - position, last - first))
            position += size
        if len(found) == 1:
            return self._file.read(*found[0])
        data = new_buffer(stop - start, "an array in pieces", self.path)
        at = 0
        for offset, size in found:
            self._file.read_into(offset, data[at : at + size])
            at += size
        return data.toreadonly()

    def release(self, name: str) -> None:
        """Let the system forget the bytes of an array."""
        for offset, size in self._leaves[name].parts:
            self._file.release(offset, size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open a file of ``flax.serialization``, or a directory of Hugging Face with one."""
    at = os.path.join(path, IN_DIRECTORY) if fs.path_type(path) == "directory" else path
    file = fs.open(at)
    try:
        reader = MsgpackReader(file, limits)
        try:
            content = reader.read_object()
            reader.check_end()
        except CkptfmtError as error:
            raise error.at(at, 0, label="MessagePack") from None
        except RecursionError:  # without a limit of depth
            raise CorruptError("MessagePack: nested too deeply", file=at) from None
        leaves: dict[str, _Leaf] = {}
        memory = 0
        for name, leaf in _walk(content, ""):
            try:
                made = _leaf(leaf)
            except CkptfmtError as error:
                raise error.at(at, label=repr(name)) from None
            if made is None:
                continue
            if name in leaves:
                raise CorruptError(f"several leaves are named {name!r}", file=at)
            leaves[name] = made
            memory += len(name) + _NAME_BYTES
            if memory > limits.free_bytes:
                limits.check_memory("names of arrays", memory, file.size, file=at)
        return MsgpackSource(path, file, leaves)
    except BaseException:
        file.close()
        raise


def _walk(content: object, name: str) -> Iterator[tuple[str, Any]]:
    """Iterate over the leaves of nested maps and lists, which the reader has bounded in depth."""
    if isinstance(content, dict) and CHUNKED not in content:
        children: Any = content.items()
    elif isinstance(content, list):
        children = enumerate(content)
    else:
        yield name, content
        return
    for key, child in children:
        yield from _walk(child, f"{name}/{key}" if name else str(key))


def _leaf(content: object) -> _Leaf | None:
    """Return an array, or the scalar that a number or a text is; None for nothing."""
    if content is None:
        return None
    if isinstance(content, ArrayPlace):
        return _array(content.dtype, content.shape, [(content.offset, content.size)])
    if isinstance(content, dict):
        return _chunked(content)
    if isinstance(content, (str, bytes)):
        text = content.encode() if isinstance(content, str) else content
        array = np.empty((), object)
        array[()] = text
        return _Leaf(BY_NAME["string"], (), (), read_only(array))
    value = np.asarray(content)
    if value.dtype.name not in BY_NAME:
        raise UnsupportedError(f"got {type(content).__name__}, want an array, a number or text")
    return _Leaf(BY_NAME[value.dtype.name], (), (), read_only(value))


def _array(dtype_name: str, shape: Shape, parts: Sequence[tuple[int, int]]) -> _Leaf:
    dtype = BY_NAME.get(dtype_name)
    if dtype is None or dtype.storage not in (Storage.FIXED, Storage.LOW_BITS):
        raise UnsupportedError(f"TensorFlow has no dtype {dtype_name:.100}")
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"TensorFlow has no shape of {len(shape)} dimensions")
    check_shape(shape, dtype)
    size, wanted = sum(size for _, size in parts), math.prod(shape) * (dtype.itemsize or 0)
    if size != wanted:
        raise CorruptError(f"{dtype.name} of shape {list(shape)}: got {size} bytes, want {wanted}")
    return _Leaf(dtype, shape, parts)


def _chunked(content: dict[str, Any]) -> _Leaf:
    """Return an array in several pieces."""
    shape, chunks = (_in_order(content.get(key)) for key in ("shape", "chunks"))
    if not all(type(size) is int and size >= 0 for size in shape):
        raise CorruptError("shape of an array in pieces: want numbers that are not negative")
    if not chunks or not all(
        isinstance(chunk, ArrayPlace) and chunk.dtype == chunks[0].dtype for chunk in chunks
    ):
        raise CorruptError("an array in pieces: want arrays of one dtype")
    return _array(chunks[0].dtype, tuple(shape), [(chunk.offset, chunk.size) for chunk in chunks])


def _in_order(content: object) -> list[Any]:
    """Return the values of a map whose keys are the numbers from 0 on."""
    if not isinstance(content, dict) or content.keys() != {str(number) for number in range(len(content))}:
        raise CorruptError("an array in pieces: want maps of numbers from 0 on")
    return [content[str(number)] for number in range(len(content))]
