"""Tensors as arrays of Dask: lazy, in chunks that follow the slices in which they are stored.

A chunk is read by a :class:`~ckptfmt.tensors.slice_reader.SliceReader`, which opens the files again in
another process. Nothing is read but the index until Dask computes something.
"""

from __future__ import annotations

import importlib
import math
import pickle
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import CorruptError, MissingDependencyError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.slice_reader import SliceReader

STRING_BYTES = 64
"""Bytes that an element counts if its size varies."""

MAX_CHUNKS = 1_000_000
"""The most chunks of a tensor: a graph of more takes minutes."""

_OPEN_READERS = 64
"""Tensors whose files another process keeps open."""


def to_dask(tensors: TensorMapping, names: Iterable[str] | None, chunk_bytes: int) -> dict[str, Any]:
    """Return arrays of Dask by name; see :meth:`Tensors.to_dask`."""
    if isinstance(names, str):
        raise TypeError(f"names: got the string {names!r}, want a list of names")
    if chunk_bytes < 1:
        raise ValueError(f"chunk_bytes: got {chunk_bytes}, want at least 1")
    try:
        dask = importlib.import_module("dask.array")
    except ImportError:
        raise MissingDependencyError("dask", "dask") from None
    if names is None:
        wanted = [name for name in tensors if name != OBJECT_GRAPH_KEY]
    else:
        wanted = list(dict.fromkeys(names))
        absent = tensors._absent(wanted)
        if absent:
            raise tensors._not_found(absent)
    return {name: _array(dask, tensors, name, chunk_bytes) for name in wanted}


def _array(dask: Any, tensors: TensorMapping, name: str, chunk_bytes: int) -> Any:  # noqa: ANN401
    reader = tensors.slice(name)
    dtype = reader.dtype.numpy
    chunks = _chunks(tensors.entries[name], chunk_bytes)
    borders = [np.cumsum([0, *sizes]).tolist() for sizes in chunks]
    # With a name, Dask does not hash the arguments, for which it would pickle them.
    return dask.map_blocks(
        _read_block,
        reader=_Reader(reader),
        borders=borders,
        name=f"ckptfmt-{uuid.uuid4().hex}",
        chunks=chunks,
        dtype=dtype,
        meta=np.empty((0,) * len(chunks), dtype),
    )


def _read_block(reader: _Reader, borders: Sequence[Sequence[int]], block_id: tuple[int, ...]) -> Array:
    """Return one chunk, given its position in the grid."""
    index = (
        slice(places[number], places[number + 1]) for places, number in zip(borders, block_id, strict=True)
    )
    # With an ellipsis, a scalar is an array.
    selection = (*index, ...)
    return reader.reader[selection]


class _Reader:
    """A reader that a process which gets many tasks opens once."""

    def __init__(self, reader: SliceReader) -> None:
        self.reader = reader

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (pickle.dumps(self.reader),)


@lru_cache(maxsize=_OPEN_READERS)
def _reopen(pickled: bytes) -> _Reader:
    return _Reader(pickle.loads(pickled))  # noqa: S301  (made by _Reader)


def _chunks(entry: Entry, chunk_bytes: int) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of the chunks along each axis: of slices that make a grid, or of parts of them."""
    itemsize = entry.dtype.itemsize or max(STRING_BYTES, entry.nbytes // max(1, math.prod(entry.shape)))
    limit = max(1, chunk_bytes // itemsize)
    axes = _grid(entry) or tuple((size,) for size in entry.shape)
    # The first axis is cut first, so that a chunk is a stretch of what is stored. Only if a row alone is too
    # large, the chunks are single rows, and the next axis is cut too.
    inner = [math.prod(max(sizes) for sizes in axes[axis + 1 :]) for axis in range(len(axes))]
    limits = [max(1, limit // max(1, each)) for each in inner]
    count = math.prod(
        sum(max(1, math.ceil(size / most)) for size in sizes)
        for sizes, most in zip(axes, limits, strict=True)
    )
    if count > MAX_CHUNKS:
        raise ValueError(
            f"chunk_bytes: got {chunk_bytes}, which makes {count} chunks of {entry.name!r}, "
            f"want at most {MAX_CHUNKS}"
        )
    return tuple(
        tuple(part for size in sizes for part in _cut(size, most))
        for sizes, most in zip(axes, limits, strict=True)
    )


def _cut(size: int, limit: int) -> list[int]:
    """Cut an axis into parts of up to ``limit``, as equal as can be."""
    count = max(1, math.ceil(size / limit))
    return [size * (number + 1) // count - size * number // count for number in range(count)]


def _grid(entry: Entry) -> tuple[tuple[int, ...], ...] | None:
    """Return the sizes of slices along each axis, if these make a grid; else None."""
    try:
        regions = [part.region(entry.shape) for part in entry.slices]
    except CorruptError:
        return None  # reading says where
    if not regions:
        return None
    axes = []
    for axis in range(len(entry.shape)):
        borders = sorted({border for region in regions for border in region[axis]})
        cells = dict(pairwise(borders))
        if any(cells.get(region[axis][0]) != region[axis][1] for region in regions):
            return None
        axes.append(tuple(stop - start for start, stop in cells.items()))
    # Slices do not overlap, so as many as there are cells fill them all.
    return tuple(axes) if math.prod(map(len, axes)) == len(regions) else None
