"""Tensors: stored bytes and TensorProto messages to NumPy arrays.

A TensorProto holds its elements either in ``tensor_content``, as they lie in memory, little-endian, or in the
repeated field of its dtype (:data:`VALUE_FIELDS`). It is decoded from its serialized bytes, not from a
message object, so that packed numbers become arrays without a Python object for each.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from types import EllipsisType
from typing import TypeAlias

import numpy as np

from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.wire.coding import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    Buffer,
    Field,
    decode_fields,
    decode_integers,
    decode_varints,
    to_signed,
)

Shape: TypeAlias = tuple[int, ...]
Box: TypeAlias = "tuple[slice | EllipsisType, ...]"
"""An index that takes a part of an array as a view: slices, and an ellipsis at the end."""
Array: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"

MAX_RANK = 254
"""TensorFlow's TensorShape holds no more dimensions."""

MAX_FILLED_BYTES = 1 << 30
"""How far the last value of a TensorProto may be repeated; a few stored bytes can ask for any size."""

MAX_FILL_RATIO = 256
"""The same within variants, as a multiple of the stored bytes: one file can hold any number of these."""

MAX_NESTING = 50
"""Variants in tensors in variants; protobuf itself stops at 100 messages, two of these a level."""

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
        raise _no_such_array(shape, error) from error
    except MemoryError as error:
        raise LimitError(
            f"memory for {dtype.name}{list(shape)}",
            limit=_memory_size(),
            asked=math.prod(shape) * dtype.numpy.itemsize,
        ) from error


def _memory_size() -> int:
    """Bytes of physical memory, or 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def check_shape(shape: Shape, dtype: DType) -> None:
    """Raise UnsupportedError where NumPy has no array of that shape and dtype; nothing is allocated."""
    try:
        # Strides of zero: any size is only a number here.
        np.broadcast_to(np.empty((), dtype.numpy), shape)
    except ValueError as error:
        raise _no_such_array(shape, error) from error


def _no_such_array(shape: Shape, error: ValueError) -> UnsupportedError:
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
            return read_only(_extend_low_bits(stored if at is None else stored[at], dtype))
        if big_endian is not _BIG_ENDIAN_HOST and itemsize > 1:
            return read_only(_swap_bytes(data, dtype.numpy, shape, at, big_endian=big_endian))
        array: Array = np.ndarray(shape, dtype.numpy, data)
    except ValueError as error:
        raise _no_such_array(shape, error) from error
    if at is not None:
        array = array[at]
    return _as_bools(array) if dtype.name == "bool" else array


def _as_bools(array: Array) -> Array:
    """The array itself, or where a byte is neither 0 nor 1 a copy, true where it is not 0, as in Python."""
    stored = array.view(np.uint8)
    if not stored.size or int(np.max(stored)) <= 1:
        return array
    return read_only(np.asarray(stored != 0))


def _extend_low_bits(stored: Array, dtype: DType) -> Array:
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


# --- TensorProto -----------------------------------------------------------------------------------------

_INT_VAL = (
    *("int32", "int16", "uint16", "int8", "uint8", "int4", "uint4", "int2", "uint2"),
    *("qint8", "quint8", "qint32", "qint16", "quint16"),
)
_FLOAT8_VAL = (
    *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
    "float4_e2m1fn",
)
VALUE_FIELDS: dict[str, tuple[int, str]] = {
    **dict.fromkeys(_INT_VAL, (7, "varint")),
    **dict.fromkeys(("float16", "bfloat16"), (13, "bits16")),
    **dict.fromkeys(_FLOAT8_VAL, (18, "bytes")),
    "float32": (5, "<f4"),
    "float64": (6, "<f8"),
    "complex64": (9, "<f4"),
    "complex128": (12, "<f8"),
    "string": (8, "string"),
    "int64": (10, "varint"),
    "bool": (11, "varint"),
    "uint32": (16, "varint"),
    "uint64": (17, "varint"),
    "resource": (14, "resource"),
    "variant": (15, "variant"),
}
"""Dtype -> number and encoding of the TensorProto field that holds its values one by one."""


@dataclass(frozen=True, eq=False)
class Variant:
    """An element of a variant tensor: the saved state of a C++ object."""

    type_name: str
    """Its C++ type, e.g. ``tensorflow::TensorList``."""
    metadata: bytes
    """What the type itself wrote, opaque here."""
    tensors: tuple[Array, ...]
    """The tensors it holds."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{t.dtype}{list(t.shape)}" for t in self.tensors[:4])
        more = f", … {len(self.tensors)} in all" if len(self.tensors) > 4 else ""
        return f"<Variant {self.type_name!r} metadata={len(self.metadata)} bytes tensors=({shown}{more})>"


