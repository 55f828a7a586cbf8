"""Arithmetic: operations whose values are not all stored.

::

    Operation
    ├── Filled       one number everywhere               a view of that number
    └── Summed       several added up                    an array of the region read
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ckptfmt.arrays.array import Array, new_array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, region_shape, whole
from ckptfmt.dtypes import DType
from ckptfmt.plans.casts import is_castable
from ckptfmt.plans.expressions import Entries, Expression, Reading
from ckptfmt.plans.operations import Operation, ResultLayout, Unary, label_of


@dataclass(frozen=True)
class Filled(Unary):
    """One number in every element of a tensor that goes with another one."""

    number: float
    shape: Shape | None = None
    """The shape; None for that of the other tensor."""
    dtype: DType | None = None
    """The dtype; None for that of the other tensor."""

    def _find_layout(self, entries: Entries) -> ResultLayout:
        dtype, shape = self.operand.spec(entries)
        dtype, shape = self.dtype or dtype, shape if self.shape is None else self.shape
        if not is_castable(dtype):
            raise self.place.error(
                f"fill beside {self._label}: got {dtype.name}, want a dtype of numbers or bool"
            )
        if fill_value(self.number, dtype) is None:
            raise self.place.error(f"fill beside {self._label}: {dtype.name} cannot hold {self.number!r}")
        return ResultLayout(dtype, shape)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        dtype, shape = self.spec(reading.entries)
        value = fill_value(self.number, dtype)
        assert value is not None
        return read_only(np.broadcast_to(value, region_shape(whole(shape) if region is None else region)))


def fill_value(number: float, dtype: DType) -> Array | None:
    """Return a number as an array without axes; None if the dtype does not hold it, not even rounded."""
    try:
        with np.errstate(all="ignore"):
            value = np.array(number).astype(dtype.numpy)
            wide = value.astype(np.complex128 if dtype.numpy.kind == "c" else np.float64)
    except (OverflowError, ValueError, TypeError):
        return None
    # A float is the nearest one; an integer, or a truth value, must be the number itself.
    is_near = bool(np.isclose(wide, number, rtol=0.25, atol=0, equal_nan=True))
    is_exact = dtype.is_floating or dtype.is_complex or bool(wide == number)
    return value if is_near and is_exact else None


@dataclass(frozen=True)
class Summed(Operation):
    """The sum of several expressions of one shape and dtype, element by element."""

    operands: tuple[Expression, ...]

    def _operands(self) -> tuple[Expression, ...]:
        return self.operands

    def _find_layout(self, entries: Entries) -> ResultLayout:
        specs = [operand.spec(entries) for operand in self.operands]
        dtype, shape = specs[0]
        what = f"sum of {self._label}"
        if not is_castable(dtype) or dtype.is_bool:
            raise self.place.error(f"{what}: got {dtype.name}, want a dtype of numbers")
        for operand, (other, its_shape) in zip(self.operands, specs, strict=True):
            if (other, its_shape) != (dtype, shape):
                raise self.place.error(
                    f"{what} and {label_of(operand)}: got {other.name}{list(its_shape)}, "
                    f"want {dtype.name}{list(shape)}"
                )
        return ResultLayout(dtype, shape)

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        dtype, shape = self.spec(reading.entries)
        first, *others = self.operands
        value = first._evaluate(reading, region)
        out = new_array(region_shape(whole(shape) if region is None else region), dtype)
        np.copyto(out, value)
        with np.errstate(all="ignore"):
            for operand in others:
                np.add(out, operand._evaluate(reading, region), out=out)
        return read_only(out)
