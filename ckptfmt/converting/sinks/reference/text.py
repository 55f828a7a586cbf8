"""The text of reference files: the members of their JSON, for a million arrays in seconds.

Metadata are text inside of the JSON. Nearly all of it is the same for all arrays of a dtype and a shape, so
it is made once, and only what has the name in it is made for each.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.raw import encode_raw
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, whole
from ckptfmt.checkpoint.stored_bytes import StoredBytes
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.reference import grid
from ckptfmt.converting.sinks.reference.grid import chunk_shape_within, chunks_in, grid_of
from ckptfmt.converting.sinks.zarr.metadata import dimension_names, escaped_attribute, in_tree_order
from ckptfmt.converting.sources.zarr.arrays import STORED_AS
from ckptfmt.converting.sources.zarr.references import file_url
from ckptfmt.converting.sources.zarr.slices import SLICE_OF
from ckptfmt.dtypes import DType, Storage
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem, absolute_path

_NAME = "@"
"""Stands in shared text for the last part of a key."""

_PLAIN = re.compile(r"[ -!#-\[\]-~]*")
"""What JSON has without escapes: printable ASCII but the quotation mark and the backslash."""


class Part(NamedTuple):
    """An array of the file: a tensor, or a slice of one whose slices make no grid."""

    name: str
    tensor: Outgoing
    shape: Shape
    places: Sequence[tuple[Region, StoredBytes]] | None
    """The slices that store it, or one place that has all of it; None if the values are put into the file."""
    slice_of: tuple[Shape, tuple[int, ...]] | None = None
    """The shape of the tensor, and where the slice begins in it; None for a tensor."""


class Shared(NamedTuple):
    """What the arrays of a dtype, a shape and chunks have in common."""

    chunk: Shape
    array: str
    """Their metadata as JSON."""
    quoted_array: str
    """The same as text inside of JSON."""
    attributes: str
    """Their attributes as JSON, with :data:`_NAME` in it."""
    quoted_attributes: str
    only_chunk: str | None
    """The key of the chunk, if there is only one."""
    chunk_bytes: int


def group_members(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Iterate over the members of groups, given their attributes by key."""
    # There may be several for each tensor: nearly all have plain keys and no attributes.
    group, nothing = json.dumps('{"zarr_format":2}'), json.dumps("{}")
    for key, attributes in groups.items():
        path = f"{key}/" if key else ""
        start = f'"{path}' if _PLAIN.fullmatch(path) else json.dumps(path)[:-1]
        yield f'{start}.zgroup":{group}'
        yield f'{start}.zattrs":{json.dumps(json.dumps(attributes)) if attributes else nothing}'


def part_members(
    parts: Iterable[Part], keys: Mapping[str, str], groups: Mapping[str, Mapping[str, Any]] | None
) -> Iterator[str]:
    """Iterate over the members of arrays, and then the consolidated metadata of ``groups``, if given."""
    consolidated = None if groups is None else _Consolidated(groups)
    urls: dict[str, str] = {}
    for part in parts:
        key = keys[part.name]
        shared = _shared_by(part)
        if key == part.name and _PLAIN.fullmatch(key) and part.slice_of is None:
            last = key[key.rfind("/") + 1 :]
            start = f'"{key}/'
            quoted_attributes = shared.quoted_attributes.replace(_NAME, last)
            attributes = shared.attributes.replace(_NAME, last) if consolidated is not None else ""
        else:
            start = json.dumps(key + "/")[:-1]
            attributes = json.dumps(
                _attributes(part.tensor.dtype, key, part.shape, part.name) | _slice_attribute(part)
            )
            quoted_attributes = json.dumps(attributes)
        metadata = f'{start}.zarray":{shared.quoted_array},\n{start}.zattrs":{quoted_attributes}'
        places = part.places
        if places is None:
            chunk_key = _chunk_key((0,) * len(part.shape))
            yield f'{metadata},\n{start}{chunk_key}":{json.dumps(_inline(part.tensor))}'
        elif shared.only_chunk is not None and len(places) == 1:
            # The way of nearly all tensors.
            place = places[0][1]
            url = urls.get(place.file.name) or _remember_url(urls, part)
            yield (f'{metadata},\n{start}{shared.only_chunk}":[{url},{place.offset},{shared.chunk_bytes}]')
        else:
            yield metadata
            yield from _chunk_members(start, part, places, shared, urls)
        if consolidated is not None:
            consolidated.add(key, shared.array, attributes)
    if consolidated is not None:
        yield from consolidated.members()


