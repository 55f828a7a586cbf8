"""Arrays: stored bytes to NumPy arrays, and shapes."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from types import EllipsisType
from typing import TypeAlias

import numpy as np

from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields

Shape: TypeAlias = tuple[int, ...]
Box: TypeAlias = "tuple[int | slice | np.ndarray | EllipsisType, ...]"
"""An index that takes a part of an array, as a view but for lists; with an ellipsis at the end."""
Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"

MAX_RANK = 254
"""TensorFlow's TensorShape holds no more dimensions."""

_INT64_MAX = (1 << 63) - 1
_FIXED = Storage.FIXED
_BIG_ENDIAN_HOST = sys.byteorder == "big"


@lru_cache(maxsize=4096)
def decode_shape(data: bytes) -> Shape:
    """Return the dimensions of a serialized TensorShapeProto.

    Raises CorruptError where TensorFlow has no such shape: negative sizes, too many dimensions or elements.
    ``unknown_rank`` is ignored, as TensorFlow does for stored tensors.
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
            raise CorruptError(f"dimension {len(shape)} of a shape is {size}")
        elements *= size
        if elements > _INT64_MAX:
            raise CorruptError(f"shape {[*shape, size]} has more than 2**63 - 1 elements")
        shape.append(size)
    if len(shape) > MAX_RANK:
        raise CorruptError(f"shape of {len(shape)} dimensions, TensorFlow has at most {MAX_RANK}")
    return tuple(shape)


def expected_size(dtype: DType, shape: Shape) -> int | None:
    """Stored bytes of a tensor; None where the elements vary in size."""
    return None if dtype.itemsize is None else math.prod(shape) * dtype.itemsize


def read_only(array: Array) -> Array:
    """Return the array, no longer writable."""
    array.flags.writeable = False
    return array


def new_array(shape: Shape, dtype: DType) -> Array:
    """Return an uninitialised array.

    Raises UnsupportedError where NumPy has no such shape, LimitError where there is no memory for it.
    """
    try:
        return np.empty(shape, dtype.numpy)
    except ValueError as error:
        raise no_such_array(shape, error) from error
    except MemoryError as error:
        raise LimitError(
            f"memory for {dtype.name}{list(shape)}",
            limit=memory_size(),
            asked=math.prod(shape) * dtype.numpy.itemsize,
        ) from error


def check_shape(shape: Shape, dtype: DType) -> None:
    """Raise UnsupportedError where NumPy has no array of that shape and dtype; nothing is allocated."""
    try:
        # Strides of zero: any size is only a number here.
        np.broadcast_to(np.empty((), dtype.numpy), shape)
    except ValueError as error:
        raise no_such_array(shape, error) from error


def no_such_array(shape: Shape, error: ValueError) -> UnsupportedError:
    """Return the error of a shape that NumPy has no array of."""
    return UnsupportedError(f"NumPy has no array of shape {list(shape)}: {error}")


def decode_raw(
    data: Buffer, dtype: DType, shape: Shape, *, big_endian: bool = False, at: Box | None = None
) -> Array:
    """Return the array whose elements lie in ``data``, read-only bytes, in C order: a view if possible.

    With ``at``, only that part of it, and no other byte is touched. A copy is made only to swap bytes (files
    of the other byte order), to sign-extend the types of less than 8 bits, and of a bool that is neither 0
    nor 1. The view may be unaligned; NumPy copes, ``np.require(array, requirements="A")`` copies.
    """
    itemsize = dtype.itemsize
    if itemsize is None:
        raise UnsupportedError(f"dtype {dtype.name} has no fixed-size elements")
    if len(data) != itemsize * math.prod(shape):
        raise CorruptError(
            f"{dtype.name} of shape {list(shape)}: got {len(data)} bytes, want {itemsize * math.prod(shape)}",
            offset=0,
        )
    try:
        if dtype.storage is not _FIXED:
            stored: Array = np.ndarray(shape, np.uint8, data)
            return read_only(extend_low_bits(stored if at is None else stored[at], dtype))
        if big_endian is not _BIG_ENDIAN_HOST and itemsize > 1:
            return read_only(_swap_bytes(data, dtype.numpy, shape, at, big_endian=big_endian))
        array: Array = np.ndarray(shape, dtype.numpy, data)
    except ValueError as error:
        raise no_such_array(shape, error) from error
    if at is not None:
        array = array[at]
    return _as_bools(array) if dtype.name == "bool" else array


def _as_bools(array: Array) -> Array:
    """The array itself, or where a byte is neither 0 nor 1 a copy, true where it is not 0, as in Python."""
    stored = array.view(np.uint8)
    if not stored.size or int(np.max(stored)) <= 1:
        return array
    return read_only(np.asarray(stored != 0))


def extend_low_bits(stored: Array, dtype: DType) -> Array:
    """Return the values in the low bits of bytes."""
    unused = 8 - dtype.bits
    if dtype.signed:
        # Counts of the same type: NumPy 1 would widen an array without dimensions to that of a Python int.
        shifted = np.left_shift(stored, np.uint8(unused)).view(np.int8)
        values: Array = np.right_shift(shifted, np.int8(unused))
    else:
        values = np.bitwise_and(stored, np.uint8(0xFF >> unused))
    # NumPy's functions make a scalar of an array without dimensions.
    return np.asarray(values).view(dtype.numpy)


def _swap_bytes(
    data: Buffer, dtype: np.dtype[np.generic], shape: Shape, at: Box | None, *, big_endian: bool
) -> Array:
    # As unsigned words: byteswap() of ml_dtypes types is not to be relied on. A complex number is two words.
    is_complex = dtype.kind == "c"
    word = dtype.itemsize // 2 if is_complex else dtype.itemsize
    stored: Array = np.ndarray(
        (*shape, 2) if is_complex else shape, f"{'>' if big_endian else '<'}u{word}", data
    )
    values: Array = (stored if at is None else stored[at]).astype(f"u{word}", order="C").view(dtype)
    return values[..., 0] if is_complex else values


def shaped(values: Array, shape: Shape) -> Array:
    """Return the values in that shape, read-only; UnsupportedError where NumPy has no such shape."""
    try:
        return read_only(values.reshape(shape))
    except ValueError as error:
        raise no_such_array(shape, error) from error
