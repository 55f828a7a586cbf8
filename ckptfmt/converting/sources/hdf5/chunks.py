"""Chunks of HDF5 datasets, decompressed within bounds.

HDF5 decompresses a chunk into as much memory as it takes, whatever its size should be. So chunks that are
stored in the usual ways are read here: shuffled or not, then compressed by zlib or not, with a checksum or
without. Other filters are left to HDF5 and its plugins.
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
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.errors import ChecksumError, CorruptError

MAX_LISTED = 1 << 18
"""The most chunks that are listed in memory, to know which of them exist: about 200 bytes each."""


_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

_CHECKSUM_SIZE = 4

_AT_ONCE = 1 << 18
"""Words whose checksum is computed at a time, in 24 times as many bytes."""

_FLETCHER = 65535
"""The modulus of both halves of a Fletcher-32 checksum."""


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

        Raises CorruptError if a chunk has the wrong size, or what h5py raises.
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
            if code == h5py.h5z.FILTER_FLETCHER32:
                data = _checked(data, f"chunk at {list(begin)}")
            elif code == h5py.h5z.FILTER_DEFLATE:
                # A checksum that was added before is compressed too.
                checksums = self.filters[:number].count(h5py.h5z.FILTER_FLETCHER32)
                data = _inflate(data, wanted + checksums * _CHECKSUM_SIZE)
            else:
                data = _unshuffle(data, itemsize)
        if len(data) != wanted:
            raise CorruptError(f"chunk at {list(begin)}: got {len(data)} bytes, want {wanted}")
        return bytes(data)


def find_chunks(dataset: Any, size: Shape) -> Chunks | None:  # noqa: ANN401  (h5py.h5d.DatasetID)
    """Return the chunks of an open dataset; None if HDF5 has to read them."""
    plist = dataset.get_create_plist()
    shape = tuple(map(int, plist.get_chunk()))
    filters = tuple(plist.get_filter(number)[0] for number in range(plist.get_nfilters()))
    if not _FILTERS.issuperset(filters):
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


def _checked(data: bytes, what: str) -> bytes:
    """Return what is before a Fletcher-32 checksum; ChecksumError if they differ."""
    body, end = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if len(end) < _CHECKSUM_SIZE:
        raise CorruptError(f"{what}: got {len(data)} bytes, want a checksum")
    words: Array = np.frombuffer(body + bytes(len(body) % 2), ">u2")
    halves = _fletcher(words)
    # HDF5 1.6.2 swapped the bytes of each half on little-endian machines; every version reads that too.
    for order in ("<u2", ">u2"):
        if tuple(int(half) % _FLETCHER for half in np.frombuffer(end, order)) == halves:
            return body
    stored = int.from_bytes(end, "little")
    raise ChecksumError(what, stored=stored, computed=halves[1] << 16 | halves[0])


def _fletcher(words: Array) -> tuple[int, int]:
    """Return the sum of words, and the sum of all sums up to each of them."""
    total = weighted = 0
    for start in range(0, len(words), _AT_ONCE):
        part = words[start : start + _AT_ONCE].astype(np.int64)
        # The first word is in all sums, the last one only in the last.
        count = len(words) - start
        weights = np.arange(count, count - len(part), -1, dtype=np.int64)
        total += int(part.sum())
        weighted += int((part * (weights % _FLETCHER)).sum())
    return total % _FLETCHER, weighted % _FLETCHER


def _unshuffle(data: bytes, itemsize: int) -> bytes:
    """Put the bytes of each element together again: the first bytes of all of them are stored first."""
    count = len(data) // itemsize
    if itemsize == 1 or count <= 1:
        return data
    whole = count * itemsize
    planes: Array = np.frombuffer(data, np.uint8, whole).reshape(itemsize, count)
    return bytes(planes.T.tobytes()) + data[whole:]
