"""The fields of serialized protobuf messages, found without a schema and without copying their bytes.

A field is a varint tag, ``number << 3 | wire type``, and a value::

    wire type 0   varint
              1   8 bytes, little-endian
              2   varint length, bytes
              5   4 bytes, little-endian

The walk is as strict as protobuf: it refuses field numbers out of range, tags and lengths of more than
5 bytes, and values that end after their message. It also refuses groups (wire types 3 and 4), which no
message of TensorFlow has. Offsets in errors count from the start of the bytes given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import Buffer, decode_varint, decode_varints

MAX_SHORT_VARINT = 5
"""The most bytes that protobuf accepts for a tag or a length."""

VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class FieldPlace(NamedTuple):
    """Where one field of a serialized message is: positions in the bytes that were given."""

    number: int
    """Field number."""
    wire_type: int
    """VARINT, FIXED64, LENGTH_DELIMITED or FIXED32."""
    start: int
    """First byte of its tag."""
    content: int
    """First byte of its value, after the length if it has one."""
    stop: int
    """First byte after it."""


def find_fields(
    data: Buffer, start: int = 0, stop: int | None = None, *, may_be_cut: bool = False
) -> Iterator[FieldPlace]:
    """Iterate over the places of the fields between two positions of bytes, in file order.

    If the data ``may_be_cut``, like the beginning of a file, the last field may end after them: it counts as
    ending there, and is left out if its tag or its length is incomplete.

    Raises CorruptError if the bytes are not a message.
    """
    return map(FieldPlace._make, _walk(data, start, len(data) if stop is None else stop, may_be_cut))


def _walk(data: Buffer, pos: int, end: int, may_be_cut: bool) -> Iterator[tuple[int, int, int, int, int]]:
    """Iterate over the places of fields as plain tuples, which are made faster than named ones."""
    while pos < end:
        begin = pos
        try:
            # Nearly all tags and lengths have one byte: without calls, these take half the time.
            tag, content = data[begin], begin + 1
            if tag >= 0x80:
                tag, content = decode_varint(data, begin)
            number, wire_type = tag >> 3, tag & 7
            # A longer encoding of a small number is refused too, as protobuf does.
            if not 0 < number < 1 << 29 or content - begin > MAX_SHORT_VARINT:
                what = f"field number {number} in a tag of {content - begin} bytes"
                raise CorruptError(what, offset=begin)
            if wire_type == VARINT:
                _, pos = decode_varint(data, content)
            elif wire_type == LENGTH_DELIMITED:
                at = content
                if at < end and data[at] < 0x80:
                    size, content = data[at], at + 1
                else:
                    size, content = decode_varint(data, at)
                    if content - at > MAX_SHORT_VARINT:
                        what = f"field {number}: length of {content - at} bytes"
                        raise CorruptError(what, offset=begin)
                pos = content + size
            elif wire_type in _FIXED_SIZES:
                pos = content + _FIXED_SIZES[wire_type]
            else:
                raise CorruptError(f"field {number} has wire type {wire_type}", offset=begin)
        except TruncatedError:
            if may_be_cut:
                return
            raise
        # One check for all kinds of value. Until here a length has only moved a position.
        if pos > end:
            if not may_be_cut:
                available = max(0, end - content)
                raise TruncatedError(
                    f"field {number}", wanted=pos - content, available=available, offset=content
                )
            pos = end
        yield number, wire_type, begin, content, pos


class Field(NamedTuple):
    """One field of a serialized message."""

    number: int
    """Field number."""
    wire_type: int
    """VARINT, FIXED64, LENGTH_DELIMITED or FIXED32."""
    value: int
    """The unsigned number, or the length of a length-delimited field."""
    content: Buffer
    """The bytes of a length-delimited field, else empty."""


def decode_fields(data: Buffer) -> Iterator[Field]:
    """Iterate over the fields of a serialized message with their values; see :func:`find_fields`."""
    for number, wire_type, _, start, stop in _walk(data, 0, len(data), False):
        if wire_type == LENGTH_DELIMITED:
            yield Field(number, wire_type, stop - start, data[start:stop])
        elif wire_type == VARINT:
            value = data[start] if stop == start + 1 else decode_varint(data, start)[0]
            yield Field(number, wire_type, value, b"")
        else:
            yield Field(number, wire_type, int.from_bytes(data[start:stop], "little"), b"")


def decode_integers(field: Field) -> np.ndarray:
    """Return the integers (uint64) of one occurrence of a repeated varint field: packed many, or one."""
    if field.wire_type == VARINT:
        return np.array([field.value], np.uint64)
    if field.wire_type != LENGTH_DELIMITED:
        raise CorruptError(f"field {field.number}: got wire type {field.wire_type}, want {VARINT}")
    return decode_packed(field.content)


def decode_packed(content: Buffer) -> np.ndarray:
    """Return packed varints (uint64); offsets in errors count from the first of them."""
    # Each varint ends with its only byte below 0x80, so the number of these is that of the varints.
    count = int(np.count_nonzero(np.frombuffer(content, np.uint8) < 0x80))
    values, end = decode_varints(content, count)
    if end != len(content):
        left = len(content) - end
        raise TruncatedError("packed varint", wanted=left + 1, available=left, offset=end)
    return values
