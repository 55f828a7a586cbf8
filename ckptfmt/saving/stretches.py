"""Stretches: what goes into the data files of a new checkpoint, each a tensor stored whole or one slice.

A stretch is copied if a bundle has its very bytes, and otherwise made: read, converted, computed. Its place
is that in the data files of the source, so that neighbours stay neighbours. What has no place there comes
after what has one.

::

    stored whole                         one stretch
    in slices                            a stretch for each slice
    a slot in parts, under its own name  the stored parts, as TensorFlow would look for them
    a slot in parts, renamed             a tensor in slices under its new name
    V1, big-endian                       the same, made instead of copied
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.convert import as_array, as_bytes
from ckptfmt.arrays.shape import Shape, expected_size
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry, key_of, new_key
from ckptfmt.checkpoint.partition import partition_of
from ckptfmt.checkpoint.slices import TensorSlice, region_shape, whole
from ckptfmt.checkpoint.store import Index, Store
from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.saving.objects import graph_to_store
from ckptfmt.saving.sources import Loader
from ckptfmt.tensors.mapping import TensorMapping

LOOKED_UP = 64
"""Tensors of a checkpoint up to which each is looked up; for more, all of the index is listed."""

_MOST_LENGTH, _CHECKSUM = 10, 4
"""Bytes of the longest length of a string, and of the checksum of all lengths."""

Place: TypeAlias = tuple[int, int]
"""Number of a data file of the source, and an offset in it."""


class Copied(NamedTuple):
    """Bytes that are copied."""

    bundle: Bundle
    entry: Entry


class Made(NamedTuple):
    """A value that is made when it is written."""

    load: Loader
    dtype: DType | None
    """The dtype to store it in; None for that of the value."""
    release: Callable[[], object] | None = None
    """Lets the system forget what it was made of."""


class Stretch(NamedTuple):
    """The bytes of a tensor, or of one slice of it."""

    name: str
    """The name of the tensor in the new checkpoint."""
    part: TensorSlice | None
    """The slice; None for a tensor stored whole."""
    nbytes: int
    """Bytes that it takes; for strings that are made, at most."""
    content: Copied | Made
    place: Place | None
    """Where it is in the source."""


class Tensor(NamedTuple):
    """A tensor of the new checkpoint."""

    name: str
    dtype: DType
    shape: Shape
    slices: tuple[TensorSlice, ...]
    """The slices in which it is stored; empty if whole."""
    stretches: list[Stretch]


def tensors_of(view: TensorMapping, taken: Container[str]) -> Iterator[Tensor]:
    """Iterate over the tensors to store for a checkpoint or a view; nothing is read but indexes.

    ``taken`` has all names that are to be stored. Raises CorruptError if an entry or the slices of a tensor
    are damaged, ValueError for a name that no tensor can have.
    """
    store, unchanged, stored_names = view._origin(), view._unchanged(), view._stored()
    entries = _entries(store.index, {name for name in stored_names.values() if name is not None})
    graph = graph_to_store(view)
    if graph is not None and OBJECT_GRAPH_KEY not in unchanged:
        unchanged = {**unchanged, OBJECT_GRAPH_KEY: None}
    for name, source in unchanged.items():
        new_key(name)
        place = _place_of(entries.get(stored_names.get(name) or ""))
        if name == OBJECT_GRAPH_KEY and graph is not None:
            made = Made(partial(bytes, graph), as_dtype("string"))
            yield _whole(name, as_dtype("string"), (), len(graph) + _MOST_LENGTH + _CHECKSUM, made, place)
        elif source is None:
            entry = view.entries[name]
            made = Made(partial(view.__getitem__, name), entry.dtype, partial(view._release, name))
            yield _whole(name, entry.dtype, entry.shape, _most_bytes(entry), made, place)
        elif not entries[source].slices:
            entry = entries[source]
            yield Tensor(name, entry.dtype, entry.shape, (), [_stretch(store, name, None, entry)])
        else:
            yield from _in_slices(store, name, entries[source], taken)


def tensors_of_values(loaders: Mapping[str, Loader]) -> Iterator[Tensor]:
    """Iterate over the tensors to store for values by name.

    Raises TypeError for a value that is no tensor, UnsupportedError for one that cannot be stored.
    """
    for name, load in loaders.items():
        new_key(name)
        dtype, shape, nbytes = _spec_of(name, load())
        yield _whole(name, dtype, shape, nbytes, Made(load, None), None)


def _spec_of(name: str, value: Any) -> tuple[DType, Shape, int]:  # noqa: ANN401
    """Return dtype, shape and bytes of a value as it would be stored, looking at as little as possible."""
    spec = _declared_spec(value)
    try:
        dtype, shape = spec or _spec_of_array(as_array(value, None))
    except TypeError as error:
        raise TypeError(f"tensor {name!r}: {error}") from error
    if dtype.storage is Storage.NONE:
        raise UnsupportedError(f"tensor {name!r}: tensors of dtype {dtype.name} cannot be stored")
    nbytes = expected_size(dtype, shape)
    if nbytes is None:
        nbytes = (
            sum(len(each) + _MOST_LENGTH for each in map(as_bytes, as_array(value, dtype).ravel()))
            + _CHECKSUM
        )
    return dtype, shape, nbytes


def _declared_spec(value: Any) -> tuple[DType, Shape] | None:  # noqa: ANN401
    """Return dtype and shape that an array of numbers, of any library, says it has."""
    try:
        dtype, shape = value.dtype, value.shape
        return None if getattr(dtype, "hasobject", False) else (as_dtype(dtype), tuple(map(int, shape)))
    except (AttributeError, TypeError, ValueError):
        return None


def _spec_of_array(array: Array) -> tuple[DType, Shape]:
    return as_dtype(array.dtype), array.shape


def _whole(name: str, dtype: DType, shape: Shape, nbytes: int, made: Made, place: Place | None) -> Tensor:
    return Tensor(name, dtype, shape, (), [Stretch(name, None, nbytes, made, place)])


def _most_bytes(entry: Entry) -> int:
    """Return the bytes that the tensor of an entry takes once it is made; at most, for strings."""
    size = expected_size(entry.dtype, entry.shape)
    # Lengths may be written in more bytes than those of the sources.
    return entry.nbytes + math.prod(entry.shape) * _MOST_LENGTH + _CHECKSUM if size is None else size


def _entries(index: Index, names: Collection[str]) -> dict[str, Entry]:
    """Return the entries of stored tensors by name."""
    if len(names) > LOOKED_UP:
        with suppress(CorruptError):  # of an entry that perhaps is not wanted
            # All names of the index are a key of the result, which costs less than asking for each.
            entries = dict(zip(index.names(), index.entries(), strict=True))
            if entries.keys() >= set(names):
                return entries
    found = {name: index.find(name) for name in names}
    return {name: entry for name, entry in found.items() if entry is not None}


def _place_of(entry: Entry | None) -> Place | None:
    """Return where a tensor stored whole is."""
    return None if entry is None or entry.offset is None else (entry.shard or 0, entry.offset)


def _stretch(store: Store, name: str, part: TensorSlice | None, entry: Entry) -> Stretch:
    """Return the stretch of a stored piece whose bytes are those to be written."""
    if _is_copied(store):
        return Stretch(name, part, entry.nbytes, Copied(store, entry), _place_of(entry))
    load = partial(store.read_piece, entry, None, verify=True)
    return Stretch(name, part, _most_bytes(entry), Made(load, entry.dtype), _place_of(entry))


def _is_copied(store: Store) -> TypeGuard[Bundle]:
    """Return whether the bytes of a store are those of a new checkpoint, which is little-endian."""
    return isinstance(store, Bundle) and not store.index.header.big_endian


def _in_slices(store: Store, name: str, entry: Entry, taken: Container[str]) -> Iterator[Tensor]:
    """Iterate over the tensors to store for one in slices: itself, or the parts that a slot is stored in."""
    slots = store.index.slots
    owners = set(slots.owners.get(name, {}).values()) if name == entry.name else set()
    if owners and not any(owner in taken for owner in owners if owner != name):
        for owner in sorted(owners, key=key_of):
            part = slots.parts[owner]
            yield _sliced(store, owner, part)
        return
    try:
        partition_of(entry.shape, entry.slices).needed(whole(entry.shape))
    except CkptfmtError as error:
        raise error.at(store.files.tables[0], label=f"tensor {entry.name!r}") from None
    yield _sliced(store, name, entry)


def _sliced(store: Store, name: str, entry: Entry) -> Tensor:
    """Return a tensor that is stored in the slices of an entry."""
    stretches = [_slice_of(store, name, entry, part) for part in entry.slices]
    only = stretches[0]
    if len(stretches) == 1 and isinstance(only.content, Made) and _takes_all(entry.slices[0], entry.shape):
        # V1 checkpoints have slices with the extents of the whole; TensorFlow writes such a tensor whole.
        return Tensor(name, entry.dtype, entry.shape, (), [only._replace(part=None)])
    return Tensor(name, entry.dtype, entry.shape, entry.slices, stretches)


def _slice_of(store: Store, name: str, entry: Entry, part: TensorSlice) -> Stretch:
    if isinstance(store, Bundle):
        return _stretch(store, name, part, store.index.find_slice(entry, part))
    piece = entry._replace(shape=region_shape(part.region(entry.shape)))
    load = partial(store.read_piece, entry, part, verify=True)
    return Stretch(name, part, _most_bytes(piece), Made(load, entry.dtype), None)


def _takes_all(part: TensorSlice, shape: Shape) -> bool:
    return region_shape(part.region(shape)) == shape
