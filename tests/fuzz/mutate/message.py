"""Serialized protobuf messages: fields at any depth change, and all lengths around them stay right."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.wire.fields import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT, decode_fields
from tests.fuzz.mutate.plain import MORE_NUMBERS, Mutator, of_bytes
from tests.support.table_writer import encode_varint

MAX_DEPTH = 12

_SIZES = {FIXED32: 4, FIXED64: 8}


class _Field(NamedTuple):
    number: int
    wire_type: int
    value: int
    content: bytes

    def encode(self) -> bytes:
        tag = encode_varint(self.number << 3 | self.wire_type)
        if self.wire_type == LENGTH_DELIMITED:
            return tag + encode_varint(len(self.content)) + self.content
        if self.wire_type == VARINT:
            return tag + encode_varint(self.value)
        size = _SIZES[self.wire_type]
        return tag + (self.value & (1 << 8 * size) - 1).to_bytes(size, "little")


def mutator(leaf: Mutator = of_bytes) -> Mutator:
    """Return a mutator of messages, in which ``leaf`` changes texts and bytes."""

    def mutate(data: bytes, rng: Random, depth: int = 0) -> bytes:
        fields = _decode(data)
        if not fields or rng.randrange(20) == 0:
            return (leaf if depth else of_bytes)(data, rng)
        i = rng.randrange(len(fields))
        field = fields[i]
        action = rng.randrange(12)
        if action == 0:
            del fields[i]
        elif action == 1:
            fields.insert(rng.randrange(len(fields) + 1), field)
        elif action == 2:
            fields.append(fields.pop(i))
        elif action == 3:
            fields[i] = field._replace(number=rng.choice((field.number + 1, rng.randrange(1, 20))))
        elif action == 4:
            fields[i] = _retyped(field, rng)
        elif field.wire_type == LENGTH_DELIMITED:
            content = mutate(field.content, rng, depth + 1) if depth < MAX_DEPTH else b""
            fields[i] = field._replace(content=content)
        else:
            fields[i] = field._replace(value=_number(field.value, rng))
        return b"".join(each.encode() for each in fields)

    return mutate


def _decode(data: bytes) -> list[_Field] | None:
    try:
        return [
            _Field(number, kind, value, bytes(content))
            for number, kind, value, content in decode_fields(data)
        ]
    except CorruptError:
        return None


def _retyped(field: _Field, rng: Random) -> _Field:
    """Return a field of another wire type with as much of its value as fits."""
    value = (
        field.value if field.wire_type != LENGTH_DELIMITED else int.from_bytes(field.content[:8], "little")
    )
    content = field.content or encode_varint(field.value)
    return _Field(field.number, rng.choice((VARINT, FIXED64, LENGTH_DELIMITED, FIXED32)), value, content)


def _number(value: int, rng: Random) -> int:
    near = value + rng.choice((-2, -1, 1, 2))
    return rng.choice((near, near, value << 1, rng.randrange(64), rng.choice(MORE_NUMBERS))) & (1 << 64) - 1


of_message = mutator()
