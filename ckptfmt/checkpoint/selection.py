"""Selections: the positions of a tensor that an index takes, dimension by dimension."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ckptfmt.arrays.array import Box
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region

Positions: TypeAlias = "range | np.ndarray"
"""Positions along one dimension, none negative: upwards in equal steps, or any (int64)."""

Axis: TypeAlias = "int | slice | Sequence[Any] | np.ndarray"
Index: TypeAlias = "Axis | EllipsisType | tuple[Axis | EllipsisType, ...]"
"""What NumPy calls an index, of which one list or mask at most."""


class Part(NamedTuple):
    """What a selection takes of a box of the tensor."""

    source: Box
    """Where it lies in an array of the box."""
    target: Box
    """Where it belongs in an array of the selection."""
    is_whole: bool
    """Whether that is all of the box, in its order."""


@dataclass(frozen=True)
class Selection:
    """Positions along each dimension; taken are those that all dimensions take."""

    positions: tuple[Positions, ...]

    @classmethod
    def of(cls, region: Region) -> Selection:
        """Return the selection of all in a region."""
        return cls(tuple(range(*bounds) for bounds in region))

    @property
    def shape(self) -> Shape:
        """Shape of what is taken."""
        return tuple(map(len, self.positions))

    @property
    def region(self) -> Region:
        """The least region that holds it."""
        return tuple(map(_bounds, self.positions))

    def within(self, region: Region) -> Part | None:
        """Return what it takes of a region; None where that is nothing."""
        source: list[Any] = []
        target: list[Any] = []
        is_whole = True
        for taken, (start, stop) in zip(self.positions, region, strict=True):
            if isinstance(taken, range):
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
        # The ellipsis keeps what is taken out of a 0-d array an array.
        return Part((*source, ...), (*target, ...), is_whole)


def select(index: Index, shape: Shape, name: str) -> tuple[Selection, Box]:
    """Return what an index takes of a tensor, and the index that makes of that what NumPy would return.

    Raises
    ------
    IndexError
        Too many indices, or one outside the tensor; a mask of another size; several lists or masks.
    TypeError
        An index that NumPy does not know.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    given = sum(item is not Ellipsis for item in items)
    if given > len(shape) or len(items) - given > 1:
        raise IndexError(f"{name}: got {given} indices for a tensor of {len(shape)} dimensions")
    if given == len(items):
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    is_empty = given == len(shape) and at < given
    items[at : at + 1] = [slice(None)] * (len(shape) - given)
    positions: list[Positions] = []
    local: list[Any] = []
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice):
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
    if sum(isinstance(taken, np.ndarray) for taken in positions) > 1:
        raise IndexError(f"{name}: several lists or masks in one index, want one at most")
    if 0 not in [each for each in local if isinstance(each, int)]:
        # Without integers, which NumPy takes for lists then, a list leaves its dimension where it is.
        local = [slice(None) if isinstance(each, np.ndarray) else each for each in local]
    # An ellipsis that stands for no dimension still parts a list from an integer.
    behind = at if is_empty else len(local)
    return Selection(tuple(positions)), (*local[:behind], ..., *local[behind:])


def _position(item: Any, size: int, axis: int, name: str) -> int:  # noqa: ANN401  (what users may give)
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
    """The positions in a list, or where a mask is true."""
    try:
        found = np.asarray(item)
    except ValueError as error:
        raise TypeError(f"{label}: got {item!r:.100}, want a list of integers or bools") from error
    if found.ndim != 1:
        raise IndexError(f"{label}: got an array of {found.ndim} dimensions, want one")
    if found.dtype == bool:
        if len(found) != size:
            raise IndexError(f"{label}: got a mask of {len(found)}, want {size}")
        return np.flatnonzero(found)
    if not len(found):
        return np.empty(0, np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{label}: got an array of {found.dtype}, want integers or bools")
    low, high = int(found.min()), int(found.max())
    if low < -size or high >= size:
        raise IndexError(f"{label}: {low if low < -size else high} is out of bounds for size {size}")
    found = found.astype(np.int64)
    return np.where(found < 0, found + size, found)


def _bounds(taken: Positions) -> tuple[int, int]:
    """Start and stop of the least interval that holds the positions."""
    if not len(taken):
        return 0, 0
    if isinstance(taken, range):
        return taken[0], taken[-1] + 1
    return int(taken.min()), int(taken.max()) + 1
