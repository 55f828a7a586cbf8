"""Attributes: what a node says beside its inputs, as Python values.

===========  ======================================================================================
AttrValue    value
===========  ======================================================================================
``s``        bytes
``i f b``    int, float, bool
``type``     :class:`~ckptfmt.dtypes.DType`
``shape``    tuple of sizes, None for one that is not known; None where their number is not known
``tensor``   read-only array
``func``     :class:`FunctionCall`
``list``     list of these
placeholder  :class:`AttributeName`
===========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import to_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages

PartialShape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None for one that is not known; None where not even their number is."""

Value: TypeAlias = (
    "bytes | int | float | bool | DType | PartialShape | Array | FunctionCall | AttributeName | list[Value]"
)


@dataclass(frozen=True)
class FunctionCall:
    """A function that a node calls, with what its attributes are bound to."""

    name: str
    """Name of the function in the library."""
    attributes: Mapping[str, Value]
    """Values of the function's attributes."""


@dataclass(frozen=True)
class AttributeName:
    """In the body of a function: the attribute of the function that stands for the value."""

    name: str


def decode_shape(shape: messages.TensorShapeProto) -> PartialShape:
    """Return the sizes of a TensorShapeProto."""
    if shape.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)


def decode_attribute(value: messages.AttrValue) -> Value:
    """Return the Python value of an AttrValue; None where it has none.

    Raises CorruptError or LimitError where a tensor in it cannot be decoded.
    """
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "list":
        return _decode_list(value.list)
    if kind == "placeholder":
        return AttributeName(value.placeholder)
    decoded: Value = _DECODERS[kind](getattr(value, kind))
    return decoded


def _decode_list(values: messages.AttrValue.ListValue) -> list[Value]:
    for kind in _KINDS:
        found = getattr(values, kind)
        if found:
            return [_DECODERS[kind](value) for value in found]
    return []


def _decode_call(call: messages.NameAttrList) -> FunctionCall:
    return FunctionCall(call.name, Attributes(call.attr))


_KINDS = ("s", "i", "f", "b", "type", "shape", "tensor", "func")
_DECODERS: dict[str, Callable[[Any], Value]] = {
    "s": bytes,
    "i": int,
    "f": float,
    "b": bool,
    "type": find_dtype,
    "shape": decode_shape,
    "tensor": to_array,
    "func": _decode_call,
}


class Attributes(Mapping[str, Value]):
    """The attributes of a node by name, decoded when they are asked for."""

    __slots__ = ("_messages",)

    def __init__(self, attributes: Mapping[str, messages.AttrValue]) -> None:
        self._messages = attributes

    def __getitem__(self, name: str) -> Value:
        if name not in self._messages:
            raise KeyError(name)
        try:
            return decode_attribute(self._messages[name])
        except CorruptError as error:
            raise CorruptError(f"attribute {name!r}: {error.what}", file=error.file) from error

    def __iter__(self) -> Iterator[str]:
        # A map has no order; this one is the same in every process.
        return iter(sorted(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._messages

    def __repr__(self) -> str:
        return f"<Attributes {', '.join(self)}>"
