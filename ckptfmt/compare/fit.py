"""Fit: what makes a stored tensor fit one that is wanted, a cast, a transposition, both or nothing."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, cast

from ckptfmt.dtypes import DType
from ckptfmt.plans.casts import is_castable
from ckptfmt.tensors.restore import Spec

Shape: TypeAlias = "tuple[int | None, ...]"
"""A shape, None for a size that may be any."""


class Fit(NamedTuple):
    """What must be done to a stored tensor."""

    cast: DType | None
    """The dtype it must be converted to, if any."""
    transpose: bool
    """Whether its axes must be reversed."""

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing must be done."""
        return self.cast is None and not self.transpose


def find_fit(got: Spec, want: Spec) -> Fit | None:
    """Return what makes one fit the other, or None if neither a cast nor a transposition does.

    Only matrices are transposed, and only numbers are cast to numbers.
    """
    if got.shape is None:
        return None
    if _sizes_fit(got.shape, want.shape):
        transpose = False
    elif len(got.shape) == 2 and _sizes_fit(got.shape[::-1], want.shape):
        transpose = True
    else:
        return None
    if want.dtype is None or got.dtype == want.dtype:
        return Fit(None, transpose)
    if got.dtype is None or not (is_castable(got.dtype) and is_castable(want.dtype)):
        return None
    return Fit(want.dtype, transpose)


def _sizes_fit(got: Shape, want: Shape | None) -> bool:
    return want is None or (
        len(got) == len(want) and all(q is None or p == q for p, q in zip(got, want, strict=True))
    )


def exact_shape(spec: Spec) -> tuple[int, ...] | None:
    """Return a shape with all its sizes, None if any is open."""
    if spec.shape is None or None in spec.shape:
        return None
    return cast("tuple[int, ...]", spec.shape)