def _chunk_members(
    start: str,
    part: Part,
    places: Sequence[tuple[Region, StoredBytes]],
    shared: Shared,
    urls: dict[str, str],
) -> Iterator[str]:
    if not math.prod(part.shape):
        return
    itemsize = part.tensor.dtype.itemsize or 1
    regions = [region for region, _ in places] if len(places) > 1 else [whole(part.shape)]
    for position, number, offset in chunks_in(regions, shared.chunk):
        place = places[number][1]
        url = urls.get(place.file.name) or _remember_url(urls, part, number)
        yield (
            f'{start}{_chunk_key(position)}":[{url},{place.offset + offset * itemsize},{shared.chunk_bytes}]'
        )


def _remember_url(urls: dict[str, str], part: Part, number: int = 0) -> str:
    """Return the URL of the data file of a slice, as JSON."""
    assert part.places is not None
    assert part.tensor.store is not None
    name = part.places[number][1].file.name
    url = urls[name] = json.dumps(_url(name, part.tensor.store.fs))
    return url


def _url(path: str, fs: Filesystem) -> str:
    """Return the URL of a data file, absolute: a relative one would count from the reader's directory."""
    return file_url(absolute_path(path, fs)) if isinstance(fs, LocalFilesystem) else path


def _member(key: str, file: str, text: str) -> str:
    """Return the member of the JSON that is a file of metadata."""
    return f"{json.dumps(f'{key}/{file}' if key else file)}:{json.dumps(text)}"


def _shared_by(part: Part) -> Shared:
    places = part.places
    dtype = part.tensor.dtype
    if places is None:
        return _shared(dtype, part.shape, tuple(max(1, size) for size in part.shape), big_endian=False)
    big_endian = places[0][1].order.big_endian
    if len(places) == 1:
        return _shared_whole(dtype, part.shape, grid.CHUNK_BYTES, big_endian=big_endian)
    chunk = grid_of(part.shape, [region for region, _ in places])
    assert chunk is not None
    return _shared(dtype, part.shape, chunk, big_endian=big_endian)


# Most tensors of a checkpoint have the shape and the dtype of others.
@lru_cache(maxsize=4096)
def _shared_whole(dtype: DType, shape: Shape, chunk_bytes: int, *, big_endian: bool) -> Shared:
    chunk = chunk_shape_within(shape, max(1, chunk_bytes // (dtype.itemsize or 1)))
    # Chunks of an array without elements have some.
    return _shared(dtype, shape, tuple(max(1, size) for size in chunk), big_endian=big_endian)


@lru_cache(maxsize=4096)
def _shared(dtype: DType, shape: Shape, chunk: Shape, *, big_endian: bool) -> Shared:
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
    array = json.dumps(metadata)
    attributes = json.dumps(_attributes(dtype, _NAME, shape, _NAME))
    return Shared(
        chunk,
        array,
        json.dumps(array),
        attributes,
        json.dumps(attributes),
        _chunk_key((0,) * len(shape)) if chunk == shape else None,
        math.prod(chunk) * (dtype.itemsize or 1),
    )


def _attributes(dtype: DType, key: str, shape: Shape, name: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": dimension_names(key, len(shape))}
    if _stored_as(dtype) is not None:
        attributes[STORED_AS] = dtype.name
    return attributes | escaped_attribute(name, key)


def _slice_attribute(part: Part) -> dict[str, Any]:
    if part.slice_of is None:
        return {}
    shape, start = part.slice_of
    return {SLICE_OF: {"shape": list(shape), "start": list(start)}}


def _chunk_key(position: Sequence[int]) -> str:
    return ".".join(map(str, position)) if position else "0"


def _zarr_dtype(dtype: DType, *, big_endian: bool) -> str:
    text: str = (_stored_as(dtype) or dtype.numpy).str
    return text.replace("<", ">") if big_endian else text.replace(">", "<")


def _stored_as(dtype: DType) -> np.dtype[Any] | None:
    """Return the integers that stand for a dtype that zarr lacks; None if zarr has the dtype."""
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


class _Consolidated:
    """The metadata of all that is below each group, as one text.

    The library zarr cannot list the groups in a reference file: it finds them by these. Each
    array is repeated in every group that it is in, so they are left out if there are very many.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, Any]]) -> None:
        self._files: dict[str, tuple[tuple[str, str], ...]] = {}
        for key, attributes in groups.items():
            self._files[key] = ((".zgroup", '{"zarr_format":2}'), (".zattrs", json.dumps(attributes)))

    def add(self, key: str, array: str, attributes: str) -> None:
        """Add an array, by its metadata."""
        self._files[key] = ((".zarray", array), (".zattrs", attributes))

    def members(self) -> Iterator[str]:
        """Iterate over the members ``.zmetadata``, one for each group."""
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
            yield _member(
                key, ".zmetadata", f'{{"zarr_consolidated_format":1,"metadata":{{{",".join(texts)}}}}}'
            )
