"""Fit: how a stored tensor can be made to fit a wanted one: by a cast, a transposition, both or neither."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, cast

from ckptfmt.dtypes import DType
from ckptfmt.plans.casts import is_castable
from ckptfmt.tensors.restore import Spec

Shape: TypeAlias = "tuple[int | None, ...]"
"""A shape, with None for an open size."""


class Fit(NamedTuple):
    """The changes that make a stored tensor fit."""

    cast: DType | None
    """The dtype it must be converted to, if any."""
    transpose: bool
    """Whether its axes must be reversed."""

    @property
    def is_unchanged(self) -> bool:
        """Whether it fits as it is."""
        return self.cast is None and not self.transpose


def find_fit(got: Spec, want: Spec) -> Fit | None:
    """Return the changes that make ``got`` fit ``want``, or None if no cast and no transposition does.

    Only matrices are transposed, and only numbers are cast to numbers.
    """
    # Frameworks differ in whether a dense kernel has its inputs first or its outputs, and that is all that a
    # transposition stands for here: with more axes there are too many orders for a fit to mean anything.
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
    """Return the shape if it has no open size, else None."""
    if spec.shape is None or None in spec.shape:
        return None
    return cast("tuple[int, ...]", spec.shape)
