"""Attributes: the settings of a node or function besides its inputs, as Python values.

===========  ======================================================================================
AttrValue    value
===========  ======================================================================================
``s``        bytes
``i f b``    int, float, bool
``type``     :class:`~ckptfmt.dtypes.DType`
``shape``    tuple of sizes, None for an unknown one; None if their number is unknown
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
from ckptfmt.errors import CkptfmtError, NameNotFoundError
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.fields import brief, fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names

PartialShape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None for an unknown one; None if not even their number is known."""

Value: TypeAlias = (
    "bytes | int | float | bool | DType | PartialShape | Array | FunctionCall | AttributeName | list[Value]"
)


@dataclass(frozen=True)
class FunctionCall:
    """A function that a node calls, with the values that its attributes get."""

    name: str
    """Name of the function in the library."""
    attributes: Mapping[str, Value]
    """Values of the function's attributes."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "FunctionCall", self.name))


@dataclass(frozen=True)
class AttributeName:
    """An attribute of a function that stands in its body for the value that callers give."""

    name: str


def decode_shape(shape: messages.TensorShapeProto) -> PartialShape:
    """Return the sizes of a TensorShapeProto."""
    if shape.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)


_MAX_SHOWN = 4096
"""Bytes of an attribute that a notebook shows; longer ones are tensors, which would have to be decoded."""

_DECODERS: dict[str, Callable[[Any], Value]] = {
    "s": bytes,
    "i": int,
    "f": float,
    "b": bool,
    "type": find_dtype,
    "shape": decode_shape,
    "tensor": to_array,
}
"""Field of an AttrValue -> its Python value, for those that hold no other attributes."""


class Attributes(Mapping[str, Value]):
    """The attributes of a node or function by name, decoded on access."""

    __slots__ = ("_file", "_messages", "_owner")

    def __init__(
        self, attributes: Mapping[str, messages.AttrValue], *, owner: str, file: str | None = None
    ) -> None:
        """Wrap the attributes of ``owner``, such as ``node 'x'``; errors name the owner and its file."""
        self._messages = attributes
        self._owner = owner
        self._file = file

    def __getitem__(self, name: str) -> Value:
        """Return the value of an attribute; None if it is not set.

        Raises
        ------
        NameNotFoundError
            No attribute has that name (a KeyError).
        CorruptError, UnsupportedError, LimitError
            A tensor in it cannot be decoded.
        """
        if name not in self._messages:
            close = closest_names(name, self._messages)
            what = f"{self._owner}: no attribute {name!r}"
            raise NameNotFoundError(
                name, file=self._file or "graph", noun="attribute", close_matches=close, what=what
            )
        try:
            return self._decode(self._messages[name])
        except CkptfmtError as error:
            label = f"{self._owner}: attribute {name!r}"
            raise error.at(self._file or "graph", label=label) from error.__cause__

    def _decode(self, value: messages.AttrValue) -> Value:
        kind = value.WhichOneof("value")
        if kind is None:
            return None
        if kind == "list":
            return self._decode_list(value.list)
        if kind == "placeholder":
            return AttributeName(value.placeholder)
        if kind == "func":
            return self._decode_call(value.func)
        decoded: Value = _DECODERS[kind](getattr(value, kind))
        return decoded

    def _decode_list(self, values: messages.AttrValue.ListValue) -> list[Value]:
        # All values of a list are of one kind. An empty list does not say which.
        for kind, decode in _DECODERS.items():
            items = getattr(values, kind)
            if items:
                return [decode(item) for item in items]
        return [self._decode_call(call) for call in values.func]

    def _decode_call(self, call: messages.NameAttrList) -> FunctionCall:
        owner = f"{self._owner}: call of {call.name!r}"
        return FunctionCall(call.name, Attributes(call.attr, owner=owner, file=self._file))

    def __iter__(self) -> Iterator[str]:
        # A map of protobuf has no order; this one is the same in every process.
        return iter(sorted(self._messages))

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._messages

    def __repr__(self) -> str:
        return f"<Attributes {', '.join(self)}>"

    def _table(self) -> Table:
        """Return what a notebook shows: no value of many bytes is decoded for it, above all no tensor."""

        def cells(name: str) -> tuple[str, str]:
            size = self._messages[name].ByteSize()
            return name, f"{size:,} bytes" if size > _MAX_SHOWN else brief(self[name])

        return Table("Attributes", ("name", "value"), lambda: self, cells, is_open=True)

    def _repr_html_(self) -> str:
        return to_html(lambda: Card("Attributes", self._owner, parts=[self._table()]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)
