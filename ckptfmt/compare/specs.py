"""Specs of values: dtype and shape of an array, or of a spec or shape, of any library."""

from __future__ import annotations

import operator
from typing import Any

from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.tensors.restore import Spec


def spec_of(name: str, value: Any) -> Spec:  # noqa: ANN401 - arrays of any library
    """Return the dtype and shape that a value stands for.

    Anything with ``.shape`` and ``.dtype`` is a spec; a tuple or a list of sizes is a shape of any dtype.

    Raises
    ------
    TypeError
        It is neither, or its dtype or shape makes no sense. The message begins with ``name``.
    ValueError
        A size is negative.
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = None if value.dtype is None else _dtype(name, value.dtype)
        return Spec(dtype, None if value.shape is None else _shape(name, value.shape))
    if isinstance(value, (tuple, list)) or hasattr(value, "as_list"):
        return Spec(None, _shape(name, value))
    raise TypeError(f"{name!r}: got {type(value).__name__}, want an array, a shape or a Spec")


def _shape(name: str, sizes: Any) -> tuple[int | None, ...] | None:  # noqa: ANN401
    """A shape as integers, None for an open size; None if the rank is open."""
    if getattr(sizes, "rank", 0) is None:  # a tf.TensorShape of unknown rank
        return None
    try:
        shape = tuple(None if size is None else operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"{name!r}: got {sizes!r:.200}, want a shape of integers") from None
    if any(size is not None and size < 0 for size in shape):
        raise ValueError(f"{name!r}: got shape {list(shape)}, want no negative sizes")
    return shape


def _dtype(name: str, dtype: Any) -> DType:  # noqa: ANN401
    try:
        base = as_dtype(dtype).base_dtype
    except TypeError as error:
        raise TypeError(f"{name!r}: {error}") from None
    if base.storage is Storage.NONE:
        raise TypeError(f"{name!r}: got dtype {base.name}, want one that a checkpoint can hold")
    return base
