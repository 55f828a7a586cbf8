"""TensorProto: tensors in graphs, attributes and V1 checkpoints, to arrays and from them.

A TensorProto holds its elements either in ``tensor_content``, as they lie in memory, little-endian, or in the
repeated field of its dtype (:data:`VALUE_FIELDS`). It is decoded from its serialized bytes, not from a
message object, so that packed numbers become arrays without a Python object for each.
"""

from __future__ import annotations

import io
import math
import operator
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ckptfmt.arrays.array import (
    Array,
    Shape,
    decode_raw,
    decode_shape,
    extend_low_bits,
    no_such_array,
    shaped,
)
from ckptfmt.dtypes import DType, Storage, as_dtype, find_dtype
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.proto import messages
from ckptfmt.wire.coding import Buffer, decode_varints
from ckptfmt.wire.fields import FIXED32, FIXED64, LENGTH_DELIMITED, Field, decode_fields, decode_integers

MAX_FILLED_BYTES = 1 << 30
"""How far the last value of a TensorProto may be repeated; a few stored bytes can ask for any size."""

MAX_FILL_RATIO = 256
"""The same within variants, as a multiple of the stored bytes: one file can hold any number of these."""

MAX_NESTING = 50
"""Variants in tensors in variants; protobuf itself stops at 100 messages, two of these a level."""

STRINGS_AT_ONCE = 4096
"""Strings taken out of a stretch at a time, of which a second copy is in memory meanwhile."""

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


def to_array(tensor: messages.TensorProto | Buffer) -> Array:
    """Return the array of a TensorProto, a message or serialized, read-only, as ``tf.make_ndarray`` does.

    Strings are ``object`` arrays of bytes, elements of resource and variant tensors are
    :class:`ResourceHandle` and :class:`Variant`. Errors are those of :func:`decode_tensor_proto`.
    """
    if not isinstance(tensor, messages.TensorProto):
        return decode_tensor_proto(tensor)
    content = tensor.tensor_content
    if content and find_dtype(tensor.dtype).itemsize is not None:
        # Without serializing all of it anew.
        return decode_content(tensor, content)
    return decode_tensor_proto(tensor.SerializeToString())


def decode_content(tensor: messages.TensorProto, content: Buffer) -> Array:
    """Return the array of a TensorProto of numbers whose ``tensor_content`` is given: read-only, a view."""
    shape = decode_shape(tensor.tensor_shape.SerializeToString())
    return decode_raw(content, find_dtype(tensor.dtype), shape)


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
        return extend_low_bits(numbers.astype(np.uint8), dtype)
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
            raise no_such_array(shape, error) from error
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
    for start in range(0, len(sizes), STRINGS_AT_ONCE):
        some = sizes[start : start + STRINGS_AT_ONCE]
        end = pos + sum(some)
        # A third of the time that slicing takes.
        read = io.BytesIO(data[pos:end]).read
        values[start : start + len(some)] = np.fromiter(map(read, some), object, len(some))
        pos = end
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


# --- arrays to TensorProto ---------------------------------------------------------------------------------

_LISTED_ONE_BY_ONE = frozenset(
    ("complex64", "complex128", "bool", "uint16", "int4", "uint4", "int2", "uint2")
)
"""Dtypes of a fixed size whose values TensorFlow never writes as ``tensor_content``."""

MAX_CONTENT = 1 << 31
"""Bytes that protobuf does not hold in one message."""


def to_proto(
    values: Any,  # noqa: ANN401  (whatever NumPy makes an array of)
    dtype: Any = None,  # noqa: ANN401  (a dtype of any library)
    shape: Iterable[int] | None = None,
) -> messages.TensorProto:
    """Return the TensorProto of an array, as ``tf.make_tensor_proto`` makes it.

    Several numbers are ``tensor_content``; a single one, complex numbers, bools, strings, ``uint16`` and
    integers of less than 8 bits are listed one by one. Source: TensorFlow's ``tensor_util.py``.

    Parameters
    ----------
    values
        An array, a scalar, or nested lists. Without a ``dtype`` Python floats become float32, and ints int32
        where they fit. Arrays of :class:`Variant` or :class:`ResourceHandle` objects need theirs to be given.
    dtype
        The dtype, of any library or by name; quantised ones have to be given.
    shape
        The shape, where it is not that of the values; fewer values than elements repeat the last one when
        they are read.

    Raises
    ------
    TypeError
        TensorFlow has no such dtype, or the values are not of the one given.
    ValueError
        More values than the shape has elements, nested lists of unequal lengths, or 2 GiB and more.
    """
    if isinstance(values, messages.TensorProto):
        return values
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = _as_array(values, wanted)
    known = wanted if wanted is not None else as_dtype(array.dtype)
    sizes = array.shape if shape is None else tuple(map(operator.index, shape))
    count = math.prod(sizes)
    if array.size > count:
        raise ValueError(f"too many values: got {array.size}, want at most {count} for shape {list(sizes)}")
    proto = messages.TensorProto()
    fill_proto(proto, array, known, sizes)
    return proto


