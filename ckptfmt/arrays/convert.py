"""What users give as a tensor, made into an array of the dtype that TensorFlow would give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType

# V is the kind of the dtypes of ml_dtypes.
_ACCEPTED_KINDS = {"b": "b", "i": "biu", "u": "biu", "f": "biuf", "c": "biufc", "O": "O", "V": "biuf"}
"""Kind of a NumPy dtype -> kinds that Python's values may have for it."""


def as_array(values: Any, wanted: DType | None) -> Array:  # noqa: ANN401
    """Return the values as an array of the dtype wanted, or of the one TensorFlow gives Python's numbers."""
    numpy = None if wanted is None else wanted.numpy
    if wanted is not None and wanted.name in ("resource", "variant"):
        return np.asarray(values, object)
    if _is_array(values):
        array = np.asarray(values)
        return array if numpy is None or array.dtype == numpy else array.astype(numpy)
    try:
        natural: Array = np.array(values)
        if natural.dtype.kind in "SU":
            natural = np.array(values, object)  # NumPy's own strings end where zeros begin
        if wanted is None:
            return _narrowed(natural)
        # NumPy would convert nearly anything to nearly anything: 1.5 to an int, "1" to a float.
        if natural.size and natural.dtype.kind not in _ACCEPTED_KINDS.get(np.dtype(numpy).kind, "biuf"):
            raise TypeError(f"got values of {natural.dtype.name}, want {wanted.name}")
        return np.array(values, numpy)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _narrowed(array: Array) -> Array:
    """Return an array of Python's numbers in the dtype that TensorFlow gives them."""
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # 1e300 becomes infinite, as in TensorFlow
            return array.astype(np.float32)
    # As make_tensor_proto() does: int32 is preferred, unless it would change a value.
    if array.dtype == np.int64:
        narrow = array.astype(np.int32)
        return narrow if np.array_equal(narrow, array) else array
    return array


def _is_array(values: object) -> bool:
    """Return whether values have a dtype of their own, which is kept; Python's numbers and lists do not."""
    if callable(getattr(values, "__array__", None)) or hasattr(values, "__array_interface__"):
        return True
    return isinstance(values, (bytearray, memoryview))


def as_bytes(value: object) -> bytes:
    """Return an element of a string tensor as bytes; TypeError if it is neither bytes nor text."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"element of a string tensor: got {type(value).__name__}, want bytes or str")
