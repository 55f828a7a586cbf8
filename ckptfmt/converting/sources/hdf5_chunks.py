"""Chunks of HDF5 datasets, decompressed within bounds.

HDF5 decompresses a chunk into as much memory as it takes, whatever its size should be. So chunks that are
compressed in the usual ways, by zlib after a shuffle or not, are decompressed here. Other filters are left to
HDF5 and its plugins.
"""

from __future__ import annotations

import itertools
import math
import zlib
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, intersect, within
from ckptfmt.converting.sources.hdf5_library import h5py
from ckptfmt.errors import CorruptError

MAX_LISTED = 1 << 18
"""The most chunks that are listed in memory, to know which of them exist: about 200 bytes each."""


class Chunks(NamedTuple):
    """The chunks of a dataset."""

    dataset: Any
    """A ``h5py.h5d.DatasetID``."""
    shape: Shape
    """The shape of a chunk."""
    filters: tuple[int, ...]
    """Codes of the filters that made it, in this order."""
    existing: frozenset[Shape]
    """Where each chunk that exists begins."""

    def read(self, out: Array, region: Region, size: Shape) -> None:
        """Fill ``out``, the elements of a region as they are stored, with what exists of it.

        Raises CorruptError if a chunk has not the size that it should have, or what h5py raises.
        """
        steps = (
            range(start - start % step, stop, step)
            for (start, stop), step in zip(region, self.shape, strict=True)
        )
        for begin in itertools.product(*steps):
            if begin not in self.existing:
                continue
            box = tuple(
                (first, min(first + step, end))
                for first, step, end in zip(begin, self.shape, size, strict=True)
            )
            shared = intersect(box, region)
            if shared is None:
                continue
            chunk: Array = np.ndarray(self.shape, out.dtype, self._decoded(begin, out.dtype.itemsize))
            out[within(shared, region)] = chunk[within(shared, box)]

    def _decoded(self, begin: Shape, itemsize: int) -> bytes:
        wanted = math.prod(self.shape) * itemsize
        mask, data = self.dataset.read_direct_chunk(begin)
        for number, code in reversed(list(enumerate(self.filters))):
            if mask >> number & 1:
                continue  # this chunk was stored without it
            data = _inflate(data, wanted) if code == h5py.h5z.FILTER_DEFLATE else _unshuffle(data, itemsize)
        if len(data) != wanted:
            raise CorruptError(f"chunk at {list(begin)}: got {len(data)} bytes, want {wanted}")
        return bytes(data)


def find_chunks(dataset: Any, size: Shape) -> Chunks | None:  # noqa: ANN401  (h5py.h5d.DatasetID)
    """Return the chunks of an open dataset; None if HDF5 has to read them."""
    plist = dataset.get_create_plist()
    shape = tuple(map(int, plist.get_chunk()))
    filters = tuple(plist.get_filter(number)[0] for number in range(plist.get_nfilters()))
    if set(filters) - {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}:
        return None
    grid = math.prod(-(-end // step) for end, step in zip(size, shape, strict=True))
    if grid > MAX_LISTED or not hasattr(dataset, "chunk_iter"):  # from HDF5 1.12.3 on
        return None
    existing: set[Shape] = set()
    dataset.chunk_iter(lambda chunk: existing.add(tuple(chunk.chunk_offset)))
    return Chunks(dataset, shape, filters, frozenset(existing))


def _inflate(data: bytes, wanted: int) -> bytes:
    try:
        # One byte more than wanted shows that there are too many.
        return zlib.decompressobj().decompress(data, wanted + 1)
    except zlib.error as error:
        raise CorruptError(f"chunk: {error}") from None


def _unshuffle(data: bytes, itemsize: int) -> bytes:
    """Put the bytes of each element together again: the first bytes of all of them are stored first."""
    count = len(data) // itemsize
    if itemsize == 1 or count <= 1:
        return data
    whole = count * itemsize
    planes: Array = np.frombuffer(data, np.uint8, whole).reshape(itemsize, count)
    return bytes(planes.T.tobytes()) + data[whole:]
