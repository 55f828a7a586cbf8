"""Arrays: their type, and how they are made and handed out."""

from __future__ import annotations

import math
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.arrays.shape import Shape, no_such_array
from ckptfmt.dtypes import DType
from ckptfmt.errors import LimitError
from ckptfmt.wire.buffers import memory_size

Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[Any]]"
"""Any array. Its dtype is known only to the file, so type checkers accept the one that a program expects."""

Box: TypeAlias = "tuple[int | slice | np.ndarray | EllipsisType, ...]"
"""An index that takes a part of an array, with an ellipsis at the end. The part is a view unless the index
has an array of positions."""


def new_array(shape: Shape, dtype: DType) -> Array:
    """Return an uninitialised array.

    Raises UnsupportedError if NumPy has no such shape, LimitError if memory does not suffice.
    """
    try:
        return np.empty(shape, dtype.numpy)
    except ValueError as error:
        raise no_such_array(shape, error) from error
    except MemoryError as error:
        raise LimitError(
            f"bytes of memory for {dtype.name}{list(shape)}",
            limit=memory_size(),
            asked=math.prod(shape) * dtype.numpy.itemsize,
        ) from error


def read_only(array: Array) -> Array:
    """Return the array itself, no longer writable."""
    array.flags.writeable = False
    return array


def as_asked(array: Array, out: Array | None, *, copy: bool) -> Array:
    """Return an array in ``out``, as a writable copy, or as it is."""
    if out is not None:
        np.copyto(out, array)
        return out
    return array.copy() if copy else array


def shaped(values: Array, shape: Shape) -> Array:
    """Return the values in that shape, read-only; UnsupportedError if NumPy has no such shape."""
    try:
        return read_only(values.reshape(shape))
    except ValueError as error:
        raise no_such_array(shape, error) from error
