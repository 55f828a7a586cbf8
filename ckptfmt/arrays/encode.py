"""Arrays to TensorProto, as ``tf.make_tensor_proto`` makes it. Source: TensorFlow ``tensor_util.py``."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.convert import as_array, as_bytes
from ckptfmt.arrays.shape import Shape
from ckptfmt.arrays.value_fields import VALUE_FIELDS
from ckptfmt.arrays.values import ResourceHandle, Variant
from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.proto import messages

MAX_CONTENT = 1 << 31
"""Protobuf refuses messages of this size and more, so ``tensor_content`` must be smaller."""

_LISTED_ONE_BY_ONE = frozenset(
    ("complex64", "complex128", "bool", "uint16", "int4", "uint4", "int2", "uint2")
)
"""Dtypes of a fixed size whose values TensorFlow never writes as ``tensor_content``."""


def to_proto(
    values: Any,  # noqa: ANN401  (whatever NumPy makes an array of)
    dtype: Any = None,  # noqa: ANN401  (a dtype of any library)
    shape: Iterable[int] | None = None,
) -> messages.TensorProto:
    """Return the TensorProto of an array, as ``tf.make_tensor_proto`` makes it.

    Several numbers are ``tensor_content``; a single one, complex numbers, bools, strings, ``uint16`` and
    integers of less than 8 bits are listed one by one.

    Parameters
    ----------
    values
        An array, a scalar, or nested lists. Without a ``dtype`` Python's floats become float32, and its ints
        int32 if they fit. Arrays of :class:`~ckptfmt.Variant` and :class:`~ckptfmt.ResourceHandle` objects
        need theirs to be given.
    dtype
        The dtype, of any library or by name. Quantised ones have to be given.
    shape
        The shape, if not that of the values. If it has more elements than there are values, readers repeat
        the last value.

    Raises
    ------
    TypeError
        TensorFlow has no such dtype, or the values are not of the one given.
    ValueError
        There are more values than the shape has elements, nested lists differ in length, or the values take
        2 GiB or more.
    """
    if isinstance(values, messages.TensorProto):
        return values
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = as_array(values, wanted)
    known = wanted if wanted is not None else as_dtype(array.dtype)
    sizes = array.shape if shape is None else tuple(map(operator.index, shape))
    count = math.prod(sizes)
    if array.size > count:
        raise ValueError(f"too many values: got {array.size}, want at most {count} for shape {list(sizes)}")
    proto = messages.TensorProto()
    fill_proto(proto, array, known, sizes)
    return proto


def fill_proto(proto: messages.TensorProto, array: Array, dtype: DType, shape: Shape) -> None:
    """Turn an empty TensorProto into that of an array of a dtype, as :func:`to_proto` does."""
    content = outline_proto(proto, array, dtype, shape)
    if content is not None:
        proto.tensor_content = content.tobytes()


def outline_proto(
    proto: messages.TensorProto, array: Array, dtype: DType, shape: Shape
) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    """Fill an empty TensorProto except for ``tensor_content``, and return the bytes of that.

    Gigabytes can then be written to a file without a copy in a message: the bytes are a view of the array if
    it is contiguous. None if the values are listed one by one; the message is complete then.
    """
    proto.dtype = dtype.code
    # Present even if it has no dimensions: an absent shape may mean an unknown one.
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    count = math.prod(shape)
    is_content = dtype.itemsize is not None and dtype.name not in _LISTED_ONE_BY_ONE
    # As in make_tensor_proto(): only if the values fill the shape, and there is more than one.
    if is_content and array.size == count and count > 1:
        if array.nbytes >= MAX_CONTENT:
            raise ValueError(f"{dtype.name}{list(shape)}: got {array.nbytes} bytes, want less than 2 GiB")
        # The content is little-endian whatever the machine.
        stored = array.byteswap() if sys.byteorder == "big" else array
        return np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
    _list_values(proto, array.ravel(), dtype)
    return None


def _list_values(proto: messages.TensorProto, flat: Array, dtype: DType) -> None:
    """Add values one by one to the field of their dtype."""
    known = VALUE_FIELDS.get(dtype.name)
    if known is None:
        raise TypeError(f"dtype {dtype.name} (code {dtype.code}) has no values")
    number, encoding = known
    if encoding == "bytes":
        proto.float8_val = flat.view(np.uint8).tobytes()
        return
    values: list[Any]
    if encoding == "string":
        values = [as_bytes(value) for value in flat]
    elif encoding == "resource":
        values = [_encode_resource(value) for value in flat]
    elif encoding == "variant":
        values = [encode_variant(value) for value in flat]
    elif encoding == "bits16":
        values = flat.view(np.uint16).tolist()
    elif flat.dtype.kind == "c":
        # Real and imaginary parts alternate.
        values = flat.view(f"f{flat.dtype.itemsize // 2}").tolist()
    elif dtype.storage is Storage.LOW_BITS:
        values = flat.astype(np.int8).tolist()
    else:
        values = flat.tolist()
    getattr(proto, proto.DESCRIPTOR.fields_by_number[number].name).extend(values)


def _encode_resource(value: object) -> messages.ResourceHandleProto:
    if not isinstance(value, ResourceHandle):
        raise TypeError(f"element of a resource tensor: got {type(value).__name__}, want a ResourceHandle")
    return messages.ResourceHandleProto(
        device=value.device,
        container=value.container,
        name=value.name,
        hash_code=value.hash_code,
        maybe_type_name=value.type_name,
    )


def encode_variant(value: object) -> messages.VariantTensorDataProto:
    """Return the message of a variant; TypeError if the value is not a :class:`Variant`."""
    if not isinstance(value, Variant):
        raise TypeError(f"element of a variant tensor: got {type(value).__name__}, want a Variant")
    tensors = [to_proto(tensor, _dtype_of(tensor)) for tensor in value.tensors]
    return messages.VariantTensorDataProto(
        type_name=value.type_name, metadata=value.metadata, tensors=tensors
    )


def _dtype_of(array: Array) -> DType | None:
    """Return the dtype of a tensor in a variant, if its elements tell it and not NumPy's dtype."""
    first = array.ravel()[:1].tolist() if array.dtype.hasobject else []
    if first and isinstance(first[0], Variant):
        return as_dtype("variant")
    return as_dtype("resource") if first and isinstance(first[0], ResourceHandle) else None
