"""Stretches: the bytes of an array in C order that hold a region of it, one after another."""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.arrays.array import Box
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, whole, within


class Rows(NamedTuple):
    """Elements of an array that follow one another."""

    start: int
    """The first, counted from that of the array."""
    shape: Shape
    """Their shape."""
    at: Box
    """The index that takes the region out of them."""


def rows_of(region: Region, shape: Shape) -> Rows:
    """Return the shortest stretch that holds a region and takes whole rows of one dimension.

    It is the region itself for the pieces in which tensors are converted.
    """
    if not shape or any(start >= stop for start, stop in region):
        return Rows(0, shape, within(region, whole(shape)))
    # A region takes one index of each leading dimension; rows are those of the first with several.
    lead = next((i for i, (start, stop) in enumerate(region) if stop - start > 1), len(shape) - 1)
    first, last = region[lead]
    held = (*region[:lead], (first, last), *whole(shape[lead + 1 :]))
    start = 0
    for size, (begin, _) in zip(shape, held, strict=True):
        start = start * size + begin
    return Rows(start, tuple(stop - begin for begin, stop in held), within(region, held))