@dataclass(frozen=True)
class ResourceHandle:
    """An element of a resource tensor: a reference to something that lived in a process."""

    device: str
    container: str
    name: str
    hash_code: int
    type_name: str


def decode_tensor_proto(data: Buffer, *, limit: int = MAX_FILLED_BYTES, nesting: int = 0) -> Array:
    """Return the array of a serialized TensorProto, read-only.

    Fewer values than elements repeat the last one, none means zeros, and surplus values are dropped, as
    TensorFlow does. Values that fill the shape lie as a view in ``data`` where their encoding allows it;
    one value repeated takes no memory.

    Raises
    ------
    LimitError
        Repeating values would take more than ``limit`` bytes.
    CorruptError
        The message is not a tensor.
    UnsupportedError
        Its dtype is not known.
    """
    dtype, shape_bytes, content = find_dtype(0), bytearray(), b""  # type: DType, bytearray, Buffer
    fields = []
    for field in decode_fields(data):
        if field.number == 1:
            dtype = find_dtype(field.value)
        elif field.number == 2:
            shape_bytes += field.content
        elif field.number == 4:
            content = field.content
        else:
            fields.append(field)
    shape = decode_shape(bytes(shape_bytes))
    if len(content):
        if dtype.storage is Storage.STRING:
            return shaped(_decode_inline_strings(content, math.prod(shape)), shape)
        return decode_raw(content, dtype, shape)
    values = decode_values(fields, dtype, nesting=nesting)
    return _fill(values, dtype, shape, limit)


def decode_values(fields: list[Field], dtype: DType, *, nesting: int = 0) -> Array:
    """Return the one-dimensional array of the values that a TensorProto's fields list for its dtype.

    Packed and unpacked encodings may be mixed. Integers beyond the dtype are truncated to its width.
    """
    number, encoding = VALUE_FIELDS.get(dtype.name, (0, ""))
    if not number:
        raise UnsupportedError(f"dtype {dtype.name} (code {dtype.code}) has no values")
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
        content = chunks[-1].content if chunks else b""
        return decode_raw(content, dtype, (len(content),))
    parts = [_decode_numbers(field, encoding) for field in chunks]
    numbers = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.uint64)
    return _from_numbers(numbers, dtype, encoding)


def _decode_object(encoding: str, content: Buffer, nesting: int) -> bytes | ResourceHandle | Variant:
    """One value that is no number."""
    if encoding == "string":
        return bytes(content)
    return (
        _decode_resource(content) if encoding == "resource" else decode_variant(content, nesting=nesting + 1)
    )


def _decode_numbers(field: Field, encoding: str) -> Array:
    """The numbers of one occurrence of a repeated field: packed many, or one."""
    if encoding.startswith("<"):
        itemsize = np.dtype(encoding).itemsize
        if field.wire_type == LENGTH_DELIMITED:
            if field.value % itemsize:
                raise CorruptError(f"field {field.number}: {field.value} bytes of {itemsize}-byte numbers")
            return np.frombuffer(field.content, encoding)
        _require(field, FIXED32 if itemsize == 4 else FIXED64)
        return np.frombuffer(field.value.to_bytes(itemsize, "little"), encoding)
    return decode_integers(field)


