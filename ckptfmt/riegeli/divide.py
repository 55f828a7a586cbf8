"""Dividing a serialized message into parts, none longer than a size, that merge into the same message.

The message is walked by tags and lengths, and only what is too long is looked into, so parts are views of its
bytes. There are three ways to make a message shorter, tried in this order:

1. What is too long in it is divided itself. A ``bytes`` field becomes a part, whose path leads to the field;
   it leaves nothing. A message leaves what it could not give away.
2. The longest messages in it become parts, and leave empty messages. Elements of repeated fields stay.
3. Its fields are cut into groups, which become parts with the path of the message: merging them makes the
   repeated fields as long as they were. Nothing is left.

TensorFlow's own splitter makes the same parts: large constants, the graph, its library, runs of nodes. Its
readers merge parts in the order of their paths, and parts with one path in the order of their numbers. So an
element exists, perhaps empty, before the parts that belong to it are merged.

TensorFlow compares paths no further than to the key of a map, so that parts after it have no order. There
only ``bytes`` become parts, which may be set in any order.

Source: TensorFlow ``tools/proto_splitter``: ``merge.cc``, ``cc/graph_def_splitter.cc``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ckptfmt.riegeli.merge import Selector
from ckptfmt.wire.coding import Buffer, encode_varint
from ckptfmt.wire.damage import is_repeated
from ckptfmt.wire.fields import LENGTH_DELIMITED, FieldPlace, find_fields

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor


_HEADS = 16
"""Bytes that a message leaves to the one around it, for tags, lengths and small fields."""

_FEWEST_SAVED = 16
"""A message is moved if it takes at least one part in so many of the longest part."""


class FieldStep(NamedTuple):
    """A step of a path through a message."""

    field: int
    """The number of a field."""
    selector: Selector = None
    """One value of it: an index if it is repeated, a key if it is a map."""


FieldPath = tuple[FieldStep, ...]
"""The way from a message to one of its fields, or one of their values."""


class Part(NamedTuple):
    """A part of a message."""

    path: FieldPath
    """The message that it is merged into, or the field whose value it is."""
    pieces: list[Buffer]
    """Its bytes, in pieces."""
    is_message: bool
    """Whether it is a message; else the value of a ``bytes`` or ``string`` field."""


class _Replaced(NamedTuple):
    """What stands for a field after a part of it was taken out."""

    place: FieldPlace
    content: list[Buffer] | None
    """Its content, in pieces; None if the field is gone."""


def divide(data: memoryview, descriptor: Descriptor, max_size: int) -> list[Part]:
    """Return the parts of a message, as protobuf serialized it; the first is what the others merge into.

    A part is longer than ``max_size`` only if a single value is, which cannot be divided.
    """
    divider = _Divider(max_size)
    rest = divider.shorten(data, descriptor, (), after_key=False)
    return [Part((), rest, is_message=True), *divider.parts]


class _Divider:
    """Collects the parts that are taken out of a message."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self.parts: list[Part] = []

    def shorten(
        self, data: memoryview, descriptor: Descriptor, path: FieldPath, *, after_key: bool
    ) -> list[Buffer]:
        """Return what is left of the message at a path, in pieces, after parts were taken out of it.

        ``after_key`` says whether the path has a map key. The recursion ends: protobuf serializes no more
        than 100 messages within each other.
        """
        excess = len(data) - self._max_size + (_HEADS if path else 0)
        if excess <= 0:
            return [data]
        replaced, messages = self._shorten_fields(data, descriptor, path, after_key)
        excess -= sum(_saved(each) for each in replaced.values())
        if excess > 0 and not after_key:
            excess -= self._move_messages(data, path, replaced, messages, excess)
        if excess > 0 and not after_key:
            groups = self._groups(data, replaced)
            rest = [] if path else groups.pop(0)
            self.parts += [Part(path, group, is_message=True) for group in groups]
            return rest
        return _assemble(data, replaced)

    def _shorten_fields(
        self, data: memoryview, descriptor: Descriptor, path: FieldPath, after_key: bool
    ) -> tuple[dict[int, _Replaced], list[FieldPlace]]:
        """Divide the fields that are too long.

        Return what stands for them, by the positions of the fields, and the places of all messages that are
        not repeated.
        """
        replaced: dict[int, _Replaced] = {}
        messages: list[FieldPlace] = []
        counts: Counter[int] = Counter()
        fields: Any = descriptor.fields_by_number
        for place in find_fields(data):
            if place.wire_type != LENGTH_DELIMITED or place.number not in fields:
                continue
            field = fields[place.number]
            index = counts[place.number]
            counts[place.number] += 1
            if field.message_type is not None and not is_repeated(field):
                messages.append(place)
            if place.stop - place.start > self._max_size - _HEADS:
                each = self._shorten_field(data, place, field, path, index, after_key)
                if each is not None:
                    replaced[place.start] = each
        return replaced, messages

    def _shorten_field(
        self,
        data: memoryview,
        place: FieldPlace,
        field: FieldDescriptor,
        path: FieldPath,
        index: int,
        after_key: bool,
    ) -> _Replaced | None:
        """Return what stands for a field that is too long; None if it stays as it is."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return self._shorten_entry(data, place, inner, path)
        # An element after a key could not be filled in the right order.
        if is_repeated(field) and (inner is None or after_key):
            return None
        to_field = (*path, FieldStep(place.number, index if is_repeated(field) else None))
        content = data[place.content : place.stop]
        if inner is not None:
            return _Replaced(place, self.shorten(content, inner, to_field, after_key=after_key))
        if field.type not in (field.TYPE_BYTES, field.TYPE_STRING):
            return None
        self.parts.append(Part(to_field, [content], is_message=False))
        return _Replaced(place, None)

    def _shorten_entry(
        self, data: memoryview, place: FieldPlace, entry: Descriptor, path: FieldPath
    ) -> _Replaced | None:
        """Return what stands for the entry of a map, if its key is text and its value a message."""
        value_type = entry.fields_by_name["value"].message_type
        key, value = "", None
        for each in find_fields(data, place.content, place.stop):
            if each.number == 2:
                value = each
            elif each.wire_type == LENGTH_DELIMITED:
                key = str(data[each.content : each.stop], "utf-8")
            else:
                return None
        if value is None or value_type is None:
            return None
        to_value = (*path, FieldStep(place.number, key))
        rest = self.shorten(data[value.content : value.stop], value_type, to_value, after_key=True)
        # protobuf writes the key first.
        head = data[place.content : value.start]
        return _Replaced(place, [head, _head(value.number, _size(rest)), *rest])

    def _move_messages(
        self,
        data: memoryview,
        path: FieldPath,
        replaced: dict[int, _Replaced],
        messages: list[FieldPlace],
        excess: int,
    ) -> int:
        """Make parts of the longest messages until ``excess`` bytes are gone; return how many are."""
        contents: dict[FieldPlace, list[Buffer]] = {
            place: replaced[place.start].content or []
            if place.start in replaced
            else [data[place.content : place.stop]]
            for place in messages
        }
        moved = 0
        for place, content in sorted(contents.items(), key=lambda item: -_size(item[1])):
            size = _size(content)
            # Short ones would make many parts, and save little.
            if moved >= excess or size * _FEWEST_SAVED < self._max_size:
                break
            self.parts.append(Part((*path, FieldStep(place.number)), content, is_message=True))
            replaced[place.start] = _Replaced(place, [])
            moved += size
        return moved

    def _groups(self, data: memoryview, replaced: dict[int, _Replaced]) -> list[list[Buffer]]:
        """Return the fields of a message in groups, each as long as a part may be."""
        groups: list[list[Buffer]] = []
        group: list[Buffer] = []
        # Neighbours that stay as they are make one piece, which begins at ``begin``.
        begin = size = 0
        for place in find_fields(data):
            each = replaced.get(place.start)
            length = place.stop - place.start - (0 if each is None else _saved(each))
            if size and size + length > self._max_size:
                groups.append([*group, data[begin : place.start]])
                group, size, begin = [], 0, place.start
            if each is not None:
                group += [data[begin : place.start], *_encode(each)]
                begin = place.stop
            size += length
        return [*groups, [*group, data[begin:]]]


def _size(pieces: Iterable[Buffer]) -> int:
    return sum(map(len, pieces))


def _head(number: int, size: int) -> bytes:
    """Return tag and length of a length-delimited field."""
    return encode_varint(number << 3 | LENGTH_DELIMITED) + encode_varint(size)


def _encode(replaced: _Replaced) -> list[Buffer]:
    """Return a field with another content, in pieces; none if it is gone."""
    content = replaced.content
    return [] if content is None else [_head(replaced.place.number, _size(content)), *content]


def _saved(replaced: _Replaced) -> int:
    return replaced.place.stop - replaced.place.start - _size(_encode(replaced))


def _assemble(data: memoryview, replaced: dict[int, _Replaced]) -> list[Buffer]:
    """Return a message with other contents of some fields, in pieces."""
    pieces: list[Buffer] = []
    begin = 0
    for start, each in sorted(replaced.items()):
        pieces += [data[begin:start], *_encode(each)]
        begin = each.place.stop
    return [*pieces, data[begin:]]
