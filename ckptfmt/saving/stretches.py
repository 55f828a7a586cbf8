"""Stretches: what goes into the data files of a new checkpoint, each a tensor stored whole or one slice.

A stretch is copied if a bundle has its very bytes, and otherwise made: read, converted, computed. It keeps
its place in the data files of the source, so that neighbours stay neighbours. What has no place there comes
after what has one.

::

    stored whole                         one stretch
    in slices                            a stretch for each slice
    a slot in parts, under its own name  the slices of the stored parts, which TensorFlow looks for
    a slot in parts, renamed             the same slices, of one tensor
    V1, big-endian                       the same, made instead of copied
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from ckptfmt.arrays.shape import Shape, expected_size
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry, key_of, new_entry, new_keys
from ckptfmt.checkpoint.new_tensor import new_tensor
from ckptfmt.checkpoint.partition import partition_of
from ckptfmt.checkpoint.slices import TensorSlice, region_shape, whole
from ckptfmt.checkpoint.store import Index, Store
from ckptfmt.dtypes import DType, as_dtype
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.wire.coding import encode_varint

LOOKED_UP = 64
"""Tensors of a checkpoint up to which each is looked up; for more, all of the index is listed."""

_MOST_LENGTH, _CHECKSUM = 10, 4
"""Bytes of the longest length of a string, and of the checksum of all lengths."""


class Made(NamedTuple):
    """A value that is made when it is written."""

    load: Callable[[], Any]
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
    full_shape: Shape
    """The shape of the tensor."""
    entry: Entry
    """Dtype, shape and bytes (of strings that a plan makes, at most), and the place in the source, if any."""
    origin: Bundle | Made
    """The bundle to copy from, or what makes the value."""

    @property
    def is_copied(self) -> bool:
        """Whether the bytes are copied."""
        return not isinstance(self.origin, Made)


def stretches_of(
    view: TensorMapping, taken: Container[str], *, without_graph: bool = False
) -> Iterator[Stretch]:
    """Iterate over the stretches of a checkpoint or a view; nothing is read but indexes.

    ``taken`` has all names that are to be stored. ``without_graph`` leaves out object graphs.

    Raises CorruptError if an entry or the slices of a tensor are damaged, ValueError for a name that no
    tensor can have.
    """
    store, unchanged = view._origin(), view._unchanged()
    if store is None:  # another program's file, whose tensors are all read
        _check_names(view, dict.fromkeys(unchanged))
        yield from (_made(view, name, None) for name in unchanged)
        return
    stored_names = view._stored() if None in unchanged.values() else unchanged
    _check_names(view, unchanged)
    wanted = {*unchanged.values(), *stored_names.values()}
    entries = entries_by_name(store.index, {name for name in wanted if name is not None})
    bundle = store if _is_copied(store) else None
    for name, source in unchanged.items():
        entry = None if source is None else entries[source]
        if without_graph and OBJECT_GRAPH_KEY in (name, stored_names[name]):
            continue
        if entry is None:
            yield _made(view, name, entries.get(stored_names[name] or ""))
        elif entry.slices:
            yield from _in_slices(store, name, entry, taken)
        elif bundle is not None:
            yield Stretch(name, None, entry.shape, entry, bundle)
        else:
            yield _read(store, name, None, entry)


def _check_names(view: TensorMapping, unchanged: Mapping[str, str | None]) -> None:
    """Raise ValueError for a new name that no tensor can have, UnsupportedError for one that is stored."""
    try:
        new_keys(list(unchanged))
    except ValueError as error:
        for name, source in unchanged.items():
            if name == source and name[:1] == "\0":
                # TensorFlow reads such a name, but would take some of them for those of slices.
                raise UnsupportedError(str(error), file=view.prefix) from None
        raise


def check_values(values: Mapping[str, Any]) -> None:
    """Raise TypeError unless all values are tensors, UnsupportedError unless they can be stored."""
    new_keys(list(values))
    known = set()
    for name, value in values.items():
        is_array = type(value) is np.ndarray and not value.dtype.hasobject
        if not is_array or value.dtype not in known:
            new_tensor(f"tensor {name!r}", value, None)
            if is_array:
                known.add(value.dtype)


def stretches_of_values(values: Mapping[str, Any]) -> Iterator[Stretch]:
    """Iterate over the stretches of values by name; raises what :func:`check_values` raises."""
    new_keys(list(values))
    # Few arrays have a dtype and shape of their own, so that most are not looked at further.
    known: dict[tuple[object, Shape], tuple[DType, int]] = {}
    for name, value in values.items():
        kind = (value.dtype, value.shape) if type(value) is np.ndarray and not value.dtype.hasobject else None
        spec = None if kind is None else known.get(kind)
        if spec is None:
            tensor = new_tensor(f"tensor {name!r}", value, None)
            shape, spec = tensor.shape, (tensor.dtype, tensor.form.size)
            if kind is not None:
                known[kind] = spec
        else:
            shape = value.shape
        dtype, nbytes = spec
        entry = new_entry((name, dtype, shape, nbytes, None, None, None, ()))
        yield Stretch(name, None, shape, entry, Made(partial(values.__getitem__, name), None))


def _made(view: TensorMapping, name: str, place: Entry | None) -> Stretch:
    """Return the stretch of a tensor that a view makes."""
    entry = view.entries[name]
    made = Made(partial(view.__getitem__, name), entry.dtype, partial(view._release, name))
    return Stretch(name, None, entry.shape, _at(entry._replace(nbytes=_most_bytes(entry)), place), made)


def graph_stretch(graph: bytes) -> Stretch:
    """Return the stretch of an object graph."""
    dtype = as_dtype("string")
    nbytes = len(encode_varint(len(graph))) + _CHECKSUM + len(graph)
    entry = Entry(OBJECT_GRAPH_KEY, dtype, (), nbytes, None, None, None, ())
    return Stretch(OBJECT_GRAPH_KEY, None, (), entry, Made(lambda: graph, dtype))


def _at(entry: Entry, place: Entry | None) -> Entry:
    """Return an entry that has the place of another, if that has one."""
    if place is None:
        return entry._replace(shard=None, offset=None)
    return entry._replace(shard=place.shard, offset=place.offset)


def _most_bytes(entry: Entry) -> int:
    """Return the bytes that the tensor of an entry takes once it is made; at most, for strings."""
    size = expected_size(entry.dtype, entry.shape)
    # Lengths may be written in more bytes than those of the sources.
    return entry.nbytes + math.prod(entry.shape) * _MOST_LENGTH + _CHECKSUM if size is None else size


def entries_by_name(index: Index, names: Collection[str]) -> dict[str, Entry]:
    """Return the entries of stored tensors by name."""
    if len(names) > LOOKED_UP:
        with suppress(CorruptError):  # of an entry that perhaps is not wanted
            # All names of the index are a key of the result, which costs less than asking for each.
            entries = dict(zip(index.names(), index.entries(), strict=True))
            if entries.keys() >= set(names):
                return entries
    found = {name: index.find(name) for name in names}
    return {name: entry for name, entry in found.items() if entry is not None}


def _is_copied(store: Store) -> TypeGuard[Bundle]:
    """Return whether the bytes of a store are those of a new checkpoint, which is little-endian."""
    return isinstance(store, Bundle) and not store.index.header.big_endian


def _read(store: Store, name: str, part: TensorSlice | None, entry: Entry) -> Stretch:
    """Return the stretch of a tensor, or a slice of one, that has to be decoded."""
    made = Made(partial(store.read_piece, entry, part, verify=True), entry.dtype)
    shape = entry.shape if part is None else region_shape(part.region(entry.shape))
    piece = entry._replace(shape=shape, slices=(), shard=None, offset=None)
    return Stretch(name, part, entry.shape, piece._replace(nbytes=_most_bytes(piece)), made)


def _in_slices(store: Store, name: str, entry: Entry, taken: Container[str]) -> Iterator[Stretch]:
    """Iterate over the slices of a tensor, under its name or those of the parts that a slot is stored in."""
    slots = store.index.slots
    owners = set(slots.owners.get(name, {}).values()) if name == entry.name else set()
    if owners and not any(owner in taken for owner in owners if owner != name):
        for owner in sorted(owners, key=key_of):
            yield from _slices(store, owner, slots.parts[owner])
        return
    try:
        partition_of(entry.shape, entry.slices).needed(whole(entry.shape))
    except CkptfmtError as error:
        raise error.at(store.files.tables[0], label=f"tensor {entry.name!r}") from None
    yield from _slices(store, name, entry)


def _slices(store: Store, name: str, entry: Entry) -> Iterator[Stretch]:
    for part in entry.slices:
        if _is_copied(store):
            yield Stretch(name, part, entry.shape, store.index.find_slice(entry, part), store)
        else:
            yield _read(store, name, part, entry)
