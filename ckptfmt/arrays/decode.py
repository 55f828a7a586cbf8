"""TensorProto to arrays: tensors in graphs, attributes, events and V1 checkpoints.

A TensorProto holds its elements either in ``tensor_content``, as they are in memory, little-endian, or one by
one in the repeated field of its dtype (:data:`~ckptfmt.arrays.value_fields.VALUE_FIELDS`). It is decoded from
its serialized bytes, not from a message object, so that packed numbers become arrays without a Python object
for each.
"""

from __future__ import annotations

import math

import numpy as np

from ckptfmt.arrays.array import Array, shaped
from ckptfmt.arrays.raw import decode_raw, extend_low_bits
from ckptfmt.arrays.shape import Shape, decode_shape, no_such_array
from ckptfmt.arrays.strings import split_strings
from ckptfmt.arrays.value_fields import VALUE_FIELDS, Encoding
from ckptfmt.arrays.values import ResourceHandle, Variant
from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.proto import messages
from ckptfmt.wire.coding import Buffer, decode_varints
from ckptfmt.wire.fields import FIXED32, FIXED64, LENGTH_DELIMITED, Field, decode_fields, decode_integers

MAX_FILL_RATIO = 256
"""The most bytes that an array may take if its last value is repeated, as a multiple of its stored bytes: in
variants and in summaries of events, as one file can hold any number of these."""

MAX_NESTING = 50
"""Levels of variants in tensors in variants. Protobuf itself stops at 100 messages, two of them a level."""


def to_array(tensor: messages.TensorProto | Buffer, *, limits: Limits = DEFAULT) -> Array:
    """Return the array of a TensorProto, a message or serialized, read-only, as ``tf.make_ndarray`` does.

    Strings are ``object`` arrays of bytes; elements of resource and variant tensors are
    :class:`ResourceHandle` and :class:`Variant`. ``limits`` bounds the bytes of an array whose last value is
    stored once and repeated. Raises the errors of :func:`decode_tensor_proto`.
    """
    check_limits(limits)
    if not isinstance(tensor, messages.TensorProto):
        return decode_tensor_proto(tensor, limit=limits.value)
    content = tensor.tensor_content
    if content and find_dtype(tensor.dtype).itemsize is not None:
        # Serializing the message would copy the content, which may be most of a graph.
        return decode_content(tensor, content)
    return decode_tensor_proto(tensor.SerializeToString(), limit=limits.value)


def decode_content(tensor: messages.TensorProto, content: Buffer) -> Array:
    """Return the array, a read-only view, of a TensorProto of numbers whose ``tensor_content`` is given."""
    shape = decode_shape(tensor.tensor_shape.SerializeToString())
    return decode_raw(content, find_dtype(tensor.dtype), shape)


def decode_tensor_proto(
    data: Buffer, *, limit: int = DEFAULT.value, limit_field: str | None = "max_bytes", nesting: int = 0
) -> Array:
    """Return the array of a serialized TensorProto, read-only.

    As in TensorFlow, the last value is repeated if there are fewer values than elements, no values mean
    zeros, and surplus values are dropped. Values that fill the shape are a view of ``data``, a memoryview, if
    their encoding allows it; one value repeated takes no memory.

    Raises
    ------
    LimitError
        Repeating values would take more than ``limit`` bytes, the value of ``limit_field`` of the limits.
    CorruptError
        The message is not a tensor.
    UnsupportedError
        Its dtype is not known.
    """
    dtype = find_dtype(0)
    shape_bytes = bytearray()
    content: Buffer = b""
    values: list[Field] = []
    for field in decode_fields(data):
        if field.number == 1:
            dtype = find_dtype(field.value)
        elif field.number == 2:
            # Protobuf merges a message that occurs twice; parsing its pieces joined does the same.
            shape_bytes += field.content
        elif field.number == 4:
            content = field.content
        else:
            values.append(field)
    shape = decode_shape(bytes(shape_bytes))
    # If a tensor has both, ``tensor_content`` wins, as in TensorFlow's ParseTensor.
    if not len(content):
        return _fill(decode_values(values, dtype, nesting=nesting), dtype, shape, limit, limit_field)
    if dtype.numpy.hasobject:
        return shaped(_decode_objects(content, dtype, math.prod(shape), nesting), shape)
    return decode_raw(content, dtype, shape)


def decode_values(fields: list[Field], dtype: DType, *, nesting: int = 0) -> Array:
    """Return the one-dimensional array of the values that a TensorProto's fields list for its dtype.

    Packed and unpacked encodings may be mixed. Integers beyond the dtype are truncated to its width.
    """
    known = VALUE_FIELDS.get(dtype.name)
    if known is None:
        raise UnsupportedError(f"dtype {dtype.name} (code {dtype.code}) has no values")
    number, encoding = known
    # Packed numbers are one field each time they occur, others one field for each value.
    chunks = [field for field in fields if field.number == number]
    if encoding in ("string", "resource", "variant"):
        values = np.empty(len(chunks), object)
        for i, field in enumerate(chunks):
            _require(field, LENGTH_DELIMITED)
            values[i] = _decode_object(encoding, field.content, nesting)
        return values
    if encoding == "bytes":
        for field in chunks:
            _require(field, LENGTH_DELIMITED)
        # Not a repeated field: the last occurrence counts.
        content = chunks[-1].content if chunks else b""
        return decode_raw(content, dtype, (len(content),))
    # Nearly always there is one packed field, which is decoded as a whole.
    parts = [_decode_numbers(field, encoding) for field in chunks]
    numbers = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.uint64)
    return _from_numbers(numbers, dtype, encoding)


