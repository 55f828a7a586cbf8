"""Partitions: where the slices of a tensor are in it, and which of them hold a region.

A variable of a parameter server may have thousands of slices. Their borders are compared once, as arrays, and
kept with the slices (:class:`Slices`). Which slices meet a region is then found by bisection, so that reading
a row takes the same time however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ckptfmt.arrays.shape import Shape
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.slices import (
    FULL,
    Region,
    TensorSlice,
    describe_gap,
    describe_stored,
    find_overlap,
    region_shape,
    sweep_axis,
)
from ckptfmt.errors import CorruptError


class Slices(tuple[TensorSlice, ...]):
    """The slices of a tensor, a tuple that keeps their partition once it is known."""

    def partition(self, shape: Shape) -> Partition:
        """Return their partition of a tensor of this shape; raises the errors of :func:`partition_of`."""
        known: Partition | None = self.__dict__.get("_partition")
        if known is None or known.shape != shape:
            known = self.__dict__["_partition"] = Partition(shape, self)
        return known

    def __reduce__(self) -> tuple[object, ...]:
        return Slices, (tuple(self),)


def partition_of(shape: Shape, slices: Sequence[TensorSlice]) -> Partition:
    """Return the partition of a tensor of this shape into slices; slices are compared only once.

    Raises
    ------
    CorruptError
        A slice does not fit the shape, or two of them overlap.
    LimitError
        Comparing them would take too long.
    """
    return slices.partition(shape) if isinstance(slices, Slices) else Partition(shape, slices)


def plan(shape: Shape, slices: Sequence[TensorSlice], wanted: Region) -> list[tuple[TensorSlice, Region]]:
    """Return the slices needed for a region, each with the region it holds.

    Raises
    ------
    CorruptError
        A slice does not fit the shape, two of them overlap, or they leave part of ``wanted`` uncovered. The
        message says which.
    LimitError
        Comparing them would take too long.
    """
    partition = partition_of(shape, slices)
    return [(slices[i], partition.region(i)) for i in partition.needed(wanted).tolist()]


def count_elements(shape: Shape, slices: Sequence[TensorSlice]) -> int:
    """Return the number of elements in slices, overlapping or not; CorruptError if one does not fit."""
    starts, stops = _borders(shape, slices)
    return sum(map(math.prod, (stops - starts).tolist()))


class Partition:
    """Slices that fit a tensor and do not overlap."""

    def __init__(self, shape: Shape, slices: Sequence[TensorSlice]) -> None:
        self.shape = shape
        self.slices = slices
        self.starts, self.stops = _borders(shape, slices)
        find_overlap(slices, self.starts, self.stops)

    @cached_property
    def _sorted(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """The dimension to bisect, where the fewest slices meet, and along it the slices' order and borders.

        Each stop is replaced by the largest so far, so that stops ascend too.
        """
        axis = sweep_axis(self.starts, self.stops)
        order = np.argsort(self.starts[:, axis], kind="stable")
        stops = np.maximum.accumulate(self.stops[order, axis])
        return axis, order, self.starts[order, axis], stops

    def region(self, number: int) -> Region:
        """Return the region of one slice."""
        return tuple(zip(self.starts[number].tolist(), self.stops[number].tolist(), strict=True))

    @cached_property
    def is_complete(self) -> bool:
        """Whether the slices make all of the tensor."""
        # Disjoint slices cover a tensor if and only if they have as many elements. Counting these takes time
        # linear in the number of slices, whatever the shape.
        return sum(map(math.prod, (self.stops - self.starts).tolist())) == math.prod(self.shape)

    def needed(self, wanted: Region) -> np.ndarray:
        """Return the numbers of the slices that hold a region, in the order of the slices.

        Raises CorruptError if they leave part of it uncovered.
        """
        low, high = np.array(wanted, np.int64).reshape(-1, 2).T
        met = self._candidates(low, high)
        starts, stops = np.maximum(self.starts[met], low), np.minimum(self.stops[met], high)
        inside = (starts < stops).all(axis=1)
        missing = 0
        if not self.is_complete:
            shares = (stops - starts)[inside].tolist()
            missing = math.prod(region_shape(wanted)) - sum(map(math.prod, shares))
        needed: np.ndarray = np.sort(met[inside])
        if missing:
            raise CorruptError(
                f"the slices leave {missing} of {math.prod(region_shape(wanted))} elements uncovered"
                + describe_gap(wanted, [self.region(i) for i in needed.tolist()])
                + describe_stored(self.slices, self.shape)
            )
        return needed

    def _candidates(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the numbers of the slices that meet a region in one dimension."""
        if len(self.slices) < 2 or not len(low):
            return np.arange(len(self.slices))
        axis, order, starts, stops = self._sorted
        first = int(np.searchsorted(stops, low[axis], side="right"))
        return order[first : max(first, int(np.searchsorted(starts, high[axis], side="left")))]


def _borders(shape: Shape, slices: Sequence[TensorSlice]) -> tuple[np.ndarray, np.ndarray]:
    """Return the start and the stop of each slice in each dimension; CorruptError if one does not fit."""
    rank = len(shape)
    if any(len(part.extents) != rank for part in slices):
        for part in slices:
            part.region(shape)  # raises for the first that does not fit
    extents = np.array([part.extents for part in slices], np.int64).reshape(len(slices), rank, 2)
    starts, lengths = extents[..., 0], extents[..., 1]
    sizes = np.array(shape, np.int64)
    is_full = lengths == FULL
    # Without overflow: the start is compared first. A size is less than 2**63.
    bad = (starts < 0) | np.where(is_full, starts != 0, (lengths <= 0) | (lengths > sizes - np.abs(starts)))
    if bad.any():
        slices[int(np.argmax(bad.any(axis=1)))].region(shape)
    return starts, np.where(is_full, sizes, starts + lengths)
