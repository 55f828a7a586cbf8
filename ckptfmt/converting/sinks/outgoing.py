"""Tensors on their way into a file: what is known of each, and its values in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, whole
from ckptfmt.checkpoint.store import Store
from ckptfmt.dtypes import DType, Storage
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.saving.stretches import entries_by_name
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
    """The tensor of the checkpoint that has the same bits, with its place in the data files; or None."""
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

    @property
    def is_plain(self) -> bool:
        """Whether the bytes of ``stored`` are those of its array, little-endian, so that they may be copied.

        Those of bools are not: any byte but 0 counts as true.
        """
        store, dtype = self.store, self.dtype
        if self.stored is None or not isinstance(store, Bundle) or store.index.header.big_endian:
            return False
        return dtype.storage is Storage.FIXED and dtype.name != "bool"

    def whole(self) -> Array:
        """Return all of it, verified, as a read-only array: a view of a mapped file if possible."""
        return self.tensors[self.name]

    def part(self, region: Region) -> Array:
        """Return a region of it, verified, which may take reading all of it."""
        return self.tensors._region(self.name, region, verified=True)

    def reader(self) -> Callable[[Region], Array]:
        """Return a function that reads regions one after the other: all of it is verified now, once."""
        return self.tensors._regions(self.name)

    def pieces(self, limit: int = PIECE_BYTES, *, skip: int = 0) -> Iterator[Array]:
        """Iterate over all of it in C order, in pieces of up to ``limit`` bytes that follow one another.

        Pieces that lie within the first ``skip`` bytes are left out. All is verified before the first piece
        is returned. Memory is that of a piece, except for what has to be decoded or made whole: a tensor of a
        V1 checkpoint, the operand of a reshape, and strings.
        """
        itemsize = self.dtype.itemsize
        if self.nbytes <= limit or not self.shape or itemsize is None:
            if not skip or skip < self.nbytes:
                yield self.whole()
            return
        read = self.reader()
        offset = 0
        for region in cut(self.shape, max(1, limit // itemsize)):
            nbytes = itemsize * math.prod(stop - start for start, stop in region)
            offset += nbytes
            if offset > skip:
                yield read(region)

    def encoded(self, advance: Callable[[int], None]) -> Iterator[memoryview]:
        """Iterate over its bytes, little-endian; ``advance`` is called with the size of each piece."""
        for piece in self.pieces():
            yield from encode_pieces(piece, self.dtype)
            advance(piece.nbytes)

    def release(self) -> None:
        """Let the system forget its bytes: they will not be asked for again."""
        self.tensors._release(self.name)


def outgoing(tensors: TensorMapping) -> list[Outgoing]:
    """Return the tensors of a checkpoint, a view or a file as they go into a target; no object graph."""
    store, unchanged, stored = tensors._origin(), tensors._unchanged(), tensors._stored()
    places = {} if store is None else entries_by_name(store.index, set(filter(None, unchanged.values())))
    going = []
    for name, source in unchanged.items():
        if OBJECT_GRAPH_KEY in (name, stored[name]):
            continue
        place = None if source is None else places.get(source)
        entry = tensors.entries[name] if place is None else place
        if entry.name != name:
            entry = entry._replace(name=name)
        going.append(Outgoing(entry, tensors, place, store))
    return going


def cut(shape: Shape, limit: int) -> Iterator[Region]:
    """Cut a shape into regions of up to ``limit`` elements that are contiguous, in C order."""
    inner = math.prod(shape[1:])
    if inner > limit and shape[1:]:
        for row in range(shape[0]):
            for rest in cut(shape[1:], limit):
                yield ((row, row + 1), *rest)
        return
    rows = max(1, limit // max(1, inner))
    for start in range(0, shape[0], rows):
        yield ((start, min(start + rows, shape[0])), *whole(shape[1:]))
