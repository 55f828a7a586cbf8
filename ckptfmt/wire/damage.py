"""Damage: the field at which protobuf stops reading a serialized message, with its place and its path.

Protobuf says only that the wire format is corrupt. So the message is walked from the outside in: of the
fields at each level, the first that protobuf refuses by itself leads to the next level::

    node[3].attr["value"].tensor.tensor_content

A level is parsed once more than the one around it. Damage is usually a few levels deep, so finding it takes a
few times as long as parsing the message, and :data:`MAX_DEPTH` times at most.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.text.quoting import shortened
from ckptfmt.wire.coding import decode_varint
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, FieldPlace, find_fields

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

MAX_DEPTH = 100
"""The most messages within messages that protobuf reads, and the most levels that are looked at."""

_MAP_KEY, _MAP_VALUE = 1, 2
"""Numbers of the fields of a map entry."""

_KEY_LENGTH = 100
"""Characters of the longest key of a map that a path quotes whole."""


class _Finding(NamedTuple):
    """What is wrong at one level."""

    error: CorruptError
    inner: _Level | None = None
    """The message in which the error may have a narrower place."""


def find_damage(cls: type[Message], data: memoryview) -> CorruptError | None:
    """Return the error for bytes that protobuf refuses as such a message; None if no field is to blame.

    Its offset counts from the first of the bytes.
    """
    found = outermost = _Level(cls, data, 0, len(data), "", is_cut=True).find_damage()
    for _ in range(MAX_DEPTH):
        inner = None if found is None or found.inner is None else found.inner.find_damage()
        if found is None or inner is None:
            return None if found is None else found.error
        # If a field ends after the bytes, its length may be what is damaged. Only a field in it that is cut
        # at the same place says more.
        if isinstance(found.error, TruncatedError) and not isinstance(inner.error, TruncatedError):
            return found.error
        found = inner
    # The path to the innermost message would say nothing else.
    return None if outermost is None else outermost.error


class _Level:
    """A message within the bytes, from one position to another."""

    def __init__(
        self, cls: type[Message], data: memoryview, start: int, stop: int, path: str, *, is_cut: bool
    ) -> None:
        self._cls = cls
        self._data = data
        self._start = start
        self._stop = stop
        self._path = path
        self._is_cut = is_cut
        """Whether the bytes may end before the message does; if not, its length has said where it ends."""
        self._is_map_entry = cls.DESCRIPTOR.GetOptions().map_entry
        self._counts: Counter[int] = Counter()
        key = self._known(_MAP_KEY) if self._is_map_entry else None
        # An entry without a key has that of an empty field.
        self._key = '""' if key is not None and key.type == key.TYPE_STRING else "0"

    def find_damage(self) -> _Finding | None:
        """Return the first field that is damaged, or None."""
        pos = self._start
        try:
            for field in find_fields(self._data, self._start, self._stop):
                if self._is_refused(field):
                    return self._refused(field)
                self._pass(field)
                pos = field.stop
        except TruncatedError as error:
            return self._truncated(pos, error)
        except CorruptError as error:
            what = f"{self._path}: {error.what}" if self._path else error.what
            return _Finding(CorruptError(what, offset=error.offset))
        return None

    def _is_refused(self, field: FieldPlace) -> bool:
        from google.protobuf.message import DecodeError

        try:
            self._cls.FromString(bytes(self._data[field.start : field.stop]))
        except (DecodeError, RecursionError, ValueError):
            return True
        return False

    def _pass(self, field: FieldPlace) -> None:
        """Note what the paths of later fields need."""
        self._counts[field.number] += 1
        if not self._is_map_entry or field.number != _MAP_KEY:
            return
        if field.wire_type == LENGTH_DELIMITED:
            key = bytes(self._data[field.content : field.stop]).decode(errors="backslashreplace")
            import json  # at first use: most programs never meet a damaged message

            self._key = json.dumps(shortened(key, _KEY_LENGTH), ensure_ascii=False)
        elif field.wire_type == VARINT:
            self._key = str(decode_varint(self._data, field.content)[0])

    def _refused(self, field: FieldPlace) -> _Finding:
        """Return the damage of a whole field."""
        known = self._known(field.number)
        if known is not None and known.type == known.TYPE_STRING:
            what = "not UTF-8"
        elif known is not None and known.message_type is not None:
            what = f"messages nested more than {MAX_DEPTH} deep"  # unless something in it says more
        else:
            what = "packed numbers that do not fill the field"
        error = CorruptError(f"field {self._path_of(field.number)}: {what}", offset=field.content)
        return _Finding(error, self._inner(known, field, is_cut=False))

    def _truncated(self, pos: int, error: TruncatedError) -> _Finding:
        """Return the damage of the field at a position, which ends after its message."""
        field = next(find_fields(self._data, pos, self._stop, may_be_cut=True), None)
        what = self._cut_head(pos) if field is None else f"field {self._path_of(field.number)}"
        damage = TruncatedError(
            f"ends in {what}" if self._is_cut else what,
            wanted=error.wanted,
            available=error.available,
            offset=error.offset,
        )
        if field is None or not self._is_cut:
            return _Finding(damage)
        return _Finding(damage, self._inner(self._known(field.number), field, is_cut=True))

    def _cut_head(self, pos: int) -> str:
        """Describe what is cut of a field that has no whole tag and length, or no whole number."""
        try:
            tag, _ = decode_varint(self._data[: self._stop], pos)
        except CorruptError:
            return f"the tag of a field of {self._path}" if self._path else "the tag of a field"
        part = "the length of field" if tag & 7 == LENGTH_DELIMITED else "field"
        return f"{part} {self._path_of(tag >> 3)}"

    def _inner(self, known: FieldDescriptor | None, field: FieldPlace, *, is_cut: bool) -> _Level | None:
        """Return the message in a field, or None."""
        from google.protobuf.message_factory import GetMessageClass

        if known is None or known.message_type is None or field.wire_type != LENGTH_DELIMITED:
            return None
        cls, path = GetMessageClass(known.message_type), self._path_of(field.number)
        return _Level(cls, self._data, field.content, field.stop, path, is_cut=is_cut)

    def _known(self, number: int) -> FieldDescriptor | None:
        """Return what the schema says of a field, None if it does not know it."""
        return cast("FieldDescriptor | None", self._cls.DESCRIPTOR.fields_by_number.get(number))

    def _path_of(self, number: int) -> str:
        """Return the path of the next field with a number; the number stands for an unknown name."""
        if self._is_map_entry and number == _MAP_VALUE:
            return f"{self._path}[{self._key}]"
        known = self._known(number)
        name = str(number) if known is None else known.name
        if known is not None and _has_index(known):
            name += f"[{self._counts[number]}]"
        return f"{self._path}.{name}" if self._path else name


def is_repeated(field: FieldDescriptor) -> bool:
    """Return whether a field is a list or a map, in any version of protobuf."""
    # protobuf 4 has no ``is_repeated``, and protobuf 7 no ``label``.
    repeated = getattr(field, "is_repeated", None)
    return bool(getattr(field, "label", None) == field.LABEL_REPEATED if repeated is None else repeated)


def _has_index(known: FieldDescriptor) -> bool:
    """Return whether each element of a field has a tag of its own: it is repeated, and no map or number."""
    if not is_repeated(known):
        return False
    if known.message_type is not None:
        return not known.message_type.GetOptions().map_entry
    return known.type in (known.TYPE_STRING, known.TYPE_BYTES)
