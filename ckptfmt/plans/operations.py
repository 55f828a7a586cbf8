"""Operations: what each transforming step of a plan makes of other expressions.

::

    Operation
    ├── Transposed      axes in another order            a view
    ├── Reshaped        elements in another shape        a view if NumPy can make one: see :mod:`.reshaped`
    ├── Cast            elements in another dtype        a copy
    ├── Part            one part of a split              a view
    ├── Concatenated    several joined along an axis     a copy, unless the region read is all in one of them
    └── Filled, Summed  values that are not stored       see :mod:`.arithmetic`
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.slices import Region, region_shape, whole, within
from ckptfmt.dtypes import DType
from ckptfmt.plans.casts import converted, is_castable
from ckptfmt.plans.expressions import Entries, Expression, Reading, Stored
from ckptfmt.plans.place import StepPlace

MAX_DEPTH = 128
"""The most operations between a result and a stored tensor: evaluation recurses over them."""

MAX_WEIGHT = 1 << 20
"""Stored tensors that one expression is made of, each counted as often as it is used."""

MAX_RANK = 32
"""Dimensions that NumPy 1 allows."""

_NOWHERE = StepPlace()


class ResultLayout(NamedTuple):
    """What is known about the result of an operation before it is computed."""

    dtype: DType
    shape: Shape
    axis: int = 0
    """The axis of a split or a concat, counted from the front."""
    bounds: Sequence[int] = ()
    """Positions on that axis: start and stop of a part, or the stop of each operand of a concat."""


@dataclass(frozen=True)
class Operation(Expression):
    """The result of an operation on other expressions.

    Many parts may be made of one tensor, and all of them ask for its layout, so an operation finds its layout
    once and keeps it.
    """

    place: StepPlace = field(default=_NOWHERE, repr=False, compare=False, kw_only=True)
    """The step that made it."""
    _layouts: list[ResultLayout] = field(default_factory=list, init=False, repr=False, compare=False)
    """The layout, once it is known. A list, because a frozen dataclass cannot be assigned to."""

    def __post_init__(self) -> None:
        # Checked as expressions are built: evaluation recurses, so none too deep or wide may exist.
        if self.depth > MAX_DEPTH:
            raise self.place.error(f"{self._label}: got {self.depth} operations, want at most {MAX_DEPTH}")
        # Each part of a tensor reads it again, so parts that are joined multiply it: a few steps that split
        # and concatenate in turn would otherwise ask for more reads than ever end.
        if self.weight > MAX_WEIGHT:
            raise self.place.error(f"{self._label}: made of {self.weight} tensors, want at most {MAX_WEIGHT}")

    @abstractmethod
    def _operands(self) -> tuple[Expression, ...]:
        """The expressions that it is made of."""

    @abstractmethod
    def _find_layout(self, entries: Entries) -> ResultLayout:
        """Return the layout; PlanError if the operation does not fit its operands."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The stored tensors of all operands."""
        operands = self._operands()
        if len(operands) == 1:
            return operands[0].sources
        return tuple(dict.fromkeys(name for operand in operands for name in operand.sources))

    @cached_property
    def depth(self) -> int:
        """One operation more than the deepest operand."""
        # Operands found theirs when they were made and keep it, so this does not recurse; nor does the
        # weight.
        return 1 + max(operand.depth for operand in self._operands())

    @cached_property
    def weight(self) -> int:
        """The sum of the operands."""
        return sum(operand.weight for operand in self._operands())

    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return dtype and shape; PlanError if an operation does not fit its operand."""
        layout = self._layout(entries)
        return layout.dtype, layout.shape

    def _layout(self, entries: Entries) -> ResultLayout:
        if not self._layouts:
            self._layouts.append(self._find_layout(entries))
        return self._layouts[0]

    @property
    def _label(self) -> str:
        """Its name in messages: the first tensor that it is made of."""
        expression: Expression = self
        while isinstance(expression, Operation):
            expression = expression._operands()[0]
        assert isinstance(expression, Stored)
        return repr(expression.name)

    def _axis_of(self, axis: int, shape: Shape, what: str) -> int:
        """Return an axis counted from the front; PlanError if the shape has no such axis."""
        if not -len(shape) <= axis < len(shape):
            raise self.place.error(
                f"{what}: got axis {axis}, want one of the {len(shape)} of shape {list(shape)}"
            )
        return axis % len(shape)


@dataclass(frozen=True)
class Unary(Operation):
    """The result of an operation on one other expression."""

    operand: Expression

    def _operands(self) -> tuple[Expression, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class Transposed(Unary):
    """An expression with its axes in another order, as ``np.transpose`` orders them."""

    axes: tuple[int, ...] | None = None
    """For each axis, the axis of the operand that it is; None reverses them."""

    def _find_layout(self, entries: Entries) -> ResultLayout:
        dtype, shape = self.operand.spec(entries)
        if self.axes is None:
            return ResultLayout(dtype, shape[::-1])
        if sorted(self.axes) != list(range(len(shape))):
            raise self.place.error(
                f"transpose of {self._label}: got axes {list(self.axes)}, "
                f"want a permutation of the {len(shape)} axes of shape {list(shape)}"
            )
        return ResultLayout(dtype, tuple(shape[axis] for axis in self.axes))

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        inner = region
        if region is not None:
            # Axis i of the result is axis axes[i] of the operand; argsort inverts that for the region.
            axes = range(len(region))[::-1] if self.axes is None else self.axes
            inner = tuple(region[i] for i in np.argsort(axes).tolist())
        return read_only(self.operand._evaluate(reading, inner).transpose(self.axes))


@dataclass(frozen=True)
class Cast(Unary):
    """The elements of an expression in another dtype, converted as NumPy does.

    A cast of complex numbers to real ones keeps the real part. Quantised numbers cannot be cast: a checkpoint
    does not say what they mean.
    """

    dtype: DType
    """The dtype to cast to."""

    def _find_layout(self, entries: Entries) -> ResultLayout:
        old, shape = self.operand.spec(entries)
        if old != self.dtype and not (is_castable(old) and is_castable(self.dtype)):
            odd = self.dtype if is_castable(old) else old
            raise self.place.error(
                f"cast of {self._label} from {old.name} to {self.dtype.name}: "
                f"got {odd.name}, want a dtype of numbers or bool"
            )
        return ResultLayout(self.dtype, shape)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        array = self.operand._evaluate(reading, region)
        return array if array.dtype == self.dtype.numpy else read_only(converted(array, self.dtype.numpy))


@dataclass(frozen=True)
class Part(Unary):
    """One part of an expression that is split along an axis."""

    axis: int
    index: int
    """Number of the part, from 0."""
    count: int
    """How many parts there are."""
    bounds: tuple[int, int, int] | None = None
    """Start and stop of the part, and the size that the axis must have; None for parts of equal size."""

    def _find_layout(self, entries: Entries) -> ResultLayout:
        dtype, shape = self.operand.spec(entries)
        axis = self._axis_of(self.axis, shape, f"split of {self._label}")
        size = shape[axis]
        if self.bounds is None:
            if size % self.count:
                raise self.place.error(
                    f"split of {self._label}: got {self.count} equal parts, "
                    f"want a divisor of {size}, axis {self.axis} of shape {list(shape)}"
                )
            each = size // self.count
            start, stop = self.index * each, (self.index + 1) * each
        else:
            start, stop, total = self.bounds
            if total != size:
                raise self.place.error(
                    f"split of {self._label}: got sizes that add up to {total}, "
                    f"want {size}, axis {self.axis} of shape {list(shape)}"
                )
        return ResultLayout(dtype, (*shape[:axis], stop - start, *shape[axis + 1 :]), axis, (start, stop))

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        _, shape, axis, (start, _) = self._layout(reading.entries)
        # The same region of the operand, moved along the axis to where the part starts.
        inner = list(whole(shape) if region is None else region)
        inner[axis] = inner[axis][0] + start, inner[axis][1] + start
        return self.operand._evaluate(reading, tuple(inner))


@dataclass(frozen=True)
class Concatenated(Operation):
    """Several expressions, one after the other along an axis."""

    operands: tuple[Expression, ...]
    axis: int

    def _operands(self) -> tuple[Expression, ...]:
        return self.operands

    def _find_layout(self, entries: Entries) -> ResultLayout:
        # The first operand sets dtype, rank and all sizes but the one along the axis.
        specs = [operand.spec(entries) for operand in self.operands]
        dtype, first = specs[0]
        what = f"concat of {self._label}"
        axis = self._axis_of(self.axis, first, what)
        for operand, (other, shape) in zip(self.operands, specs, strict=True):
            if (other, len(shape)) != (dtype, len(first)) or any(
                size != like for i, (size, like) in enumerate(zip(shape, first, strict=True)) if i != axis
            ):
                raise self.place.error(
                    f"{what} and {label_of(operand)} along axis {self.axis}: got {other.name}{list(shape)}, "
                    f"want {dtype.name} and a shape like {list(first)}"
                )
        stops = list(accumulate(shape[axis] for _, shape in specs))
        return ResultLayout(dtype, (*first[:axis], stops[-1], *first[axis + 1 :]), axis, stops)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        dtype, shape, _, _ = self._layout(reading.entries)
        wanted = whole(shape) if region is None else region
        pieces = self._pieces(reading.entries, wanted)
        if len(pieces) == 1:
            # Not copied, so a view of the stored bytes stays one.
            ((operand, _, inner),) = pieces
            return operand._evaluate(reading, inner)
        out = None
        for operand, shared, inner in pieces:
            piece = operand._evaluate(reading, inner)
            # Memory is taken only after something has been read, so that a false shape costs nothing.
            out = new_array(region_shape(wanted), dtype) if out is None else out
            out[within(shared, wanted)] = piece
        # Without pieces, the region has no elements.
        return read_only(new_array(region_shape(wanted), dtype) if out is None else out)

    def _pieces(self, entries: Entries, wanted: Region) -> list[tuple[Expression, Region, Region]]:
        """Return the operands that a region touches, each with its share of the region.

        A share is given twice: as a region of the result, and as one of the operand.
        """
        _, _, axis, stops = self._layout(entries)
        low, high = wanted[axis]
        pieces: list[tuple[Expression, Region, Region]] = []
        # Begin with the operand in which the region begins: a region may touch a few of very many operands.
        for number in range(bisect_right(stops, low), len(stops)):
            start, stop = stops[number - 1] if number else 0, stops[number]
            if start >= high:
                break
            shared, inner = list(wanted), list(wanted)
            shared[axis] = max(start, low), min(stop, high)
            inner[axis] = shared[axis][0] - start, shared[axis][1] - start
            if all(first < last for first, last in shared):
                pieces.append((self.operands[number], tuple(shared), tuple(inner)))
        return pieces


def label_of(expression: Expression) -> str:
    """Return the name of an expression in messages: the first tensor that it is made of."""
    return expression._label if isinstance(expression, Operation) else repr(expression.sources[0])
