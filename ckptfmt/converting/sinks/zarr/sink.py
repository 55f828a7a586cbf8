"""zarr, version 3, written: a directory with a directory for each group and array, and a file for each chunk.

::

    model.zarr/zarr.json                    the root: what is known of the origin, and all metadata once more
    model.zarr/dense/zarr.json              a group
    model.zarr/dense/kernel/zarr.json       an array: data type, shape, chunks, codecs
    model.zarr/dense/kernel/c.0.0           a chunk: its elements, little-endian, in C order, compressed

The package ``zarr`` is not needed: it takes a millisecond or two for each array, and cannot be given files to
write. Chunks are stretches of up to :data:`CHUNK_BYTES`, so that a tensor streams.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

from __future__ import annotations

import importlib
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import encode_raw
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import whole
from ckptfmt.converting.sinks.outgoing import PIECE_BYTES, Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zarr.metadata import (
    FILL_VALUES,
    array_metadata,
    chunk_shape_of,
    chunks_of,
    dimension_names,
    escaped_attribute,
    group_metadata,
    groups_above,
    in_tree_order,
    to_json,
)
from ckptfmt.converting.sources.zarr.keys import MAX_PART, array_keys
from ckptfmt.errors import MissingDependencyError
from ckptfmt.storage.output.directory import OutputDirectory

CHUNK_BYTES = PIECE_BYTES
"""Bytes of a chunk before it is compressed, at most: what is in memory at a time."""

STRING_BYTES = 64
"""Bytes that a string counts as if nothing is known of its size."""

Compressor = tuple[list[dict[str, Any]], Callable[[bytes | memoryview], bytes | memoryview]]
"""The codec as metadata name it, and the function that compresses."""


class ZarrSink:
    """Writes zarr directories; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "zarr"
    resumes = True

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        return None if _data_type(tensor) in FILL_VALUES else f"no dtype {tensor.dtype.name}"

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors whose files would have too long a name."""
        keys = array_keys((tensor.name for tensor in tensors), fold_case=True)
        return {
            name: f"no file name of more than {MAX_PART} bytes"
            for name, key in keys.items()
            if any(len(part.encode()) > MAX_PART for part in key.split("/"))
        }

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the directory; each array is whole when its metadata are there."""
        keys = array_keys((tensor.name for tensor in tensors), fold_case=True)
        compressors = {
            size: _COMPRESSORS[writing.compression or "zstd"](size)
            for size in {tensor.dtype.itemsize or 1 for tensor in tensors} | {1}
        }
        with writing.create_directory() as output:
            done = set(writing.noted(output))
            metadata = {}
            for tensor in tensors:
                key = keys[tensor.name]
                compressor = compressors[tensor.dtype.itemsize or 1]
                chunk_shape = _chunk_shape(tensor)
                metadata[key] = _metadata(tensor, key, chunk_shape, compressor)
                if key in done:
                    writing.advance(tensor.nbytes)
                    continue
                _write_chunks(tensor, output, key, chunk_shape, compressor, writing)
                output.write(_path(key, "zarr.json"), [metadata[key]])
                tensor.release()
                writing.note(output, key)
            groups = dict.fromkeys(groups_above(keys.values()), to_json(group_metadata()))
            for key, text in groups.items():
                output.write(_path(key, "zarr.json"), [text])
            output.write("zarr.json", _root(writing.metadata, groups | metadata))
        return [writing.path]


def _data_type(tensor: Outgoing) -> str:
    return "variable_length_bytes" if tensor.dtype == "string" else tensor.dtype.name


