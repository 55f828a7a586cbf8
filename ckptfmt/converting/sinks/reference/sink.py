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

from collections.abc import Iterable, Iterator, Sequence

from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.partition import partition_of
from ckptfmt.checkpoint.slices import region_shape, whole
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.reference.grid import grid_of
from ckptfmt.converting.sinks.reference.text import Part, group_members, part_members
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sinks.zarr.metadata import groups_above
from ckptfmt.converting.sources.zarr.keys import array_keys
from ckptfmt.dtypes import Storage
from ckptfmt.errors import CorruptError

INLINE_BYTES = 64 << 10
"""Bytes of a tensor that is put into the file itself, at most."""

CONSOLIDATED = 100_000
"""The most metadata that are repeated in the groups that an array is in, one for each of these groups."""

_AT_ONCE = 1 << 20
"""Characters of the file that are collected before they are written."""


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

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors that are named like a slice of another, which is an array of its own."""
        slices = {part.name for tensor in tensors for part in _own_arrays(tensor)}
        taken = (tensor.name for tensor in tensors if tensor.name in slices)
        return dict.fromkeys(taken, "no name like that of a slice of another tensor")

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the file."""
        divided = {tensor.name: own for tensor in tensors if (own := _own_arrays(tensor))}
        names = [name for each in tensors for name in (part.name for part in divided.get(each.name, (each,)))]
        keys = array_keys(names, fold_case=False)
        for name in divided:
            writing.remarks.append(f"{name}: its slices make no regular grid, so each is an array of its own")
        parts = (part for each in tensors for part in divided.get(each.name) or (_part(each),))
        groups = {"": dict(writing.metadata), **{key: {} for key in groups_above(keys.values())}}
        is_consolidated = sum(key.count("/") + 1 for key in keys.values()) <= CONSOLIDATED
        with writing.create() as output:
            output.write(b'{"version":1,"refs":{\n')
            members = part_members(parts, keys, groups if is_consolidated else None)
            for text in _batches(group_members(groups), members):
                output.write(text.encode())
            output.write(b"\n}}\n")
            writing.advance(sum(tensor.nbytes for tensor in tensors))
        return [writing.path]


def _is_in_place(tensor: Outgoing) -> bool:
    """Return whether the bytes of an array are in data files."""
    is_array = tensor.dtype.storage in (Storage.FIXED, Storage.LOW_BITS)
    return tensor.stored is not None and isinstance(tensor.store, Bundle) and is_array


def _part(tensor: Outgoing) -> Part:
    """Return the one array that a tensor becomes."""
    entry, store = tensor.stored, tensor.store
    if entry is None or not isinstance(store, Bundle) or not _is_in_place(tensor):
        return Part(tensor.name, tensor, tensor.shape, None)
    if not entry.slices:
        return Part(tensor.name, tensor, tensor.shape, (((), store.locate(entry)),))
    partition = partition_of(entry.shape, entry.slices)
    if not partition.is_complete:
        raise CorruptError(
            f"tensor {entry.name!r}: its slices do not make all of it", file=store.files.tables[0]
        )
    places = [
        (partition.region(number), store.locate(store.index.find_slice(entry, part)))
        for number, part in enumerate(entry.slices)
    ]
    return Part(tensor.name, tensor, tensor.shape, places)


def _own_arrays(tensor: Outgoing) -> list[Part]:
    """Return the slices of a tensor as arrays of their own, if they make no grid; else nothing."""
    if tensor.stored is None or not tensor.stored.slices or not _is_in_place(tensor):
        return []
    places = _part(tensor).places or ()
    if grid_of(tensor.shape, [region for region, _ in places]) is not None:
        return []
    return [
        Part(
            f"{tensor.name}/slice_{number}",
            tensor,
            shape,
            ((whole(shape), place),),
            (tensor.shape, tuple(start for start, _ in region)),
        )
        for number, (region, place) in enumerate(places)
        for shape in [region_shape(region)]
    ]


def _batches(*members: Iterable[str]) -> Iterator[str]:
    """Iterate over the members of the JSON, many at a time, with what stands between them."""
    batch: list[str] = []
    size = 0
    start = ""
    for each in members:
        for text in each:
            batch.append(text)
            size += len(text)
            if size >= _AT_ONCE:
                yield start + ",\n".join(batch)
                batch, size, start = [], 0, ",\n"
    if batch:
        yield start + ",\n".join(batch)
