"""Chunks of zarr in the bytes of a tensor that are stored already.

A chunk of a reference file is a stretch of a data file. zarr's chunks make a regular grid, and one at an edge
has as many bytes as any, so only some ways to cut a tensor are chunks:

- rows of a tensor stored whole, if their number divides that of all rows;
- slices of a partitioned tensor that make a grid, or rows of these, if slices begin at multiples of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, region_shape

CHUNK_BYTES = 64 << 20
"""Bytes above which a tensor is cut into several chunks, so that a part of it can be read."""

MAX_CHUNKS = 4096
"""The most chunks that a tensor in slices is cut into to make one array of it."""

_MOST_ROWS = 1 << 40
"""Rows whose divisors are sought; the search takes the square root of their number."""


class Chunk(NamedTuple):
    """One chunk: its position in the grid, the slice whose bytes it is part of, and where it begins there."""

    position: tuple[int, ...]
    slice_number: int
    offset: int
    """Elements of the slice before it."""


def chunk_shape_within(shape: Shape, limit: int) -> Shape:
    """Return the shape of chunks of up to ``limit`` elements of a tensor that is stored whole, if it divides.

    They are stretches of its bytes, all equal.
    """
    chunk = list(shape)
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        if size * inner <= limit:
            break
        if inner <= limit:
            rows = _largest_divisor(size, limit // inner)
            # A number of rows without divisors, such as a prime, would be cut into far too many chunks.
            if rows * inner * 16 > limit:
                chunk[axis] = rows
            break
        chunk[axis] = 1
        if math.prod(shape[: axis + 1]) > MAX_CHUNKS:
            return shape
    return tuple(chunk)


def grid_of(shape: Shape, regions: Sequence[Region]) -> Shape | None:
    """Return the shape of the chunks that slices can be cut into; None if they make no grid.

    The slices do not overlap, and make all of the tensor.
    """
    if not shape:
        return shape
    rows = math.gcd(shape[0], *(border for region in regions for border in region[0]))
    chunk = (rows, *region_shape(regions[0][1:]))
    for region in regions:
        for (start, stop), size in zip(region[1:], chunk[1:], strict=True):
            if stop - start != size or start % size:
                return None
    count = math.prod(size // part for size, part in zip(shape, chunk, strict=True))
    return chunk if count <= max(len(regions), MAX_CHUNKS) else None


def chunks_in(regions: Sequence[Region], chunk: Shape) -> Iterator[Chunk]:
    """Iterate over all chunks, slice by slice.

    The chunks of a slice are stretches of its bytes that follow one another: all its axes but those that are
    cut are whole, and before an axis that is cut are only axes of length one.
    """
    size = math.prod(chunk)
    for number, region in enumerate(regions):
        counts = [(stop - start) // part for (start, stop), part in zip(region, chunk, strict=True)]
        firsts = [start // part for (start, _), part in zip(region, chunk, strict=True)]
        for index in range(math.prod(counts)):
            position = []
            rest = index
            for count, first in zip(reversed(counts), reversed(firsts), strict=True):
                rest, place = divmod(rest, count)
                position.append(first + place)
            yield Chunk(tuple(reversed(position)), number, index * size)


def _largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of a number that is at most ``limit``."""
    if number > _MOST_ROWS:
        return 1
    best = 1
    for divisor in range(1, math.isqrt(number) + 1):
        if number % divisor == 0:
            for each in (divisor, number // divisor):
                if best < each <= limit:
                    best = each
    return best
