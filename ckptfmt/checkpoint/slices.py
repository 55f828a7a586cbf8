"""Slices: the parts in which a tensor is stored.

A partitioned variable, or a tensor cut to fit a shard, is stored as several slices. Each has a key::

    unum 0 | str name | unum rank | for each dimension: snum start, snum length      (ordered code)

A dimension taken in full has start 0 and length -1. The same keys name the values of V1 checkpoints.
Source: TensorFlow ``core/util/saved_tensor_slice_util.cc``, ``core/framework/tensor_slice.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from ckptfmt.arrays.array import Box
from ckptfmt.arrays.shape import Shape
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.text.quoting import listed
from ckptfmt.wire.coding import Buffer, encode_varint, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields
from ckptfmt.wire.ordered_code import (
    decode_snum,
    decode_string,
    decode_unum,
    encode_snum,
    encode_string,
    encode_unum,
)

FULL = -1
"""Length of a dimension that a slice takes in full, whatever its size."""

Region: TypeAlias = tuple[tuple[int, int], ...]
"""Start and stop in each dimension."""

_GAP_CELLS = 1 << 20
"""A gap is located only if the grid of slice borders has no more cells than this, a byte for each."""

MAX_COMPARED = 1 << 30
"""The most comparisons of two slices in one dimension that are made for a tensor: a second or two."""

_LISTED = 10
"""The most slices that an error lists."""

_GAP_RANK = 32
"""A gap is located only in up to this many dimensions, the most that arrays have before NumPy 2."""

_REMEMBERED_BYTES = 128
"""Serialized slices up to this size, which have five dimensions or more, are decoded once."""


@dataclass(frozen=True, slots=True)
class TensorSlice:
    """A box of a tensor, as it is written in keys and messages."""

    extents: tuple[tuple[int, int], ...]
    """Start and length in each dimension; (0, FULL) takes all of it."""

    def region(self, shape: Shape) -> Region:
        """Return start and stop in each dimension of a tensor of ``shape``; CorruptError if outside."""
        if len(self.extents) != len(shape):
            raise CorruptError(f"slice {self} of a tensor of shape {list(shape)}: ranks differ")
        region = []
        for (start, length), size in zip(self.extents, shape, strict=True):
            # FULL is all of a dimension, so it starts at 0; a slice without elements stores nothing.
            stop = size if length == FULL else start + length
            if start < 0 or stop > size or (start if length == FULL else length <= 0):
                raise CorruptError(f"slice {self} does not fit shape {list(shape)}")
            region.append((start, stop))
        return tuple(region)

    def covers_all(self) -> bool:
        """Whether every dimension is taken in full."""
        return all(extent == (0, FULL) for extent in self.extents)

    def __str__(self) -> str:
        return ":".join("-" if length == FULL else f"{start},{length}" for start, length in self.extents)


def decode_slice(data: Buffer) -> TensorSlice:
    """Return the slice of a serialized TensorSliceProto; a length left out takes the dimension in full."""
    # Variables that are partitioned alike have the same slices.
    return _decode_slice_once(bytes(data)) if len(data) <= _REMEMBERED_BYTES else _decode_slice(data)


@lru_cache(maxsize=4096)
def _decode_slice_once(data: bytes) -> TensorSlice:
    return _decode_slice(data)


def _decode_slice(data: Buffer) -> TensorSlice:
    extents = []
    for field in decode_fields(data):
        if (field.number, field.wire_type) != (1, LENGTH_DELIMITED):
            continue
        start, length = 0, FULL
        for part in decode_fields(field.content):
            if (part.number, part.wire_type) == (1, VARINT):
                start = to_signed(part.value)
            elif (part.number, part.wire_type) == (2, VARINT):
                length = to_signed(part.value)
        extents.append((start, length))
    return TensorSlice(tuple(extents))


def encode_slice(part: TensorSlice) -> bytes:
    """Return the serialized TensorSliceProto of a slice; :func:`decode_slice` is the inverse."""
    extents = []
    for start, length in part.extents:
        # The length is in a oneof, so that a zero is written too.
        extent = (b"\x08" + encode_varint(start) if start else b"") + (
            b"" if length == FULL else b"\x10" + encode_varint(length)
        )
        extents.append(b"\x0a" + encode_varint(len(extent)) + extent)
    return b"".join(extents)


def encode_slice_key(name: bytes, part: TensorSlice) -> bytes:
    """Return the key under which a slice of a tensor is stored."""
    return slice_key_start(name) + slice_key_end(part)


def slice_key_start(name: bytes) -> bytes:
    """Return the prefix of all keys of this tensor's slices, and of no other; prefixes sort as names do."""
    return encode_unum(0) + encode_string(name)


def slice_key_end(part: TensorSlice) -> bytes:
    """Return the rest of a slice's key, after :func:`slice_key_start`."""
    return encode_unum(len(part.extents)) + b"".join(map(_encode_extent, part.extents))


@lru_cache(maxsize=4096)
def _encode_extent(extent: tuple[int, int]) -> bytes:
    return encode_snum(extent[0]) + encode_snum(extent[1])


def decode_slice_key(key: bytes) -> tuple[bytes, TensorSlice]:
    """Return the name and the slice of a key; CorruptError if it is not a slice key."""
    zero, pos = decode_unum(key, 0)
    if zero:
        raise CorruptError(f"slice key starts with {zero}, want 0", offset=0)
    name, pos = decode_string(key, pos)
    rank, pos = decode_unum(key, pos)
    extents = []
    # A dimension takes at least two bytes, so the key's own length bounds the claimed rank.
    if rank > len(key):
        raise CorruptError(f"slice key of {len(key)} bytes claims rank {rank}", offset=pos)
    for _ in range(rank):
        start, pos = decode_snum(key, pos)
        length, pos = decode_snum(key, pos)
        extents.append((start, length))
    if pos != len(key):
        raise CorruptError(f"slice key has {len(key) - pos} bytes after its end", offset=pos)
    return name, TensorSlice(tuple(extents))


