"""Gathering: reading part of a stored array from a file, and little more than that.

The first dimension in which more than one position is taken decides how. One position of it is a *row*: the
bytes of everything in the dimensions after it, which are consecutive. There are three ways of reading::

    stretch   all of consecutive rows            one read, into the result
    runs      parts of rows, or rows with gaps   neighbouring rows in one read, then picked out in memory
    sparse    small parts of large rows          each row by itself, by the same rule one dimension further in

The constants below bound what is read and not used; each is about the cost of one more read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, Box, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.dtypes import DType
from ckptfmt.storage.file import RandomAccessFile

READ_BYTES = 4 << 20
"""Bytes read at once. Of longer rows that are not taken whole, only parts are read."""

GAP_BYTES = 4096
"""Unused bytes between two rows that are read too, which costs less than another read."""

SPARE_BYTES = 64 << 10
"""Unused bytes in each row up to which whole rows are read; with more, each row is read by itself."""

SORTED_AT_ONCE = 1 << 16
"""Positions sorted at a time, so that memory does not grow with their number."""

MAX_PREFETCHES = 256
"""The most stretches of a mapped file that are requested; beyond, the system's own read-ahead has to do."""


class _Rows(NamedTuple):
    """The rows: positions of the first dimension in which more than one is taken."""

    offset: int
    """Where row 0 begins, whether or not it is taken. Dimensions before the axis only move this."""
    axis: int
    """The dimension."""
    positions: range | np.ndarray
    """The rows that are taken."""
    width: int
    """Bytes of a row."""
    span: int
    """Bytes of a row from the first one taken to the last."""
    is_all: bool
    """Whether each row is taken whole."""

    @property
    def is_sparse(self) -> bool:
        """Whether reading each row by itself is cheaper than reading whole rows."""
        return not self.is_all and (self.width > READ_BYTES or self.width - self.span > SPARE_BYTES)

    def runs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over groups of rows to read together: their indices in ``positions``, and these, sorted."""
        # Both in rows: the distance of two rows in one group, and the rows from the first to the last of it.
        gap, most = max(1, GAP_BYTES // self.width), max(1, READ_BYTES // self.width)
        for begin in range(0, len(self.positions), SORTED_AT_ONCE):
            positions = np.asarray(self.positions[begin : begin + SORTED_AT_ONCE])
            # A list may have positions in any order, and several times; each gets its row of the result.
            order = np.argsort(positions, kind="stable")
            positions = positions[order]
            borders = [0, *(np.flatnonzero(np.diff(positions) > gap) + 1).tolist(), len(order)]
            # Groups end at gaps that are too wide, and are cut again where they span too many rows.
            for start, stop in pairwise(borders):
                while start < stop:
                    end = start + int(np.searchsorted(positions[start:stop], positions[start] + most))
                    yield begin + order[start:end], positions[start:end]
                    start = end

    @property
    def is_stretch(self) -> bool:
        """Whether everything that is taken is consecutive."""
        return self.is_all and isinstance(self.positions, range) and self.positions.step == 1

    def stretch(self, first: int, last: int) -> tuple[int, int]:
        """Return offset and size of the rows from one position to another, both included."""
        return self.offset + first * self.width, (last - first + 1) * self.width


def gather(file: RandomAccessFile, offset: int, dtype: DType, shape: Shape, at: Box) -> Array:
    """Return a part of the array stored at an offset; ``at`` has a slice or a list for each dimension.

    The stored bytes must be those of the array, and the dtype of fixed size. Errors as of
    :meth:`RandomAccessFile.read`.
    """
    taken = _positions(shape, at)
    result = new_array(tuple(map(len, taken)), dtype)
    if not result.size:
        return read_only(result)
    rows = _rows(offset, dtype, shape, taken)
    # Dimensions before that of the rows have one position each, so they can be dropped.
    out = result.reshape((len(rows.positions), *result.shape[rows.axis + 1 :]))
    inner, inner_at = shape[rows.axis + 1 :], at[rows.axis + 1 :]
    positions = rows.positions
    if rows.is_stretch:
        file.read_into(rows.stretch(positions[0], positions[-1])[0], out.reshape(-1).view(np.uint8).data)
    elif rows.is_sparse:
        for row, position in enumerate(positions):
            out[row] = gather(file, rows.stretch(int(position), 0)[0], dtype, inner, inner_at)
    else:
        picked: Box = (slice(None), *inner_at)
        for run, wanted in rows.runs():
            first, last = int(wanted[0]), int(wanted[-1])
            data = file.read(*rows.stretch(first, last))
            stored: Array = np.ndarray((last - first + 1, *inner), dtype.numpy, data)
            out[run] = stored[wanted - first][picked]
    return read_only(result)


def prefetch(file: RandomAccessFile, offset: int, dtype: DType, shape: Shape, at: Box) -> None:
    """Ask the system to read the bytes of a part of a mapped file ahead, and no others.

    Without this, touching scattered pages of a mapping makes the system read megabytes around each.
    """
    taken = _positions(shape, at)
    if not all(map(len, taken)):
        return
    rows = _rows(offset, dtype, shape, taken)
    if rows.is_stretch:
        offset, size = rows.stretch(rows.positions[0], rows.positions[-1])
        if size <= READ_BYTES:  # a longer one is read in order, and the system reads ahead by itself
            file.prefetch(offset, size)
    # Of rows that are taken in part, only small ones: the rest of a large row would be read and not used.
    elif (rows.is_all or rows.width <= GAP_BYTES) and len(rows.positions) <= SORTED_AT_ONCE:
        runs = list(rows.runs())
        for _, wanted in runs if len(runs) <= MAX_PREFETCHES else ():
            file.prefetch(*rows.stretch(int(wanted[0]), int(wanted[-1])))


def _positions(shape: Shape, at: Box) -> list[range | np.ndarray]:
    """Return the positions taken in each dimension; an ellipsis at the end of ``at`` is ignored."""
    indices = zip(at, shape, strict=False)
    return [range(size)[index] if isinstance(index, slice) else np.asarray(index) for index, size in indices]


def _rows(offset: int, dtype: DType, shape: Shape, taken: list[range | np.ndarray]) -> _Rows:
    """Return the rows of a part, given the positions taken in each dimension."""
    axis = next((axis for axis, each in enumerate(taken) if len(each) > 1), max(len(shape) - 1, 0))
    width = (dtype.itemsize or 0) * math.prod(shape)
    # A dimension with one position only moves the offset; ``width`` is the bytes of one position in it.
    for each, size in zip(taken[:axis], shape, strict=False):
        width //= size
        offset += int(each[0]) * width
    if not taken:
        return _Rows(offset, 0, range(1), width, width, True)
    width //= shape[axis]
    # From the first to the last element taken of a row: in each dimension, the distance of its first and last
    # position, in bytes.
    stride, span, is_all = width, dtype.itemsize or 0, True
    for each, size in zip(taken[axis + 1 :], shape[axis + 1 :], strict=True):
        stride //= size
        is_all &= isinstance(each, range) and len(each) == size
        first, last = (each[0], each[-1]) if isinstance(each, range) else (int(each.min()), int(each.max()))
        span += (last - first) * stride
    return _Rows(offset, axis, taken[axis], width, span, is_all)
