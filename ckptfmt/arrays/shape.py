"""Shapes: the dimensions that a file states, and which of them NumPy can hold."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.wire.coding import encode_varint, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields

Shape: TypeAlias = tuple[int, ...]

MAX_RANK = 254
"""The most dimensions of a TensorShape in TensorFlow."""

_INT64_MAX = (1 << 63) - 1


# A checkpoint repeats a few shapes in thousands of entries.
@lru_cache(maxsize=4096)
def decode_shape(data: bytes) -> Shape:
    """Return the dimensions of a serialized TensorShapeProto.

    ``unknown_rank`` is ignored, as TensorFlow does for stored tensors. Raises CorruptError if TensorFlow has
    no such shape: a negative size, too many dimensions, or too many elements.
    """
    shape: list[int] = []
    elements = 1
    for field in decode_fields(data):
        if (field.number, field.wire_type) != (2, LENGTH_DELIMITED):
            continue
        size = 0
        for dim in decode_fields(field.content):
            if (dim.number, dim.wire_type) == (1, VARINT):
                size = to_signed(dim.value)
        if size < 0:
            raise CorruptError(f"dimension {len(shape)} of a shape: got {size}, want at least 0")
        # TensorFlow multiplies from left to right and rejects an overflow even if a later size is 0.
        elements *= size
        if elements > _INT64_MAX:
            raise CorruptError(f"shape {[*shape, size]}: more than 2**63 - 1 elements")
        shape.append(size)
    if len(shape) > MAX_RANK:
        raise CorruptError(f"shape: got {len(shape)} dimensions, want at most {MAX_RANK}")
    return tuple(shape)


@lru_cache(maxsize=4096)
def encode_shape(shape: Shape) -> bytes:
    """Return the serialized TensorShapeProto of dimensions; :func:`decode_shape` is the inverse."""
    dims = (b"\x08" + encode_varint(size) if size else b"" for size in shape)
    return b"".join(b"\x12" + encode_varint(len(dim)) + dim for dim in dims)


def check_new_shape(sizes: Iterable[int]) -> Shape:
    """Return dimensions that a user gives as a shape; ValueError if TensorFlow has no such shape."""
    shape = tuple(map(operator.index, sizes))
    if any(size < 0 for size in shape):
        raise ValueError(f"shape: got {list(shape)}, want no negative size")
    if len(shape) > MAX_RANK:
        raise ValueError(f"shape: got {len(shape)} dimensions, want at most {MAX_RANK}")
    # As when it is read: from left to right, whatever comes after.
    if max(itertools.accumulate(shape, operator.mul), default=0) > _INT64_MAX:
        raise ValueError(f"shape {list(shape)}: more than 2**63 - 1 elements")
    return shape


def expected_size(dtype: DType, shape: Shape) -> int | None:
    """Return the stored bytes of a tensor, None if its elements vary in size."""
    return None if dtype.itemsize is None else math.prod(shape) * dtype.itemsize


def check_shape(shape: Shape, dtype: DType) -> None:
    """Raise UnsupportedError if NumPy has no array of that shape and dtype; nothing is allocated."""
    try:
        # With strides of zero, all elements are one in memory, so a shape of any size costs nothing.
        np.broadcast_to(np.empty((), dtype.numpy), shape)
    except ValueError as error:
        raise no_such_array(shape, error) from error


def no_such_array(shape: Shape, error: ValueError) -> UnsupportedError:
    """Return the error for a shape that NumPy refuses: TensorFlow has more dimensions and larger sizes."""
    return UnsupportedError(f"NumPy has no array of shape {list(shape)}: {error}")
