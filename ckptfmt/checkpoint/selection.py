"""Selections: the positions of a tensor that an index takes, dimension by dimension."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region

Positions: TypeAlias = "range | np.ndarray"
"""Positions along one dimension, none of them negative: a range with a positive step, or any list (int64)."""

Axis: TypeAlias = "int | slice | Sequence[Any] | np.ndarray"
Index: TypeAlias = "Axis | EllipsisType | tuple[Axis | EllipsisType, ...]"
"""An index as NumPy has it, with one list or mask at most."""


class Part(NamedTuple):
    """The selected part of a box of a tensor, such as a slice."""

    source: Box
    """Its index in an array of the box."""
    target: Box
    """Its index in an array of the selection."""
    is_whole: bool
    """Whether it is all of the box, in the same order."""


@dataclass(frozen=True)
class Selection:
    """The selected positions of each dimension.

    An element is selected if its position is selected in every dimension, so a selection is a box with some
    positions left out, and what it shares with a slice is one again. NumPy's basic indexing and a single list
    or mask are of this kind; several lists are not.
    """

    positions: tuple[Positions, ...]

    @classmethod
    def of(cls, region: Region) -> Selection:
        """Return the selection of a whole region."""
        return cls(tuple(range(*bounds) for bounds in region))

    @property
    def shape(self) -> Shape:
        """Shape of an array of the selected elements."""
        return tuple(map(len, self.positions))

    @property
    def region(self) -> Region:
        """The smallest region that contains the selection."""
        return tuple(map(_bounds, self.positions))

    def touched(self, boxes: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Return the boxes in which every list of positions has one; ``starts`` and ``stops`` are by box."""
        for axis, taken in enumerate(self.positions):
            if isinstance(taken, np.ndarray):
                ordered = np.sort(taken)
                first = np.searchsorted(ordered, starts[boxes, axis])
                boxes = boxes[first < np.searchsorted(ordered, stops[boxes, axis])]
        return boxes

    def taken_from(self, array: Array) -> Array:
        """Return what is selected of an array that has the smallest region."""
        part = self.within(self.region)
        return np.empty(self.shape, array.dtype) if part is None else array[part.source]

    def within(self, region: Region) -> Part | None:
        """Return the selected part of a region; None if nothing in it is selected."""
        source: list[Any] = []
        target: list[Any] = []
        is_whole = True
        for taken, (start, stop) in zip(self.positions, region, strict=True):
            if isinstance(taken, range):
                # Which items of the range are in [start, stop). Negating before and after makes Python's
                # division round up.
                first = max(0, -((taken.start - start) // taken.step))
                last = max(first, min(len(taken), -((taken.start - stop) // taken.step)))
                met = taken[first:last]
                if not met and start < stop:
                    return None
                is_whole &= len(met) == stop - start
                source.append(slice(met[0] - start, met[-1] - start + 1, met.step) if met else slice(0, 0))
                target.append(slice(first, last))
            else:
                at = np.flatnonzero((taken >= start) & (taken < stop))
                if not len(at):
                    return None
                is_whole = False
                source.append(taken[at] - start)
                target.append(slice(None) if len(at) == len(taken) else at)
        # With an ellipsis, indexing a 0-d array returns an array, not a scalar.
        return Part((*source, ...), (*target, ...), is_whole)


def select(index: Index, shape: Shape, name: str) -> tuple[Selection, Box]:
    """Return the selection of an index, and the index that turns it into what NumPy would return.

    A selection has neither negative steps nor missing dimensions; the second index reverses and drops them.

    Raises
    ------
    IndexError
        Too many indices, or one outside the tensor; a mask of another size; several lists or masks.
    TypeError
        An index that NumPy does not accept.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    given = sum(item is not Ellipsis for item in items)
    if given > len(shape) or len(items) - given > 1:
        raise IndexError(f"{name}: got {given} indices for a tensor of {len(shape)} dimensions")
    if given == len(items):
        items.append(Ellipsis)
    # The ellipsis stands for as many whole dimensions as the other items leave.
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    is_empty = given == len(shape) and at < given
    items[at : at + 1] = [slice(None)] * (len(shape) - given)
    positions: list[Positions] = []
    local: list[Any] = []
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice):
            # Read forwards, and reversed in memory if the step is negative.
            taken = range(*item.indices(size))
            positions.append(taken if taken.step > 0 else taken[::-1])
            local.append(slice(None, None, None if taken.step > 0 else -1))
        elif isinstance(item, (list, tuple, range, np.ndarray)) and (
            not isinstance(item, np.ndarray) or item.ndim
        ):
            listed = _listed(item, size, f"{name}: index of axis {axis}")
            positions.append(listed)
            local.append(np.arange(len(listed)))
        else:
            position = _position(item, size, axis, name)
            positions.append(range(position, position + 1))
            local.append(0)
    # NumPy pairs the items of several lists, which selects no box.
    if sum(isinstance(taken, np.ndarray) for taken in positions) > 1:
        raise IndexError(f"{name}: several lists or masks in one index, want one at most")
    if 0 not in [each for each in local if isinstance(each, int)]:
        # Next to a list, NumPy treats integers as lists. Without them, a list leaves its dimension in place.
        local = [slice(None) if isinstance(each, np.ndarray) else each for each in local]
    # An ellipsis separates a list from an integer, even if it stands for no dimension.
    split = at if is_empty else len(local)
    return Selection(tuple(positions)), (*local[:split], ..., *local[split:])


def _position(item: Any, size: int, axis: int, name: str) -> int:  # noqa: ANN401  (any user input)
    if isinstance(item, (bool, np.bool_)):
        raise TypeError(f"{name}: index {item!r} is a bool, want an integer, a slice or an ellipsis")
    try:
        position = operator.index(item)
    except TypeError:
        raise TypeError(
            f"{name}: index {item!r} is neither an integer, a slice, a list nor an ellipsis"
        ) from None
    if not -size <= position < size:
        raise IndexError(f"{name}: index {position} is out of bounds for axis {axis} of size {size}")
    return position % size


def _listed(item: Sequence[Any] | np.ndarray, size: int, label: str) -> np.ndarray:
    """Return the positions in a list, or those at which a mask is true."""
    try:
        items = np.asarray(item)
    except ValueError as error:
        raise TypeError(f"{label}: got {item!r:.100}, want a list of integers or bools") from error
    if items.ndim != 1:
        raise IndexError(f"{label}: got an array of {items.ndim} dimensions, want one")
    if items.dtype == bool:
        if len(items) != size:
            raise IndexError(f"{label}: got a mask of {len(items)}, want {size}")
        return np.flatnonzero(items)
    if not len(items):
        return np.empty(0, np.int64)
    if items.dtype.kind not in "iu":
        raise TypeError(f"{label}: got an array of {items.dtype}, want integers or bools")
    low, high = int(items.min()), int(items.max())
    if low < -size or high >= size:
        raise IndexError(f"{label}: {low if low < -size else high} is out of bounds for size {size}")
    items = items.astype(np.int64)
    return np.where(items < 0, items + size, items)


def _bounds(taken: Positions) -> tuple[int, int]:
    """Return start and stop of the smallest interval that contains the positions."""
    if not len(taken):
        return 0, 0
    if isinstance(taken, range):
        return taken[0], taken[-1] + 1
    return int(taken.min()), int(taken.max()) + 1