def _from_numbers(numbers: Array, dtype: DType, encoding: str) -> Array:
    if encoding == "bits16":
        return numbers.astype(np.uint16).view(dtype.numpy)
    if dtype.numpy.kind == "c":
        # Real and imaginary parts alternate; a lone real part is dropped.
        parts = np.ascontiguousarray(numbers[: len(numbers) // 2 * 2], f"f{dtype.numpy.itemsize // 2}")
        return parts.view(dtype.numpy)
    if dtype.storage is Storage.LOW_BITS:
        return _extend_low_bits(numbers.astype(np.uint8), dtype)
    return numbers.astype(dtype.numpy, copy=False)


def _fill(values: Array, dtype: DType, shape: Shape, limit: int) -> Array:
    """The array of ``shape`` whose elements are ``values``, the last one repeated."""
    elements = math.prod(shape)
    if len(values) == elements:
        return shaped(values, shape)
    if len(values) > elements:
        return shaped(values[:elements], shape)
    if len(values) <= 1:
        zero = np.empty(1, object) if dtype.numpy.hasobject else np.zeros(1, dtype.numpy)
        if dtype.storage is Storage.STRING:
            zero[0] = b""
        try:
            return np.broadcast_to((values if len(values) else zero).reshape(()), shape)
        except ValueError as error:
            raise _no_such_array(shape, error) from error
    if elements * dtype.numpy.itemsize > limit:
        raise LimitError(
            f"constant {dtype.name}{list(shape)} of {len(values)} values",
            limit=limit,
            asked=elements * dtype.numpy.itemsize,
        )
    filled = np.empty(elements, dtype.numpy)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1]
    return shaped(filled, shape)


def shaped(values: Array, shape: Shape) -> Array:
    """Return the values in that shape, read-only; UnsupportedError where NumPy has no such shape."""
    try:
        return read_only(values.reshape(shape))
    except ValueError as error:
        raise _no_such_array(shape, error) from error


def _decode_inline_strings(content: Buffer, count: int) -> Array:
    """Strings in ``tensor_content``: all lengths as varints, then all bytes."""
    lengths, pos = decode_varints(content, count)
    return split_strings(content[pos:], lengths)


def split_strings(data: Buffer, lengths: np.ndarray) -> Array:
    """Return the strings of the given lengths (uint64) that lie back to back in ``data``, all of it."""
    sizes = lengths.tolist()
    total = sum(sizes)
    if total != len(data):
        raise CorruptError(f"strings of {total} bytes in all, got {len(data)} bytes", offset=0)
    values = np.empty(len(sizes), object)
    pos = 0
    for i, size in enumerate(sizes):
        values[i] = bytes(data[pos : pos + size])
        pos += size
    return values


def decode_variant(data: Buffer, *, nesting: int = 0) -> Variant:
    """Return the value of a serialized VariantTensorDataProto."""
    if nesting > MAX_NESTING:
        raise CorruptError(f"variants nested more than {MAX_NESTING} deep", offset=0)
    type_name, metadata, tensors = "", b"", []
    for field in decode_fields(data):
        if field.number == 1:
            type_name = bytes(field.content).decode("utf-8", "backslashreplace")
        elif field.number == 2:
            metadata = bytes(field.content)
        elif field.number == 3:
            limit = MAX_FILL_RATIO * len(field.content)
            tensors.append(decode_tensor_proto(field.content, limit=limit, nesting=nesting))
    return Variant(type_name, metadata, tuple(tensors))


def _decode_resource(data: Buffer) -> ResourceHandle:
    texts = dict.fromkeys((1, 2, 3, 5), "")
    hash_code = 0
    for field in decode_fields(data):
        if field.number == 4:
            hash_code = field.value
        elif field.number in texts:
            texts[field.number] = bytes(field.content).decode("utf-8", "backslashreplace")
    return ResourceHandle(texts[1], texts[2], texts[3], hash_code, texts[5])


def _require(field: Field, wire_type: int) -> None:
    if field.wire_type != wire_type:
        raise CorruptError(f"field {field.number}: got wire type {field.wire_type}, want {wire_type}")
