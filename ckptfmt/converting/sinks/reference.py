r"""Reference files: a Kerchunk JSON by which zarr, xarray and Dask read a checkpoint in place.

::

    {"version": 1, "refs": {
        ".zgroup": "{\"zarr_format\": 2}",
        "dense/kernel/.zarray": "{\"shape\": [4, 8], \"dtype\": \"<f4\", …}",
        "dense/kernel/.zattrs": "{\"_ARRAY_DIMENSIONS\": [\"kernel_dim0\", \"kernel_dim1\"]}",
        "dense/kernel/0.0": ["file:///training/model.data-00000-of-00001", 0, 128]}}

Nothing is read but the index: a chunk is a place in a data file. Metadata are those of zarr 2, because that
is what all tools for Kerchunk files take, and zarr 3 reads them too. Fill values are null: xarray would take
every element that equals another one for missing.

Dtypes that zarr does not have are integers of the same bytes, and the attribute ``ckptfmt_dtype`` names them.
Values that are not stored as arrays, such as strings, and values that a plan or a cast makes, are in the JSON
itself, up to :data:`INLINE_BYTES`.

Source: https://fsspec.github.io/kerchunk/spec.html, version 1.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.raw import encode_raw
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.partition import partition_of
from ckptfmt.checkpoint.slices import Region, region_shape
from ckptfmt.checkpoint.stored_bytes import StoredBytes
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.reference_grid import chunk_shape_within, chunks_in, grid_of
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zarr_metadata import (
    dimension_names,
    escaped_attribute,
    groups_above,
    in_tree_order,
)
from ckptfmt.converting.sources.zarr_arrays import STORED_AS
from ckptfmt.converting.sources.zarr_keys import array_keys
from ckptfmt.converting.sources.zarr_references import file_url
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem, absolute_path

INLINE_BYTES = 64 << 10
"""Bytes of a tensor that is put into the file itself, at most."""

CONSOLIDATED = 100_000
"""The most metadata that are repeated in the groups that an array is in, one for each of these groups."""

_AT_ONCE = 1 << 20
"""Characters of the file that are collected before they are written."""


class Part(NamedTuple):
    """An array of the file: a tensor, or a slice of one whose slices make no grid."""

    name: str
    tensor: Outgoing
    shape: Shape
    places: Sequence[tuple[Region, StoredBytes]] | None
    """The slices that store it, or one that is all of it; None if the values are put into the file."""


class ReferenceSink:
    """Writes reference files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "reference"
    resumes = False

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        storage = tensor.dtype.storage
        if storage in (Storage.VARIANT, Storage.NONE):
            return f"no dtype {tensor.dtype.name}"
        if _is_in_place(tensor) or tensor.nbytes <= INLINE_BYTES:
            return None
        limit = f"and larger than {INLINE_BYTES >> 10} KiB"
        if storage is Storage.STRING:
            return f"strings, which no reference can point to, {limit}"
        return f"not bit by bit in the data files of a checkpoint, {limit}"

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the file."""
        parts = [part for tensor in tensors for part in _parts(tensor)]
        keys = array_keys((part.name for part in parts), fold_case=False)
        if len(keys) < len(parts):
            raise ValueError("two tensors would have one name: one has a name like a slice of another")
        for name in {part.tensor.name for part in parts if part.name != part.tensor.name}:
            writing.remarks.append(f"{name}: its slices make no regular grid, so each is an array of its own")
        with writing.create() as output:
            for text in _batches(_references(parts, keys, writing.metadata)):
                output.write(text.encode())
            writing.advance(sum(tensor.nbytes for tensor in tensors))
        return [writing.path]


def _is_in_place(tensor: Outgoing) -> bool:
    """Return whether the bytes of an array are in data files."""
    is_array = tensor.dtype.storage in (Storage.FIXED, Storage.LOW_BITS)
    return tensor.stored is not None and isinstance(tensor.store, Bundle) and is_array


def _parts(tensor: Outgoing) -> Iterator[Part]:
    """Return the arrays that a tensor becomes: one, or one for each slice."""
    entry, store = tensor.stored, tensor.store
    if entry is None or not isinstance(store, Bundle) or not _is_in_place(tensor):
        yield Part(tensor.name, tensor, tensor.shape, None)
        return
    if not entry.slices:
        whole = tuple((0, size) for size in entry.shape)
        yield Part(tensor.name, tensor, tensor.shape, [(whole, store.locate(entry))])
        return
    partition = partition_of(entry.shape, entry.slices)
    if not partition.is_complete:
        raise CorruptError(
            f"tensor {entry.name!r}: its slices do not make all of it", file=store.files.tables[0]
        )
    places = [
        (partition.region(number), store.locate(store.index.find_slice(entry, part)))
        for number, part in enumerate(entry.slices)
    ]
    if grid_of(entry.shape, [region for region, _ in places]) is not None:
        yield Part(tensor.name, tensor, tensor.shape, places)
        return
    for number, (region, place) in enumerate(places):
        shape = region_shape(region)
        local = tuple((0, size) for size in shape)
        yield Part(f"{tensor.name}/slice_{number}", tensor, shape, [(local, place)])


def _references(
    parts: Sequence[Part], keys: Mapping[str, str], attributes: Mapping[str, Any]
) -> Iterator[str]:
    """Iterate over the members of the JSON, separators included."""
    groups = {"": dict(attributes), **{key: {} for key in groups_above(keys.values())}}
    yield '{"version":1,"refs":{'
    separator = "\n"
    for key, known in groups.items():
        yield separator
        yield _member(key, ".zgroup", '{"zarr_format":2}')
        yield ",\n"
        yield _member(key, ".zattrs", json.dumps(known))
        separator = ",\n"
    consolidated = _Consolidated(groups, keys.values())
    urls: dict[str, str] = {}
    for part in parts:
        key = keys[part.name]
        big_endian = part.places is not None and part.places[0][1].order.big_endian
        chunk = _chunk_shape(part)
        array, quoted = _array_text(part.tensor.dtype, part.shape, chunk, big_endian)
        own_attributes = json.dumps(_attributes(part, key))
        consolidated.add(key, array, own_attributes)
        start = f",\n{json.dumps(key + '/')[:-1]}"
        yield f'{start}.zarray":{quoted}'
        yield f'{start}.zattrs":{json.dumps(own_attributes)}'
        if part.places is None:
            yield f'{start}{_chunk_key((0,) * len(chunk))}":{json.dumps(_inline(part.tensor))}'
        elif math.prod(part.shape):
            yield from _chunk_references(start, part, part.places, chunk, urls)
    for key, text in consolidated.texts():
        yield ",\n"
        yield _member(key, ".zmetadata", text)
    yield "\n}}\n"


def _member(key: str, file: str, text: str) -> str:
    """Return the member of the JSON that is a file of metadata."""
    return f"{json.dumps(f'{key}/{file}' if key else file)}:{json.dumps(text)}"


class _Consolidated:
    """The metadata of all that is below each group, as one text.

    The library zarr cannot list the groups in a reference file: it finds them by these. They are left out if
    there are too many arrays, since each is repeated in every group that it is in.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, Any]], keys: Collection[str]) -> None:
        self._is_wanted = sum(key.count("/") + 1 for key in keys) <= CONSOLIDATED
        self._files: dict[str, tuple[tuple[str, str], ...]] = {}
        for key, attributes in groups.items():
            self._files[key] = ((".zgroup", '{"zarr_format":2}'), (".zattrs", json.dumps(attributes)))

    def add(self, key: str, array: str, attributes: str) -> None:
        """Add an array, by its metadata."""
        if self._is_wanted:
            self._files[key] = ((".zarray", array), (".zattrs", attributes))

    def texts(self) -> Iterator[tuple[str, str]]:
        """Iterate over the groups, each with the text of its file ``.zmetadata``."""
        if not self._is_wanted:
            return
        members: dict[str, list[str]] = {}
        for key in in_tree_order(self._files):
            files = self._files[key]
            if files[0][0] == ".zgroup":
                members[key] = [f'"{file}":{text}' for file, text in files]
            group, _, inside = key.rpartition("/")
            while inside:
                members[group] += (f"{json.dumps(f'{inside}/{file}')}:{text}" for file, text in files)
                if not group:
                    break
                group = group.rpartition("/")[0]
                inside = key[len(group) + 1 :] if group else key
        for key, texts in members.items():
            yield key, f'{{"zarr_consolidated_format":1,"metadata":{{{",".join(texts)}}}}}'