def fill_proto(proto: messages.TensorProto, array: Array, dtype: DType, shape: Shape) -> None:
    """Make an empty TensorProto that of an array of a dtype, as :func:`to_proto` does."""
    content = outline_proto(proto, array, dtype, shape)
    if content is not None:
        proto.tensor_content = content.tobytes()


def outline_proto(
    proto: messages.TensorProto, array: Array, dtype: DType, shape: Shape
) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    """Do the same, but for ``tensor_content``: return its bytes, a view of the array where they lie so in it.

    None where values are listed one by one, as they are then.
    """
    proto.dtype = dtype.code
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    count = math.prod(shape)
    is_content = dtype.itemsize is not None and dtype.name not in _LISTED_ONE_BY_ONE
    if is_content and array.size == count and count > 1:
        if array.nbytes >= MAX_CONTENT:
            raise ValueError(f"{dtype.name}{list(shape)}: got {array.nbytes} bytes, want less than 2 GiB")
        stored = array.byteswap() if sys.byteorder == "big" else array
        return np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
    _list_values(proto, array.ravel(), dtype)
    return None


def _as_array(values: Any, wanted: DType | None) -> Array:  # noqa: ANN401
    """The values as an array, of the dtype wanted or else of the one TensorFlow gives Python's numbers."""
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
        if natural.size and natural.dtype.kind not in _KINDS.get(np.dtype(numpy).kind, "biuf"):
            raise TypeError(f"got values of {natural.dtype.name}, want {wanted.name}")
        return np.array(values, numpy)
    except OverflowError as error:
        raise ValueError(str(error)) from error


_KINDS = {"b": "b", "i": "biu", "u": "biu", "f": "biuf", "c": "biufc", "O": "O", "V": "biuf"}
"""Kind of a NumPy dtype -> kinds that Python's values may have for it."""


def _narrowed(array: Array) -> Array:
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    if array.dtype == np.int64:
        narrow = array.astype(np.int32)
        return narrow if np.array_equal(narrow, array) else array
    return array


def _is_array(values: object) -> bool:
    if callable(getattr(values, "__array__", None)) or hasattr(values, "__array_interface__"):
        return True
    return isinstance(values, (bytearray, memoryview))


def _list_values(proto: messages.TensorProto, flat: Array, dtype: DType) -> None:
    """Add values one by one to the field of their dtype."""
    number, encoding = VALUE_FIELDS.get(dtype.name, (0, ""))
    if not number:
        raise TypeError(f"dtype {dtype.name} (code {dtype.code}) has no values")
    if encoding == "bytes":
        proto.float8_val = flat.view(np.uint8).tobytes()
        return
    values: list[Any]
    if encoding == "string":
        values = [_as_bytes(value) for value in flat]
    elif encoding == "resource":
        values = [_encode_resource(value) for value in flat]
    elif encoding == "variant":
        values = [_encode_variant(value) for value in flat]
    elif encoding == "bits16":
        values = flat.view(np.uint16).tolist()
    elif flat.dtype.kind == "c":
        values = flat.view(f"f{flat.dtype.itemsize // 2}").tolist()
    elif dtype.storage is Storage.LOW_BITS:
        values = flat.astype(np.int8).tolist()
    else:
        values = flat.tolist()
    getattr(proto, proto.DESCRIPTOR.fields_by_number[number].name).extend(values)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"element of a string tensor: got {type(value).__name__}, want bytes or str")


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


def _encode_variant(value: object) -> messages.VariantTensorDataProto:
    if not isinstance(value, Variant):
        raise TypeError(f"element of a variant tensor: got {type(value).__name__}, want a Variant")
    tensors = [to_proto(tensor, _dtype_of(tensor)) for tensor in value.tensors]
    return messages.VariantTensorDataProto(
        type_name=value.type_name, metadata=value.metadata, tensors=tensors
    )


def _dtype_of(array: Array) -> DType | None:
    """The dtype of what a variant holds, where its elements and not NumPy's dtype tell."""
    first = array.ravel()[:1].tolist() if array.dtype.hasobject else []
    if first and isinstance(first[0], Variant):
        return as_dtype("variant")
    return as_dtype("resource") if first and isinstance(first[0], ResourceHandle) else None