def _chunk_shape(tensor: Outgoing) -> Shape:
    # Strings by their average size, as far as it is known.
    itemsize = tensor.dtype.itemsize or max(STRING_BYTES, tensor.nbytes // max(1, math.prod(tensor.shape)))
    return chunk_shape_of(tensor.shape, max(1, CHUNK_BYTES // itemsize))


def _metadata(tensor: Outgoing, key: str, chunk_shape: Shape, compressor: Compressor) -> bytes:
    serializer: dict[str, Any] = {"name": "bytes"}
    if tensor.dtype.itemsize is None:
        serializer = {"name": "vlen-bytes"}
    elif tensor.dtype.itemsize > 1:
        serializer["configuration"] = {"endian": "little"}
    return to_json(
        array_metadata(
            _data_type(tensor),
            tensor.shape,
            chunk_shape,
            [serializer, *compressor[0]],
            escaped_attribute(tensor.name, key),
            dimension_names(key, len(tensor.shape)),
        )
    )


def _root(attributes: Mapping[str, Any], nodes: Mapping[str, bytes]) -> Iterable[bytes]:
    """Iterate over the parts of the root's metadata, with those of all nodes as the library reads them."""
    yield to_json(group_metadata(attributes))[:-1]
    yield b',"consolidated_metadata":{"kind":"inline","must_understand":false,"metadata":{'
    separator = b""
    for key in in_tree_order(nodes):
        yield separator + to_json(key) + b":" + nodes[key]
        separator = b","
    yield b"}}}"


def _write_chunks(
    tensor: Outgoing,
    output: OutputDirectory,
    key: str,
    chunk_shape: Shape,
    compressor: Compressor,
    writing: Writing,
) -> None:
    is_one = all(chunk >= size for chunk, size in zip(chunk_shape, tensor.shape, strict=True))
    read = None if is_one else tensor.reader()
    for position, region in chunks_of(tensor.shape, chunk_shape):
        piece = tensor.whole() if read is None else read(region)
        padded = _padded(piece, chunk_shape)
        data = _encode_strings(padded) if piece.dtype == object else encode_raw(padded, tensor.dtype)
        output.write(_path(key, ".".join(("c", *map(str, position)))), [compressor[1](data)])
        writing.advance(piece.nbytes if is_one or piece.dtype != object else len(data))


def _padded(piece: Array, shape: Shape) -> Array:
    """Return a chunk at its full size: those at the edges are stored so too."""
    if piece.shape == shape:
        return piece
    full = np.full(shape, b"", object) if piece.dtype == object else np.zeros(shape, piece.dtype)
    full[tuple(slice(*each) for each in whole(piece.shape))] = piece
    return full


def _encode_strings(array: Array) -> bytes:
    """Encode strings as the codec ``vlen-bytes`` does: a count, then each length and its bytes."""
    parts = [array.size.to_bytes(4, "little")]
    for string in array.reshape(-1).tolist():
        parts += (len(string).to_bytes(4, "little"), string)
    return b"".join(parts)


def _path(key: str, file: str) -> str:
    return os.path.join(*key.split("/"), file)


# --- compression ------------------------------------------------------------------------------------------


def _zstd(itemsize: int) -> Compressor:
    import cramjam

    level = 3
    codec = {"name": "zstd", "configuration": {"level": level, "checksum": False}}
    return [codec], lambda data: memoryview(cramjam.zstd.compress(data, level=level))


def _gzip(itemsize: int) -> Compressor:
    level = 5
    codec = {"name": "gzip", "configuration": {"level": level}}

    def compress(data: bytes | memoryview) -> bytes:
        # By an object, not by the module gzip: its header would have the time in it.
        stream = zlib.compressobj(level, wbits=31)
        return stream.compress(data) + stream.flush()

    return [codec], compress


def _blosc(itemsize: int) -> Compressor:
    try:
        blosc = importlib.import_module("numcodecs").Blosc
    except ImportError:
        raise MissingDependencyError("numcodecs", "zarr") from None
    shuffle = "shuffle" if itemsize > 1 else "noshuffle"
    options = {"cname": "zstd", "clevel": 5, "shuffle": shuffle, "typesize": itemsize, "blocksize": 0}
    made = blosc(options["cname"], options["clevel"], blosc.SHUFFLE if itemsize > 1 else blosc.NOSHUFFLE)

    def compress(data: bytes | memoryview) -> bytes:
        # The size of an element is that of the array's.
        elements = np.frombuffer(data, f"V{itemsize}" if itemsize > 1 else "u1")
        return bytes(made.encode(elements))

    return [{"name": "blosc", "configuration": options}], compress


def _none(itemsize: int) -> Compressor:
    return [], lambda data: data


_COMPRESSORS: dict[str, Callable[[int], Compressor]] = {
    "zstd": _zstd,
    "gzip": _gzip,
    "blosc": _blosc,
    "none": _none,
}