def decode_variant(data: Buffer, *, nesting: int = 0) -> Variant:
    """Return the value of a serialized VariantTensorDataProto, which is ``nesting`` levels deep."""
    if nesting > MAX_NESTING:
        raise CorruptError(f"variants nested more than {MAX_NESTING} deep", offset=0)
    type_name, metadata, tensors = "", b"", []
    for field in decode_fields(data):
        if field.number == 1:
            type_name = _text(field.content)
        elif field.number == 2:
            metadata = bytes(field.content)
        elif field.number == 3:
            limit = MAX_FILL_RATIO * len(field.content)
            tensors.append(decode_tensor_proto(field.content, limit=limit, limit_field=None, nesting=nesting))
    return Variant(type_name, metadata, tuple(tensors))


def _decode_objects(content: Buffer, dtype: DType, count: int, nesting: int) -> Array:
    """Return the values in a ``tensor_content`` that are not numbers: it has all lengths, then all values.

    Source: TensorFlow ``core/framework/tensor.cc``, ``AsProtoTensorContent``.
    """
    known = VALUE_FIELDS.get(dtype.name)
    if known is None:
        raise UnsupportedError(f"dtype {dtype.name} (code {dtype.code}) has no values")
    # Each length takes a byte at least, so this refuses a shape that claims more elements than there are
    # bytes.
    lengths, pos = decode_varints(content, count)
    strings = split_strings(content[pos:], lengths)
    if dtype.storage is Storage.STRING:
        return strings
    values = np.empty(count, object)
    values[:] = [_decode_object(known.encoding, string, nesting) for string in strings]
    return values


def _decode_object(encoding: Encoding, content: Buffer, nesting: int) -> bytes | ResourceHandle | Variant:
    """Return one value that is not a number."""
    if encoding == "string":
        return bytes(content)
    if encoding == "resource":
        return _decode_resource(content)
    return decode_variant(content, nesting=nesting + 1)


def _decode_resource(data: Buffer) -> ResourceHandle:
    texts = dict.fromkeys((1, 2, 3, 5), "")
    hash_code = 0
    for field in decode_fields(data):
        if field.number == 4:
            hash_code = field.value
        elif field.number in texts:
            texts[field.number] = _text(field.content)
    return ResourceHandle(texts[1], texts[2], texts[3], hash_code, texts[5])


def _text(content: Buffer) -> str:
    return bytes(content).decode("utf-8", "backslashreplace")


def _decode_numbers(field: Field, encoding: Encoding) -> Array:
    """Return the numbers of one occurrence of a repeated field: many packed, or one."""
    if encoding not in ("<f4", "<f8"):
        return decode_integers(field)
    itemsize = np.dtype(encoding).itemsize
    if field.wire_type == LENGTH_DELIMITED:
        if field.value % itemsize:
            raise CorruptError(
                f"field {field.number}: got {field.value} bytes, want a multiple of {itemsize}"
            )
        return np.frombuffer(field.content, encoding)
    _require(field, FIXED32 if itemsize == 4 else FIXED64)
    return np.frombuffer(field.value.to_bytes(itemsize, "little"), encoding)


def _require(field: Field, wire_type: int) -> None:
    if field.wire_type != wire_type:
        raise CorruptError(f"field {field.number}: got wire type {field.wire_type}, want {wire_type}")


def _from_numbers(numbers: Array, dtype: DType, encoding: Encoding) -> Array:
    """Return the values that stored numbers stand for."""
    if encoding == "bits16":
        return numbers.astype(np.uint16).view(dtype.numpy)  # upper bits are dropped, as in TensorFlow
    if dtype.numpy.kind == "c":
        # Real and imaginary parts alternate; a lone real part is dropped.
        parts = np.ascontiguousarray(numbers[: len(numbers) // 2 * 2], f"f{dtype.numpy.itemsize // 2}")
        return parts.view(dtype.numpy)
    if dtype.storage is Storage.LOW_BITS:
        return extend_low_bits(numbers.astype(np.uint8), dtype)
    return numbers.astype(dtype.numpy, copy=False)


def _fill(values: Array, dtype: DType, shape: Shape, limit: int, limit_field: str | None) -> Array:
    """Return the array of ``shape`` whose elements are ``values``, the last one repeated."""
    elements = math.prod(shape)
    # Surplus values are dropped as in TensorFlow's C++ code; its Python code refuses them.
    if len(values) >= elements:
        return shaped(values[:elements], shape)  # a view
    if len(values) <= 1:
        # One value with strides of zero: a shape of any size costs nothing, so no limit applies.
        try:
            return np.broadcast_to((values if len(values) else _zero(dtype)).reshape(()), shape)
        except ValueError as error:
            raise no_such_array(shape, error) from error
    # Several values, then the last one again and again: this takes memory that the file does not have to
    # have bytes for.
    if elements * dtype.numpy.itemsize > limit:
        raise LimitError(
            f"bytes of the constant {dtype.name}{list(shape)} from {len(values)} values",
            limit=limit,
            asked=elements * dtype.numpy.itemsize,
            field=limit_field,
        )
    filled = np.empty(elements, dtype.numpy)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1]
    return shaped(filled, shape)


def _zero(dtype: DType) -> Array:
    """Return an array of the one value that elements have if none is stored: 0, an empty string, None."""
    if not dtype.numpy.hasobject:
        return np.zeros(1, dtype.numpy)
    return np.array([b"" if dtype.storage is Storage.STRING else None], object)
