"""Reshaped: the elements of an expression, in C order, in another shape.

A box of the result is not a box of the operand. But the elements of some rows of the result follow one
another, and so do those of rows of the operand, so that a region is read as the fewest rows that hold it:
pieces of a large tensor, read one after the other, do not need all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, region_shape, whole, within
from ckptfmt.plans.expressions import Entries, Reading
from ckptfmt.plans.operations import MAX_RANK, ResultLayout, Unary

SMALL = 1 << 18
"""Elements of an operand that is read whole, once for many regions."""

_MAX_ELEMENTS = 1 << 59
"""Elements, of 16 bytes each, that a 64-bit address space holds."""


@dataclass(frozen=True)
class Reshaped(Unary):
    """The elements of an expression, in C order, in another shape."""

    shape: tuple[int, ...] = ()
    """The shape; one dimension may be -1 and is then computed from the number of elements."""

    def _find_layout(self, entries: Entries) -> ResultLayout:
        dtype, old = self.operand.spec(entries)
        count, known = math.prod(old), math.prod(size for size in self.shape if size != -1)
        shape = self.shape
        # A -1 beside a 0 is undetermined: it stays, and is refused below.
        if -1 in shape and known and count % known == 0:
            shape = tuple(count // known if size == -1 else size for size in shape)
        # An empty array fits any shape with a 0 in it, so the other sizes need a bound of their own.
        if (
            min(shape, default=0) < 0
            or len(shape) > MAX_RANK
            or math.prod(shape) != count
            or math.prod(size or 1 for size in shape) > _MAX_ELEMENTS
        ):
            raise self.place.error(
                f"reshape of {self._label}: got shape {list(self.shape)}, "
                f"want one of the {count} elements of shape {list(old)}"
            )
        return ResultLayout(dtype, shape)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        dtype, shape = self.spec(reading.entries)
        if region is None or not shape:
            return read_only(reading.kept(self.operand, None).reshape(shape))
        if 0 in region_shape(region):
            return read_only(new_array(region_shape(region), dtype))
        axis, length = _rows(shape)
        first, stop = region[axis]
        elements = self._elements(reading, first * length, stop * length)
        rows = (*whole(shape)[:axis], (first, stop), *whole(shape)[axis + 1 :])
        return read_only(elements.reshape(region_shape(rows))[within(region, rows)])

    def _elements(self, reading: Reading, start: int, stop: int) -> Array:
        """Return the elements of the operand from a place in C order to another, read as whole rows."""
        _, old = self.operand.spec(reading.entries)
        if math.prod(old) <= SMALL:
            return reading.kept(self.operand, None).reshape(-1)[start:stop]
        axis, length = _rows(old)
        first = start // length
        rows = (*whole(old)[:axis], (first, -(-stop // length)), *whole(old)[axis + 1 :])
        array = reading.kept(self.operand, None if rows == whole(old) else rows).reshape(-1)
        return array[start - first * length : stop - first * length]


def _rows(shape: Shape) -> tuple[int, int]:
    """Return the axis along which an array is cut into rows, and the elements of a row."""
    # The first axis of more than one index: those before it separate nothing.
    axis = next((axis for axis, size in enumerate(shape) if size != 1), 0)
    return axis, math.prod(shape[axis + 1 :])
