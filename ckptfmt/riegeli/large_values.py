"""Messages without their large values, which may thus take 2 GiB and more.

Serialized as a whole, a message takes its size in memory again, and not every implementation of protobuf
serializes 2 GiB. So it is serialized in pieces: large ``bytes`` are left out, the fields around them are
written one by one, and what is small is left to protobuf. A value is copied out of the message when it is
read, so memory holds one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ckptfmt.riegeli.divide import FieldPath, FieldStep
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.damage import is_repeated
from ckptfmt.wire.fields import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

LARGE = 1 << 20
"""Bytes from which a value is left out."""

_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class LargeValue(NamedTuple):
    """A value of a ``bytes`` field that was left out."""

    path: FieldPath
    """The way to its field."""
    message: Message
    """The message that has it."""
    name: str
    """The name of its field."""

    def read(self) -> bytes:
        """Return a copy of the value."""
        value: bytes = getattr(self.message, self.name)
        return value


def serialize_without_large_values(message: Message) -> tuple[bytes, list[LargeValue]]:
    """Return a serialized message that lacks its large values, and these; it must not change meanwhile.

    Fields may be in another order than protobuf writes them in. A list of ``bytes`` keeps its values, as does
    a message in a list that belongs to an entry of a map.
    """
    outliner = _Outliner([])
    outliner.add(message, (), after_key=False)
    return b"".join(outliner.pieces), outliner.values


class _Outliner:
    """Collects the pieces of a message, and its large values."""

    def __init__(self, values: list[LargeValue]) -> None:
        self.values = values
        self.pieces: list[bytes] = []

    def add(self, message: Message, path: FieldPath, *, after_key: bool) -> None:
        """Add the fields of a message at a path, which may have the key of a map.

        The recursion ends where messages are small; protobuf nests no more than 100 within each other.
        """
        if not _may_be_large(message):
            self.pieces.append(message.SerializeToString(deterministic=True))
            return
        # The fields that are left to protobuf.
        others = type(message)()
        for field, value in message.ListFields():
            number, inner = field.number, (*path, FieldStep(field.number))
            if field.type == field.TYPE_BYTES and not is_repeated(field) and len(value) >= LARGE:
                self.values.append(LargeValue(inner, message, field.name))
            elif field.message_type is None:
                _copy(field, value, others)
            elif not is_repeated(field):
                self._add_field(number, self._inner(value, inner, after_key))
            elif isinstance(value, Mapping):
                self._add_map(field, value, path, others)
            else:
                for index, element in enumerate(value):
                    self._add_element(number, element, (*path, FieldStep(number, index)), after_key)
        self.pieces += [others.SerializeToString(deterministic=True), _unknown_fields(message)]

    def _add_element(self, number: int, element: Message, path: FieldPath, after_key: bool) -> None:
        """Add an element of a list. After a key, it keeps all: parts of it would have no order."""
        if after_key:
            self._add_field(number, [element.SerializeToString(deterministic=True)])
        else:
            self._add_field(number, self._inner(element, path, after_key=False))

    def _add_map(
        self, field: FieldDescriptor, values: Mapping[Any, Any], path: FieldPath, others: Message
    ) -> None:
        """Add a map. Only a text key may be on the path of a value, so other maps keep all."""
        from google.protobuf.message_factory import GetMessageClass

        entry: Any = field.message_type
        key_field, value_field = entry.fields_by_name["key"], entry.fields_by_name["value"]
        if value_field.message_type is None or key_field.type != key_field.TYPE_STRING:
            _copy(field, values, others)
            return
        make_entry: Any = GetMessageClass(entry)
        for key in sorted(values):
            inner = self._inner(values[key], (*path, FieldStep(field.number, key)), after_key=True)
            head = _head(value_field.number, sum(map(len, inner)))
            self._add_field(field.number, [make_entry(key=key).SerializeToString(), head, *inner])

    def _inner(self, message: Message, path: FieldPath, after_key: bool) -> list[bytes]:
        """Return the pieces of a message within this one."""
        inner = _Outliner(self.values)
        inner.add(message, path, after_key=after_key)
        return inner.pieces

    def _add_field(self, number: int, pieces: list[bytes]) -> None:
        self.pieces += [_head(number, sum(map(len, pieces))), *pieces]


def _head(number: int, size: int) -> bytes:
    """Return tag and length of a length-delimited field."""
    return encode_varint(number << 3 | LENGTH_DELIMITED) + encode_varint(size)


def _may_be_large(message: Message) -> bool:
    """Return whether to look for large values in a message.

    protobuf serializes a message to tell its size, which is too much for one that may have very many
    messages in it. Those are looked into without asking.
    """
    descriptor: Any = message.DESCRIPTOR
    return _has_lists(descriptor) or message.ByteSize() >= LARGE


@cache
def _has_lists(descriptor: Descriptor) -> bool:
    """Return whether a message has lists of messages."""
    return any(
        field.message_type is not None
        and is_repeated(field)
        and not field.message_type.GetOptions().map_entry
        for field in descriptor.fields
    )


def _copy(field: FieldDescriptor, value: Any, target: Message) -> None:  # noqa: ANN401  (any field's)
    """Set a field to the value that another message has there."""
    if not is_repeated(field):
        setattr(target, field.name, value)
    elif not isinstance(value, Mapping):
        getattr(target, field.name).extend(value)
    else:
        entries = getattr(target, field.name)
        for key, each in value.items():
            if isinstance(each, (bool, int, float, str, bytes)):
                entries[key] = each
            else:
                entries[key].CopyFrom(each)


def _unknown_fields(message: Message) -> bytes:
    """Return the fields that the schema lacks, serialized."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    pieces = []
    unknown: Any = UnknownFieldSet(message)
    for field in unknown:
        tag = encode_varint(field.field_number << 3 | field.wire_type)
        if field.wire_type == VARINT:
            pieces.append(tag + encode_varint(field.data))
        elif field.wire_type == LENGTH_DELIMITED:
            pieces.append(tag + encode_varint(len(field.data)) + field.data)
        elif field.wire_type in _FIXED_SIZES:
            pieces.append(tag + field.data.to_bytes(_FIXED_SIZES[field.wire_type], "little"))
        else:
            raise ValueError(f"{message.DESCRIPTOR.full_name}: field {field.field_number} is a group")
    return b"".join(pieces)
