"""The fields of a TensorProto that list values one by one."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Encoding: TypeAlias = Literal["varint", "bits16", "bytes", "<f4", "<f8", "string", "resource", "variant"]
"""How a field holds values:

varint
    Integers, packed or not.
bits16
    The bits of a 16-bit float as a varint.
bytes
    One byte a value, in one string of bytes.
<f4, <f8
    Little-endian floats, packed or not; a complex number is two of them.
string, resource, variant
    One length-delimited field a value.
"""


class ValueField(NamedTuple):
    """Where a TensorProto lists the values of a dtype."""

    number: int
    """Field number."""
    encoding: Encoding
    """How they are written there."""


_INT_VAL = (
    *("int32", "int16", "uint16", "int8", "uint8", "int4", "uint4", "int2", "uint2"),
    *("qint8", "quint8", "qint32", "qint16", "quint16"),
)
_HALF_VAL = ("float16", "bfloat16")
_FLOAT8_VAL = (
    *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
    "float4_e2m1fn",
)

VALUE_FIELDS: dict[str, ValueField] = {
    **dict.fromkeys(_INT_VAL, ValueField(7, "varint")),
    **dict.fromkeys(_HALF_VAL, ValueField(13, "bits16")),
    **dict.fromkeys(_FLOAT8_VAL, ValueField(18, "bytes")),
    "float32": ValueField(5, "<f4"),
    "float64": ValueField(6, "<f8"),
    "complex64": ValueField(9, "<f4"),
    "complex128": ValueField(12, "<f8"),
    "string": ValueField(8, "string"),
    "int64": ValueField(10, "varint"),
    "bool": ValueField(11, "varint"),
    "uint32": ValueField(16, "varint"),
    "uint64": ValueField(17, "varint"),
    "resource": ValueField(14, "resource"),
    "variant": ValueField(15, "variant"),
}
"""The field of each dtype that has values, by its name. Source: TensorFlow ``framework/tensor.proto``."""
