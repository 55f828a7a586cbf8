"""Tensors on their way into a file: what is known of each, and its values in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, whole
from ckptfmt.checkpoint.store import Store
from ckptfmt.dtypes import DType
from ckptfmt.tensors.mapping import TensorMapping

PIECE_BYTES = 16 << 20
"""Bytes of a piece, at most, unless a single element takes more."""


class Outgoing(NamedTuple):
    """A tensor on its way."""

    entry: Entry
    """Its name in the target, dtype and shape."""
    tensors: TensorMapping
    """What it is read from, by its name."""
    stored: Entry | None
    """The tensor of the checkpoint that it is bit by bit, with its place in the data files; or None."""
    store: Store | None
    """The checkpoint that has ``stored``."""

    @property
    def name(self) -> str:
        """Its name in the target."""
        return self.entry.name

    @property
    def dtype(self) -> DType:
        """Its dtype."""
        return self.entry.dtype

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.entry.shape

    @property
    def nbytes(self) -> int:
        """Bytes of its array; of strings, as far as they are known."""
        itemsize = self.dtype.itemsize
        return self.entry.nbytes if itemsize is None else itemsize * math.prod(self.shape)

    def whole(self) -> Array:
        """Return all of it, verified, as a read-only array: a view of a mapped file if possible."""
        return self.tensors[self.name]

    def part(self, region: Region) -> Array:
        """Return a region of it, verified."""
        return self.tensors._region(self.name, region, verified=True)

    def pieces(self, limit: int = PIECE_BYTES) -> Iterator[Array]:
        """Iterate over all of it in C order, in pieces of up to ``limit`` bytes that follow one another."""
        if self.nbytes <= limit or not self.shape:
            yield self.whole()
            return
        itemsize = self.dtype.itemsize or 1
        for region in _cut(self.shape, max(1, limit // itemsize)):
            yield self.part(region)

    def release(self) -> None:
        """Let the system forget its bytes: they will not be asked for again."""
        self.tensors._release(self.name)


def outgoing(tensors: TensorMapping) -> list[Outgoing]:
    """Return the tensors of a checkpoint, a view or a file as they go into a target."""
    store, unchanged = tensors._origin(), tensors._unchanged()
    index = None if store is None else store.index

    def stored(name: str) -> Entry | None:
        source = unchanged.get(name)
        return None if index is None or source is None else index.find(source)

    return [
        Outgoing(entry._replace(name=name), tensors, stored(name), store) for name, entry in _entries(tensors)
    ]


def _entries(tensors: TensorMapping) -> Iterator[tuple[str, Entry]]:
    yield from tensors.entries.items()


def _cut(shape: Shape, limit: int) -> Iterator[Region]:
    """Cut a shape into regions of up to ``limit`` elements that are contiguous, in C order."""
    inner = math.prod(shape[1:])
    if inner > limit and shape[1:]:
        for row in range(shape[0]):
            for rest in _cut(shape[1:], limit):
                yield ((row, row + 1), *rest)
        return
    rows = max(1, limit // max(1, inner))
    for start in range(0, shape[0], rows):
        yield ((start, min(start + rows, shape[0])), *whole(shape[1:]))