def _chunk_references(
    start: str,
    part: Part,
    places: Sequence[tuple[Region, StoredBytes]],
    chunk: Shape,
    urls: dict[str, str],
) -> Iterator[str]:
    itemsize = part.tensor.dtype.itemsize or 1
    size = math.prod(chunk) * itemsize
    for position, number, offset in chunks_in([region for region, _ in places], chunk):
        place = places[number][1]
        url = urls.get(place.file.name)
        if url is None:
            assert part.tensor.store is not None
            url = urls[place.file.name] = json.dumps(_url(place.file.name, part.tensor.store.fs))
        yield f'{start}{_chunk_key(position)}":[{url},{place.offset + offset * itemsize},{size}]'


def _chunk_shape(part: Part) -> Shape:
    """Return the shape of the chunks; of an array without elements, any that has some."""
    places = part.places
    if places is None or 0 in part.shape:
        return tuple(max(1, size) for size in part.shape)
    if len(places) > 1:
        chunk = grid_of(part.shape, [region for region, _ in places])
        assert chunk is not None
        return chunk
    return chunk_shape_within(part.shape, part.tensor.dtype.itemsize or 1)


def _attributes(part: Part, key: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": dimension_names(key, len(part.shape))}
    if _stored_as(part.tensor.dtype) is not None:
        attributes[STORED_AS] = part.tensor.dtype.name
    return attributes | escaped_attribute(part.name, key)


def _chunk_key(position: Sequence[int]) -> str:
    return ".".join(map(str, position)) if position else "0"


# Most tensors of a checkpoint have the shape and the dtype of others.
@lru_cache(maxsize=4096)
def _array_text(dtype: DType, shape: Shape, chunk: Shape, big_endian: bool) -> tuple[str, str]:
    """Return the metadata of an array: as JSON, and as text inside of JSON."""
    is_string = dtype.storage is Storage.STRING
    metadata = {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunk),
        "dtype": "|O" if is_string else _zarr_dtype(dtype, big_endian=big_endian),
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "vlen-bytes"}] if is_string else None,
    }
    text = json.dumps(metadata)
    return text, json.dumps(text)


