"""Structured values: nested Python values in messages, as signatures of functions and type specs hold them.

=============================  ===========================================================================
StructuredValue                value
=============================  ===========================================================================
``none`` and numbers, strings  None, float, int, bool, str
``tensor_shape``               tuple of sizes, None for one not known; None where their number is not known
``tensor_dtype``               :class:`~ckptfmt.dtypes.DType`
``tensor_spec`` …              :class:`TensorSpec`
``type_spec``                  :class:`TypeSpec`
``list tuple dict``            list, tuple, dict
``named_tuple``                :class:`NamedValues`
``tensor``, ``numpy``          read-only array
=============================  ===========================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.tensor_proto import to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.proto import messages

Value: TypeAlias = Any
"""What the table above says; nested to any depth."""

MAX_DEPTH = 100
"""Values within values; protobuf itself reads no more messages within messages."""


class TensorSpec(NamedTuple):
    """What is known of a tensor that a function takes or returns."""

    name: str
    dtype: DType
    shape: PartialShape
    minimum: Array | None = None
    """The least value, where one is said."""
    maximum: Array | None = None
    """The largest value, where one is said."""


class TypeSpec(NamedTuple):
    """What is known of a value that is made of several tensors."""

    class_name: str
    """Name of the class of the spec."""
    state: Value
    """What the class makes a spec of."""


class NamedValues(NamedTuple):
    """A named tuple."""

    name: str
    """Name of its class."""
    fields: dict[str, Value]
    """Its fields, in order."""


def decode_value(value: messages.StructuredValue, depth: int = 0) -> Value:
    """Return what a StructuredValue holds; CorruptError where it is nested too deep or holds no tensor."""
    if depth > MAX_DEPTH:
        raise CorruptError(f"values nested more than {MAX_DEPTH} deep")
    kind = value.WhichOneof("kind")
    if kind is None or kind == "none_value":
        return None
    held = getattr(value, kind)
    if kind in ("float64_value", "int64_value", "string_value", "bool_value"):
        return held
    if kind == "tensor_shape_value":
        return decode_shape(held)
    if kind == "tensor_dtype_value":
        return find_dtype(held)
    if kind == "tensor_spec_value":
        return TensorSpec(held.name, find_dtype(held.dtype), decode_shape(held.shape))
    if kind == "bounded_tensor_spec_value":
        low, high = to_array(held.minimum), to_array(held.maximum)
        return TensorSpec(held.name, find_dtype(held.dtype), decode_shape(held.shape), low, high)
    if kind == "type_spec_value":
        return TypeSpec(held.type_spec_class_name, decode_value(held.type_state, depth + 1))
    if kind == "list_value":
        return [decode_value(each, depth + 1) for each in held.values]
    if kind == "tuple_value":
        return tuple(decode_value(each, depth + 1) for each in held.values)
    if kind == "dict_value":
        return {key: decode_value(held.fields[key], depth + 1) for key in sorted(held.fields)}
    if kind == "named_tuple_value":
        fields = {pair.key: decode_value(pair.value, depth + 1) for pair in held.values}
        return NamedValues(held.name, fields)
    return to_array(held)
