"""Structured values: the nested Python values in signatures of functions and in type specs.

=============================  ===========================================================================
StructuredValue                value
=============================  ===========================================================================
``none`` and numbers, strings  None, float, int, bool, str
``tensor_shape``               tuple of sizes, None for an unknown one; None if their number is unknown
``tensor_dtype``               :class:`~ckptfmt.dtypes.DType`
``tensor_spec`` …              :class:`TensorSpec`
``type_spec``                  :class:`TypeSpec`
``list tuple dict``            list, tuple, dict
``named_tuple``                :class:`NamedValues`
``tensor``, ``numpy``          read-only array
=============================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages

Value: TypeAlias = Any
"""A value of the table above, nested up to :data:`MAX_DEPTH`."""

MAX_DEPTH = 100
"""Depth of values within values; protobuf itself does not parse messages nested deeper."""


class TensorSpec(NamedTuple):
    """Name, dtype and shape of a tensor that a function takes or returns, as far as they are known."""

    name: str
    dtype: DType
    shape: PartialShape
    minimum: Array | None = None
    """The least value, None if there is no bound."""
    maximum: Array | None = None
    """The largest value, None if there is no bound."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "TensorSpec", self.name))


class TypeSpec(NamedTuple):
    """The type of a value that consists of several tensors."""

    class_name: str
    """Name of the class of the spec."""
    state: Value
    """The values from which the class rebuilds the spec."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "TypeSpec", self.class_name))


class NamedValues(NamedTuple):
    """A named tuple."""

    name: str
    """Name of its class."""
    fields: dict[str, Value]
    """Its fields, in order."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "NamedValues", self.name))


def decode_value(value: messages.StructuredValue, depth: int = 0) -> Value:
    """Return what a StructuredValue holds; CorruptError if it is nested too deep or a tensor is damaged."""
    if depth > MAX_DEPTH:
        raise CorruptError(f"values nested more than {MAX_DEPTH} deep")
    kind = value.WhichOneof("kind")
    return None if kind is None else _DECODERS[kind](getattr(value, kind), depth + 1)


def _decode_spec(held: messages.TensorSpecProto) -> TensorSpec:
    return TensorSpec(held.name, find_dtype(held.dtype), decode_shape(held.shape))


def _decode_bounded_spec(held: messages.BoundedTensorSpecProto) -> TensorSpec:
    low, high = to_array(held.minimum), to_array(held.maximum)
    return TensorSpec(held.name, find_dtype(held.dtype), decode_shape(held.shape), low, high)


_DECODERS: Mapping[str, Callable[[Any, int], Value]] = {
    "none_value": lambda held, depth: None,
    "float64_value": lambda held, depth: held,
    "int64_value": lambda held, depth: held,
    "string_value": lambda held, depth: held,
    "bool_value": lambda held, depth: held,
    "tensor_shape_value": lambda held, depth: decode_shape(held),
    "tensor_dtype_value": lambda held, depth: find_dtype(held),
    "tensor_spec_value": lambda held, depth: _decode_spec(held),
    "bounded_tensor_spec_value": lambda held, depth: _decode_bounded_spec(held),
    "type_spec_value": lambda held, depth: TypeSpec(
        held.type_spec_class_name, decode_value(held.type_state, depth)
    ),
    "list_value": lambda held, depth: [decode_value(each, depth) for each in held.values],
    "tuple_value": lambda held, depth: tuple(decode_value(each, depth) for each in held.values),
    "dict_value": lambda held, depth: {
        key: decode_value(held.fields[key], depth) for key in sorted(held.fields)
    },
    "named_tuple_value": lambda held, depth: NamedValues(
        held.name, {pair.key: decode_value(pair.value, depth) for pair in held.values}
    ),
    "tensor_value": lambda held, depth: to_array(held),
    "numpy_value": lambda held, depth: to_array(held),
}
"""Kind of value -> the function that decodes it, given the depth of the values within it."""
