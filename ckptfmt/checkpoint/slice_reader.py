"""Reading part of a tensor by a NumPy index."""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region
from ckptfmt.dtypes import DType
from ckptfmt.tensor.array import Array, Shape, read_only

Index: TypeAlias = "int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]"


class SliceReader:
    """Reads parts of one tensor, with NumPy's indices: integers, slices with steps, an ellipsis.

    Only the stored slices that meet the index are touched, and of a mapped tensor only the pages. A checksum
    covers a stored piece as a whole, so it is verified where the index takes all of a piece, and not where it
    takes part of one (:meth:`is_verified` tells); read the whole tensor where that matters.
    """

    def __init__(
        self, entry: Entry, read: Callable[[Region], Array], is_covered: Callable[[Region], bool]
    ) -> None:
        self.entry = entry
        """What the index says of the tensor."""
        self._read = read
        self._is_covered = is_covered

    @property
    def shape(self) -> Shape:
        """Shape of the whole tensor."""
        return self.entry.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions of the whole tensor."""
        return len(self.entry.shape)

    @property
    def dtype(self) -> DType:
        """Dtype of the tensor."""
        return self.entry.dtype

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar has no length")
        return self.shape[0]

    def __getitem__(self, index: Index) -> Array:
        """Return the part at ``index`` as a read-only array, as ``array[index]`` would be.

        Raises
        ------
        IndexError
            Too many indices, or an integer outside the tensor.
        TypeError
            An index that is neither integer, slice nor ellipsis.
        """
        ranges, region = self._locate(index)
        array = self._read(region)
        local = [
            0 if isinstance(r, int) else _shifted(r, start)
            for r, (start, _) in zip(ranges, region, strict=True)
        ]
        # The ellipsis keeps a 0-d array from becoming a scalar.
        at = (*local, ...)
        return read_only(array[at])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: ANN401  (as NumPy calls it)
        """Return the whole tensor: ``np.asarray(reader)``."""
        array = self[...]
        wanted = array.dtype if dtype is None else np.dtype(dtype)
        return array.astype(wanted, copy=bool(copy) or wanted != array.dtype)

    def is_verified(self, index: Index) -> bool:
        """Return whether the checksums of all that ``self[index]`` reads are verified.

        They are where the index takes all of each stored piece that it touches, and in V1 checkpoints; not
        where it takes part of a piece, nor in a checkpoint opened with ``verify=False``.
        """
        return self._is_covered(self._locate(index)[1])

    def renamed(self, name: str) -> SliceReader:
        """Return the same reader under another name."""
        return SliceReader(self.entry._replace(name=name), self._read, self._is_covered)

    def _locate(self, index: Index) -> tuple[list[int | range], Region]:
        """The positions that an index takes in each dimension, and the least region that holds them."""
        ranges = _ranges(index, self.shape, self.entry.name)
        return ranges, tuple(_bounds(r) if isinstance(r, range) else (r, r + 1) for r in ranges)

    def __repr__(self) -> str:
        return f"<SliceReader {self.entry.name!r} {self.dtype.name}{list(self.shape)}>"


def _ranges(index: Index, shape: Shape, name: str) -> list[int | range]:
    """For each dimension the positions taken: one, which drops the dimension, or a range of them."""
    items = list(index) if isinstance(index, tuple) else [index]
    given = sum(item is not Ellipsis for item in items)
    if given > len(shape) or len(items) - given > 1:
        raise IndexError(f"{name}: got {given} indices for a tensor of {len(shape)} dimensions")
    if given == len(items):
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - given)
    ranges: list[int | range] = []
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice):
            ranges.append(range(*item.indices(size)))
            continue
        if isinstance(item, (bool, np.bool_)):
            raise TypeError(f"{name}: index {item!r} is a bool, want an integer, a slice or an ellipsis")
        try:
            position = operator.index(item)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"{name}: index {item!r} is neither an integer, a slice nor an ellipsis"
            ) from None
        if not -size <= position < size:
            raise IndexError(f"{name}: index {position} is out of bounds for axis {axis} of size {size}")
        ranges.append(position % size)
    return ranges


def _bounds(positions: range) -> tuple[int, int]:
    """Start and stop of the least interval that holds the positions."""
    if not positions:
        return 0, 0
    return min(positions[0], positions[-1]), max(positions[0], positions[-1]) + 1


def _shifted(positions: range, start: int) -> slice:
    """The slice that takes the positions out of an array that begins at ``start``."""
    if not positions:
        return slice(0, 0)
    stop = positions[-1] - start + (1 if positions.step > 0 else -1)
    return slice(positions[0] - start, stop if stop >= 0 else None, positions.step)
