"""Slices as text and as Python writes them.

::

    spec        sizes … part       with a space between; of save and restore ops
    part        extent:extent…     one for each dimension
    extent      - for all of it, or start,length

``4 1 0,2:0,1`` is the first half of a tensor of shape 4 × 1. Source: TensorFlow
``core/util/saved_tensor_slice_util.cc`` (``ParseShapeAndSlice``), ``core/framework/tensor_slice.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import FULL, Region, TensorSlice
from ckptfmt.errors import CorruptError

SliceLike: TypeAlias = "str | TensorSlice | slice | Sequence[slice | tuple[int, int]]"
"""A part of a tensor: TensorFlow's text, or a Python slice or a pair (start, length) for each dimension.

A tensor of one dimension may have the slice alone.
"""

_NUMBER = re.compile(r"[0-9]{1,19}")


def parse_spec(text: str) -> tuple[Shape, Region]:
    """Return the shape of a tensor and the part of it that a text such as ``4 1 0,2:0,1`` names.

    Raises CorruptError if the text is not of this form, or the part extends beyond the tensor.
    """
    *sizes, part = text.split(" ")
    if not sizes or not all(map(_NUMBER.fullmatch, sizes)):
        raise CorruptError(f"not a slice: {text[:100]!r}")
    shape = tuple(map(int, sizes))
    return shape, parse_slice(part).region(shape)


def parse_slice(text: str) -> TensorSlice:
    """Return the slice of a text such as ``0,2:-``; CorruptError if it is not of this form."""
    extents = []
    # TensorFlow skips empty extents, so that a scalar's slice is the empty text.
    for extent in filter(None, text.split(":")):
        numbers = extent.split(",")
        if extent == "-":
            extents.append((0, FULL))
        elif len(numbers) == 2 and all(map(_NUMBER.fullmatch, numbers)):
            extents.append((int(numbers[0]), int(numbers[1])))
        else:
            raise CorruptError(f"not a slice: {text[:100]!r}, want start,length or - for each dimension")
    return TensorSlice(tuple(extents))


def as_slice(part: SliceLike, shape: Shape) -> tuple[TensorSlice, Region]:
    """Return the slice that a user means, and its region in a tensor of that shape.

    Extents stay as they are written: ``0,4`` and ``-`` make different keys, even if they take the same
    elements. Raises ValueError if the slice does not fit the shape, TypeError if it is not one.
    """
    try:
        if isinstance(part, TensorSlice):
            taken = part
        elif isinstance(part, str):
            taken = parse_slice(part)
        elif isinstance(part, slice):
            return as_slice((part,), shape)
        elif len(part) == len(shape):
            taken = TensorSlice(tuple(map(_extent, part, shape)))
        else:
            raise ValueError(f"slice: got {len(part)} dimensions, want {len(shape)} for shape {list(shape)}")
        return taken, taken.region(shape)
    except CorruptError as error:
        raise ValueError(error.what) from None  # no file is wrong


def _extent(part: slice | tuple[int, int], size: int) -> tuple[int, int]:
    """Return start and length of a Python slice or a pair."""
    if isinstance(part, (tuple, list)) and len(part) == 2:
        return int(part[0]), int(part[1])
    if not isinstance(part, slice):
        raise TypeError(f"slice: got {part!r} for a dimension, want a Python slice or a pair (start, length)")
    if part == slice(None):
        return 0, FULL
    start, stop, step = part.indices(size)
    if step != 1:
        raise ValueError(f"slice: got step {step}, want 1")
    return start, max(0, stop - start)