def _zarr_dtype(dtype: DType, *, big_endian: bool) -> str:
    text: str = (_stored_as(dtype) or dtype.numpy).str
    return text.replace("<", ">") if big_endian else text.replace(">", "<")


def _stored_as(dtype: DType) -> np.dtype[Any] | None:
    """Return the integers that zarr has in place of a dtype that it does not have; None if it has it."""
    if dtype.storage is Storage.LOW_BITS:
        return np.dtype(np.uint8)
    if dtype.storage is Storage.STRING:
        return None
    if not hasattr(np, dtype.numpy_name):
        return np.dtype(f"u{dtype.itemsize}")
    # Quantised types are integers to NumPy too.
    return dtype.numpy if dtype.is_quantized else None


def _inline(tensor: Outgoing) -> str:
    """Return the values of a small tensor as text: a chunk without compression, in Base64."""
    array = tensor.whole()
    if tensor.dtype.storage is Storage.STRING:
        strings = array.reshape(-1).tolist()
        parts = [len(strings).to_bytes(4, "little")]
        for string in strings:
            parts += (len(string).to_bytes(4, "little"), string)
        data = b"".join(parts)
    else:
        data = bytes(encode_raw(array, tensor.dtype))
    return "base64:" + b64encode(data).decode()


def _url(path: str, fs: Filesystem) -> str:
    """Return the URL of a data file, absolute: a relative one would count from the reader's directory."""
    return file_url(absolute_path(path, fs)) if isinstance(fs, LocalFilesystem) else path


def _batches(texts: Iterable[str]) -> Iterator[str]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            yield "".join(batch)
            batch, size = [], 0
    yield "".join(batch)
