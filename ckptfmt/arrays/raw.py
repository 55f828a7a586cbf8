"""Raw bytes: elements as they are in a data file or in ``tensor_content``, in C order."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from ckptfmt.arrays.array import Array, Box, read_only
from ckptfmt.arrays.shape import Shape, no_such_array
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.threads import PIECE

_FIXED = Storage.FIXED
_BIG_ENDIAN_HOST = sys.byteorder == "big"


def decode_raw(
    data: Buffer, dtype: DType, shape: Shape, *, big_endian: bool = False, at: Box | None = None
) -> Array:
    """Return the array whose elements are ``data``, read-only bytes, in C order: a view if possible.

    A copy is made only to swap bytes (files of the other byte order), to sign-extend types of less than
    8 bits, and of bools with a byte other than 0 and 1. The view may be unaligned; NumPy copes, and
    ``np.require(array, requirements="A")`` copies.

    Parameters
    ----------
    data
        All bytes of the tensor.
    dtype, shape
        Of the tensor.
    big_endian
        Whether the file was written on a big-endian machine.
    at
        The part to return, if not all; no byte outside it is touched.
    """
    itemsize = dtype.itemsize
    if itemsize is None:
        raise UnsupportedError(f"dtype {dtype.name} has no fixed-size elements")
    if len(data) != itemsize * math.prod(shape):
        raise CorruptError(
            f"{dtype.name} of shape {list(shape)}: got {len(data)} bytes, want {itemsize * math.prod(shape)}",
            offset=0,
        )
    # Each branch indexes the stored bytes before it converts them, so that a part of a large tensor costs no
    # more than its own size. The last branch, by far the commonest, is a view and returns as it is.
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


def encode_raw(array: Array, dtype: DType) -> memoryview:
    """Return the bytes of an array of ``dtype.numpy``, little-endian and in C order: a view if possible.

    :func:`decode_raw` is the inverse.
    """
    if dtype.storage is Storage.LOW_BITS:
        array = np.bitwise_and(array.view(np.uint8), np.uint8((1 << dtype.bits) - 1))
    elif _BIG_ENDIAN_HOST and array.dtype.itemsize > 1:
        array = array.byteswap()
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def encode_pieces(array: Array, dtype: DType) -> Iterator[memoryview]:
    """Iterate over the bytes of an array of any layout and byte order, whose values ``dtype`` can have.

    If the array has these bytes in memory, they are one piece, a view. Otherwise each piece is converted when
    its turn comes, so that a large array takes the memory of a small one.
    """
    is_same = array.dtype == dtype.numpy and array.flags.c_contiguous
    if is_same and dtype.storage is Storage.FIXED and not _BIG_ENDIAN_HOST:
        yield encode_raw(array, dtype)
        return
    for block in _blocks(array, PIECE // dtype.numpy.itemsize):
        with np.errstate(over="ignore", invalid="ignore"):  # 1e300 as float32 is infinite, as in TensorFlow
            yield encode_raw(block.astype(dtype.numpy, copy=False), dtype)


def _blocks(array: Array, limit: int) -> Iterator[Array]:
    """Iterate over parts of an array that follow one another in C order, of up to ``limit`` elements."""
    if array.size <= limit:
        yield array
        return
    row = array.size // len(array)
    if row > limit:
        for part in array:
            yield from _blocks(part, limit)
        return
    for start in range(0, len(array), limit // row):
        yield array[start : start + limit // row]


def _as_bools(array: Array) -> Array:
    """Return the array itself, or a copy if a byte is neither 0 nor 1: true if not 0, as in Python.

    NumPy and compilers rely on a bool being 0 or 1; with another byte ``==`` and sums go wrong.
    """
    stored = array.view(np.uint8)
    if not stored.size or int(np.max(stored)) <= 1:
        return array
    return read_only(np.asarray(stored != 0))


def extend_low_bits(stored: Array, dtype: DType) -> Array:
    """Return the values in the low bits of bytes (uint8); the upper bits are ignored, as TensorFlow does."""
    unused = 8 - dtype.bits
    if dtype.signed:
        # Shifted up as unsigned, then down as signed: the second shift repeats the sign bit. The counts have
        # the array's own type, since NumPy 1 widens an array without dimensions to the type of a Python int.
        shifted = np.left_shift(stored, np.uint8(unused)).view(np.int8)
        values: Array = np.right_shift(shifted, np.int8(unused))
    else:
        values = np.bitwise_and(stored, np.uint8(0xFF >> unused))
    # NumPy's functions make a scalar of an array without dimensions.
    return np.asarray(values).view(dtype.numpy)


def _swap_bytes(
    data: Buffer, dtype: np.dtype[np.generic], shape: Shape, at: Box | None, *, big_endian: bool
) -> Array:
    """Return elements of the other byte order in that of this machine, in new memory."""
    # As unsigned words, because byteswap() of ml_dtypes types is unreliable. A complex number is two words,
    # which an ellipsis at the end of ``at`` keeps together.
    is_complex = dtype.kind == "c"
    word = dtype.itemsize // 2 if is_complex else dtype.itemsize
    stored: Array = np.ndarray(
        (*shape, 2) if is_complex else shape, f"{'>' if big_endian else '<'}u{word}", data
    )
    values: Array = (stored if at is None else stored[at]).astype(f"u{word}", order="C").view(dtype)
    return values[..., 0] if is_complex else values
