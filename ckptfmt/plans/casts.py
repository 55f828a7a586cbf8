"""Casts between dtypes: which are possible, which keep every value, and the conversion itself."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType, Storage


def is_castable(dtype: DType) -> bool:
    """Return whether the elements of a dtype are numbers or truth values that NumPy converts."""
    return dtype.storage in (Storage.FIXED, Storage.LOW_BITS) and not dtype.is_quantized


def converted(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return a copy of an array in another dtype; values that do not fit become what NumPy makes of them."""
    if array.dtype.kind == "c" and dtype.kind != "c":
        array = array.real
    with np.errstate(all="ignore"):
        if _is_extension(array.dtype) and array.dtype != dtype:
            # Not every pair of ml_dtypes' types has a conversion, but float32 holds all their values.
            array = array.astype(np.float32)
        if _is_extension(dtype) and array.dtype.kind == "c":
            array = array.real
        return array.astype(dtype)


def _is_extension(dtype: np.dtype[np.generic]) -> bool:
    """Return whether a dtype comes from ml_dtypes."""
    return dtype.type.__module__.startswith("ml_dtypes")


@lru_cache(maxsize=1024)
def is_exact(old: DType, new: DType) -> bool:
    """Return whether a dtype can hold every value of another, so that a cast to it can be undone."""
    # Dtypes of one or two bytes have few values: all of them are converted and compared, which needs no table
    # of pairs. For larger dtypes NumPy's rule decides, with one correction.
    if old == new:
        return True
    if not (is_castable(old) and is_castable(new)):
        return False
    a, b = old.numpy, new.numpy
    if a.itemsize > 2:
        # NumPy calls casts of 64-bit integers to float64 safe, but float64 has only 53 bits for them.
        return (
            not _is_extension(b)
            and bool(np.can_cast(a, b, "safe"))
            and not (a.kind in "iu" and a.itemsize == 8 and b.kind in "fc")
        )
    values = _all_values(old)
    result = converted(values, b)
    if b.kind == "c":
        result = result.real
    # float64 holds all values of small dtypes exactly, so both sides can be compared in it.
    wanted, got = (converted(x, np.dtype(np.float64)) for x in (values, result))
    same = (wanted == got) & (np.signbit(wanted) == np.signbit(got))
    return bool((same | (np.isnan(wanted) & np.isnan(got))).all())


def _all_values(dtype: DType) -> Array:
    """Return every value of a dtype of at most two bytes."""
    if dtype.is_bool:
        return np.array([False, True])
    bits = dtype.bits or 8 * dtype.numpy.itemsize
    codes = np.arange(1 << bits).astype(np.uint8 if bits <= 8 else np.uint16)
    if dtype.signed:
        # Two's complement: the sign bit of a narrow integer fills the rest of its byte.
        codes[1 << (bits - 1) :] |= np.uint8(256 - (1 << bits))
    return codes.view(dtype.numpy)
