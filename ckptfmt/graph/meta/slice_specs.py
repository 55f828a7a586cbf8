"""Slices: parts of partitioned variables, as restore ops write them.

::

    text        sizes … part       with a space between
    part        extent:extent…     one for each dimension
    extent      - for all of it, or start,length

``4 1 0,2:0,1`` is the first half of a tensor of shape 4 × 1. Source: TensorFlow
``core/util/saved_tensor_slice_util.cc`` (``ParseShapeAndSlice``).
"""

from __future__ import annotations

import re
from typing import TypeAlias

from ckptfmt.errors import CorruptError

Region: TypeAlias = "tuple[tuple[int, int], ...]"
"""Start and stop in each dimension."""

_NUMBER = re.compile(r"[0-9]{1,19}")


def parse_slice(text: str, file: str) -> tuple[tuple[int, ...], Region]:
    """Return the shape of a tensor and the part of it that a text such as ``4 1 0,2:0,1`` names.

    Raises CorruptError if the text is not of this form, or the part extends beyond the tensor.
    """
    *sizes, part = text.split(" ")
    extents = [extent for extent in part.split(":") if extent]
    if not sizes or len(extents) != len(sizes) or not all(map(_NUMBER.fullmatch, sizes)):
        raise CorruptError(f"not a slice: {text[:100]!r}", file=file)
    shape = tuple(map(int, sizes))
    region = []
    for extent, size in zip(extents, shape, strict=True):
        if extent == "-":
            region.append((0, size))
            continue
        numbers = extent.split(",")
        if len(numbers) != 2 or not all(map(_NUMBER.fullmatch, numbers)):
            raise CorruptError(f"not a slice: {text[:100]!r}", file=file)
        start, length = map(int, numbers)
        if not 0 < length <= size - start:
            raise CorruptError(f"slice extends beyond the tensor: {text[:100]!r}", file=file)
        region.append((start, start + length))
    return shape, tuple(region)
