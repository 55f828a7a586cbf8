"""What users give as a tensor, made into an array of the dtype that TensorFlow would give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.foreign import has_dtype, view_array
from ckptfmt.arrays.values import ResourceHandle, Variant
from ckptfmt.dtypes import BY_NAME, DType, Storage, as_dtype

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


def as_tensor(values: Any, wanted: DType | None) -> tuple[DType, Array]:  # noqa: ANN401
    """Return the dtype of a tensor with these values, and an array of them.

    Large arrays are not converted: the array may have another byte order, layout or dtype whose values the
    tensor's can have, for :func:`~ckptfmt.arrays.raw.encode_pieces` to convert. That of a string tensor holds
    bytes or text in any form that NumPy has for them.

    Raises
    ------
    TypeError
        TensorFlow has no such dtype, or not for these values.
    ValueError
        A value exceeds the dtype, or nested lists differ in length.
    """
    if wanted is not None and wanted.storage in (Storage.VARIANT, Storage.NONE):
        return wanted, np.asarray(values, object)
    natural, array = _natural(values)
    if natural.storage is Storage.NONE:
        return natural, array
    if wanted is None or wanted is natural:
        return natural, array
    _check_cast(array, natural, wanted)
    return wanted, array


def _natural(values: Any) -> tuple[DType, Array]:  # noqa: ANN401
    """Return the dtype that values have of themselves, and an array of them."""
    if has_dtype(values):
        array = view_array(values)
        if array.dtype.hasobject and array.dtype.kind == "O":
            return _dtype_of_objects(array), array
        # NumPy has an array of int8 for a tensor of qint8.
        own = getattr(values, "dtype", None)
        return as_dtype(own if hasattr(own, "as_datatype_enum") else array.dtype).base_dtype, array
    first = values
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(first, (str, bytes, Variant, ResourceHandle)) or first is None:
        array = np.array(values, object)  # NumPy's own strings end where zeros begin
        return _dtype_of_objects(array), array
    try:
        array = np.array(values)
    except (ValueError, MemoryError):
        raise
    except OverflowError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # whatever the library of the elements raises
        raise TypeError(
            f"got a list of {type(first).__qualname__}, which NumPy cannot make an array of: {error}"
        ) from error
    if array.dtype.kind in "OSU":
        array = np.array(values, object)
        return _dtype_of_objects(array), array
    # As make_tensor_proto() does: Python's floats become float32, and its ints int32 if they fit.
    if not has_dtype(first) and array.dtype == np.float64:
        return BY_NAME["float32"], array
    if not has_dtype(first) and array.dtype == np.int64 and _fits(array, BY_NAME["int32"]):
        return BY_NAME["int32"], array
    return as_dtype(array.dtype), array


def _dtype_of_objects(array: Array) -> DType:
    """Return the dtype of a tensor of objects, which is that of the first."""
    first = next(iter(array.flat), b"")
    if isinstance(first, Variant):
        return BY_NAME["variant"]
    if isinstance(first, ResourceHandle):
        return BY_NAME["resource"]
    if isinstance(first, (str, bytes, bytearray)):
        return BY_NAME["string"]
    raise TypeError(f"got objects of type {type(first).__name__}, want numbers, bytes, text or Variants")


_RANKS = {"bool": 0, "int": 1, "uint": 1, "qint": 1, "quint": 1, "float": 2, "bfloat": 2, "complex": 3}
"""Name of a dtype without its size -> its place among those whose values the later ones can have."""


def _rank(dtype: DType) -> int:
    return _RANKS.get(dtype.name.split("_")[0].rstrip("0123456789e"), -1)


def _check_cast(array: Array, natural: DType, wanted: DType) -> None:
    """Raise an error unless the values can be stored under the dtype: 1.5 is no int, and 300 no int8."""
    if not array.size:
        return
    if _rank(natural) == -1 or not _rank(natural) <= _rank(wanted):
        raise TypeError(f"got values of {natural.name}, want {wanted.name}")
    if _rank(natural) == _rank(wanted) == 1 and not _fits(array, wanted):
        raise ValueError(f"got values from {array.min()} to {array.max()}, want those of {wanted.name}")


def _fits(array: Array, wanted: DType) -> bool:
    """Return whether a dtype of integers has all values of an array of integers."""
    bits = wanted.bits or 8 * wanted.numpy.itemsize
    is_signed = wanted.signed or (not wanted.bits and wanted.numpy.kind == "i")
    lowest = -(1 << bits - 1) if is_signed else 0
    if array.dtype.kind == "V":
        array = array.astype(np.int8)  # of less than 8 bits
    return not array.size or (int(array.min()) >= lowest and int(array.max()) < lowest + (1 << bits))


def as_bytes(value: object) -> bytes:
    """Return an element of a string tensor as bytes; TypeError if it is neither bytes nor text."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"element of a string tensor: got {type(value).__name__}, want bytes or str")