def whole(shape: Shape) -> Region:
    """Return the region that is all of a tensor."""
    return tuple((0, size) for size in shape)


def region_shape(region: Region) -> Shape:
    """Return the shape of the array that holds a region."""
    return tuple(stop - start for start, stop in region)


def intersect(a: Region, b: Region) -> Region | None:
    """Return the region that two regions share; None if they share nothing."""
    shared = tuple((max(p, r), min(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))
    return shared if all(start < stop for start, stop in shared) else None


def within(region: Region, outer: Region) -> Box:
    """Return the index that takes ``region`` out of an array that holds ``outer``."""
    # With an ellipsis, indexing a 0-d array returns an array, not a scalar.
    return *(slice(a - c, b - c) for (a, b), (c, _) in zip(region, outer, strict=True)), ...


def describe_stored(slices: Sequence[TensorSlice], shape: Shape) -> str:
    """Describe the stored slices of a tensor, and the index that reads the first; empty if there are none."""
    if not slices:
        return ""
    index = ", ".join(f"{start}:{stop}" for start, stop in slices[0].region(shape)) or "..."
    return f"; stored: {listed(slices, _LISTED, quote=str)}; read a part by ckpt.slice(name)[{index}]"


def find_overlap(slices: Sequence[TensorSlice], starts: np.ndarray, stops: np.ndarray) -> None:
    """Raise CorruptError if two slices share an element; ``starts`` and ``stops`` have a row for each slice.

    Two boxes meet if they meet in every dimension. A sweep along one dimension finds the pairs that meet in
    it; the dimension with the fewest pairs leaves the fewest to compare in the others. Nearly always a tensor
    is cut along one dimension only, where no pair meets, and sorting is the whole cost. The number of
    comparisons is bounded, because a damaged index may list slices that all meet in every dimension but the
    last.
    """
    count, rank = starts.shape
    if count < 2 or not rank:
        if count > 1:
            raise CorruptError(f"{count} slices of a scalar overlap")
        return
    starts, stops = starts.T, stops.T
    sweeps = [_sweep(*edges) for edges in zip(starts, stops, strict=True)]
    pairs, order, ends = min(sweeps, key=lambda sweep: sweep[0])
    if not pairs:
        return
    starts, stops = starts[:, order], stops[:, order]
    left = MAX_COMPARED // len(starts)
    # Only intervals that meet a later one in the chosen dimension; each is compared with these in all others.
    for i in np.flatnonzero(ends > np.arange(1, len(ends) + 1)).tolist():
        later = slice(i + 1, ends[i])
        clash = np.ones(ends[i] - i - 1, bool)
        for start, stop in zip(starts, stops, strict=True):
            clash &= start[later] < stop[i]
            clash &= stop[later] > start[i]
        if clash.any():
            a, b = order[i], order[i + 1 + int(clash.argmax())]
            raise CorruptError(f"slices {slices[a]} and {slices[b]} overlap")
        left -= len(clash)
        if left < 0:
            limit = MAX_COMPARED // len(starts)
            raise LimitError(f"comparisons among {count} slices", limit=limit, asked=pairs)


def sweep_axis(starts: np.ndarray, stops: np.ndarray) -> int:
    """Return the dimension in which the fewest pairs of slices meet."""
    pairs = [_sweep(*edges)[0] for edges in zip(starts.T, stops.T, strict=True)]
    return pairs.index(min(pairs))


def _sweep(starts: np.ndarray, stops: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Count the pairs of intervals that meet in one dimension.

    Returns the number of pairs, the order of the intervals by start, and for each in that order the end of
    the later ones that it meets: those that start before it stops. They follow it without a gap.
    """
    order = np.argsort(starts, kind="stable")
    ends = np.searchsorted(starts[order], stops[order], side="left")
    return int(np.maximum(ends - np.arange(1, len(ends) + 1), 0).sum()), order, ends


def describe_gap(wanted: Region, regions: Sequence[Region]) -> str:
    """Describe the first part of ``wanted`` that no region holds; empty if that costs too much.

    The borders of all regions cut ``wanted`` into a grid of cells. A region covers a cell completely or not
    at all. Cells are marked region by region, and the first unmarked one is the gap.
    """
    edges = [
        sorted({low, high, *(min(max(edge, low), high) for region in regions for edge in region[axis])})
        for axis, (low, high) in enumerate(wanted)
    ]
    cells = tuple(len(edge) - 1 for edge in edges)
    if math.prod(cells) > _GAP_CELLS or len(cells) > _GAP_RANK:
        return ""
    # Borders outside ``wanted`` have been moved to its own borders, so each has a place in the grid.
    positions = [{edge: i for i, edge in enumerate(axis)} for axis in edges]
    covered = np.zeros(cells, bool)
    for region in regions:
        box = []
        for position, (low, high), (start, stop) in zip(positions, wanted, region, strict=True):
            box.append(slice(position[min(max(start, low), high)], position[min(max(stop, low), high)]))
        covered[tuple(box)] = True
    # There is an unmarked cell, as elements have been counted elements that are missing.
    first = np.unravel_index(int(np.argmin(covered)), cells)
    gap = ":".join(f"{edge[i]},{edge[i + 1] - edge[i]}" for edge, i in zip(edges, first, strict=True))
    return f", first at {gap or 'the scalar'}"
