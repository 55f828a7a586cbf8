"""Gathering: part of a stored array out of a file, reading little more than that.

The positions taken of a dimension are rows: what is stored for each lies together. Rows that lie side by side
are read together, and what is taken of the dimensions behind is picked out of them.
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
"""Bytes that are read at once; of longer rows, of which not all is taken, only parts are read."""

GAP_BYTES = 4096
"""Bytes between two rows that are read in vain rather than making two reads."""

SPARE_BYTES = 64 << 10
"""Bytes of each row that are read in vain rather than reading the rows one by one."""

SORTED_AT_ONCE = 1 << 16
"""Positions that are looked at together."""

MAX_PREFETCHES = 256
"""Stretches of a mapped file that are asked for one by one; with more, the system reads ahead as it likes."""


class _Rows(NamedTuple):
    """The first dimension of which more than one position is taken; those before only move the place."""

    offset: int
    """Where its first row begins, taken or not."""
    axis: int
    positions: range | np.ndarray
    """Which rows are taken."""
    width: int
    """Bytes of a row."""
    span: int
    """Bytes of a row from the first to the last that is taken of it."""
    is_all: bool
    """Whether all of each row is taken."""

    @property
    def is_sparse(self) -> bool:
        """Whether reading the rest of each row would take longer than reading each by itself."""
        return not self.is_all and (self.width > READ_BYTES or self.width - self.span > SPARE_BYTES)

    def runs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over rows that are read together: which of those taken, and their positions, sorted."""
        gap, most = max(1, GAP_BYTES // self.width), max(1, READ_BYTES // self.width)
        for begin in range(0, len(self.positions), SORTED_AT_ONCE):
            positions = np.asarray(self.positions[begin : begin + SORTED_AT_ONCE])
            order = np.argsort(positions, kind="stable")
            positions = positions[order]
            borders = [0, *(np.flatnonzero(np.diff(positions) > gap) + 1).tolist(), len(order)]
            for start, stop in pairwise(borders):
                while start < stop:
                    end = start + int(np.searchsorted(positions[start:stop], positions[start] + most))
                    yield begin + order[start:end], positions[start:end]
                    start = end

    @property
    def is_stretch(self) -> bool:
        """Whether all that is taken lies together."""
        return self.is_all and isinstance(self.positions, range) and self.positions.step == 1

    def stretch(self, first: int, last: int) -> tuple[int, int]:
        """Offset and size of rows from one position to another, included."""
        return self.offset + first * self.width, (last - first + 1) * self.width


def gather(file: RandomAccessFile, offset: int, dtype: DType, shape: Shape, at: Box) -> Array:
    """Return the part ``at`` of the array stored at an offset: for each dimension a slice or a list.

    The stored bytes are those of the array, of a dtype of fixed size. Errors as of
    :meth:`RandomAccessFile.read`.
    """
    taken = _positions(shape, at)
    found = new_array(tuple(map(len, taken)), dtype)
    if not found.size:
        return read_only(found)
    rows = _rows(offset, dtype, shape, taken)
    # The dimensions before that of the rows have one position each.
    out = found.reshape((len(rows.positions), *found.shape[rows.axis + 1 :]))
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
    return read_only(found)


def prefetch(file: RandomAccessFile, offset: int, dtype: DType, shape: Shape, at: Box) -> None:
    """Have the bytes of a part read ahead, and no others.

    Where pages of a mapping are touched here and there, the system reads megabytes around each.
    """
    taken = _positions(shape, at)
    if not all(map(len, taken)):
        return
    rows = _rows(offset, dtype, shape, taken)
    if rows.is_stretch:
        offset, size = rows.stretch(rows.positions[0], rows.positions[-1])
        if size <= READ_BYTES:  # of more, read in order, the system reads ahead
            file.prefetch(offset, size)
    elif (rows.is_all or rows.width <= GAP_BYTES) and len(rows.positions) <= SORTED_AT_ONCE:
        runs = list(rows.runs())
        for _, wanted in runs if len(runs) <= MAX_PREFETCHES else ():
            file.prefetch(*rows.stretch(int(wanted[0]), int(wanted[-1])))


def _positions(shape: Shape, at: Box) -> list[range | np.ndarray]:
    """The positions taken of each dimension; an ellipsis may follow."""
    indices = zip(at, shape, strict=False)
    return [range(size)[index] if isinstance(index, slice) else np.asarray(index) for index, size in indices]


def _rows(offset: int, dtype: DType, shape: Shape, taken: list[range | np.ndarray]) -> _Rows:
    axis = next((axis for axis, each in enumerate(taken) if len(each) > 1), max(len(shape) - 1, 0))
    width = (dtype.itemsize or 0) * math.prod(shape)
    for each, size in zip(taken[:axis], shape, strict=False):
        width //= size
        offset += int(each[0]) * width
    if not taken:
        return _Rows(offset, 0, range(1), width, width, True)
    width //= shape[axis]
    stride, span, is_all = width, dtype.itemsize or 0, True
    for each, size in zip(taken[axis + 1 :], shape[axis + 1 :], strict=True):
        stride //= size
        is_all &= isinstance(each, range) and len(each) == size
        first, last = (each[0], each[-1]) if isinstance(each, range) else (int(each.min()), int(each.max()))
        span += (last - first) * stride
    return _Rows(offset, axis, taken[axis], width, span, is_all)
