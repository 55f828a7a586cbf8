"""Features of examples: a list of integers, of floats or of strings, decoded from serialized bytes.

::

    Feature:    at most one of  1 BytesList, 2 FloatList, 3 Int64List
    …List:      1 value, repeated; numbers packed or one by one

Nearly every writer stores a feature as one list, and the numbers of a list packed. :func:`_decode_usual`
decodes that in a few steps. All else that protobuf allows takes the general way, which is slower: a list in
several pieces, which are joined, or several kinds of list; the last one counts.

Positions are those in the bytes of the whole example, and so are the offsets in errors.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.proto import messages
from ckptfmt.wire.coding import Buffer, decode_varint
from ckptfmt.wire.fields import (
    FIXED32,
    LENGTH_DELIMITED,
    MAX_SHORT_VARINT,
    VARINT,
    decode_packed,
    find_fields,
)

Span: TypeAlias = tuple[int, int]
"""Where a message begins and ends in the bytes of an example."""

FEW_BYTES = 24
"""Up to this many bytes, packed integers take less time one by one than as a message of protobuf."""

FEW_STRINGS = 16
"""The same as a number of strings."""

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3
"""Numbers of the fields of a Feature."""

_TAG = 1 << 3 | LENGTH_DELIMITED
"""The tag of the strings or packed numbers of a list."""

_BYTES_TAG, _FLOATS_TAG, _INTEGERS_TAG = (
    number << 3 | LENGTH_DELIMITED for number in (_BYTES, _FLOATS, _INTEGERS)
)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


# Shared, because a few bytes can hold very many features without values.
EMPTY = {
    _BYTES: _read_only(np.empty(0, object)),
    _FLOATS: _read_only(np.empty(0, np.float32)),
    _INTEGERS: _read_only(np.empty(0, np.int64)),
}
"""The values of an empty list of each kind."""

UNSET = _read_only(np.empty(0, np.bool_))
"""The values of a feature without a list. NumPy promotes this dtype to any of the others."""


def decode_feature(data: Buffer, start: int, stop: int) -> np.ndarray:
    """Return the values of a feature, one-dimensional and read-only: int64, float32 or ``object`` (bytes).

    Raises CorruptError if the bytes are not a Feature.
    """
    try:
        values = _decode_usual(data, start, stop)
    except (IndexError, CorruptError):
        values = None
    # A damaged feature is decoded again in the general way, whose errors say what is wrong and where.
    return decode_pieces(data, [(start, stop)]) if values is None else values


# --- the usual form ----------------------------------------------------------------------------------------


def length_at(data: Buffer, pos: int) -> tuple[int, int]:
    """Return the length at ``pos`` and the position after it; if it is too long, one that fits nowhere."""
    size, stop = decode_varint(data, pos)
    return (size if stop - pos <= MAX_SHORT_VARINT else 1 << 64), stop


def _decode_usual(data: Buffer, at: int, end: int) -> np.ndarray | None:
    """Return the values of a feature in the usual form, None for any other.

    Every length must lead exactly to ``end``. So a tag or a length read beyond it, which may be any byte,
    does no harm: from there no length leads back.
    """
    if at == end:
        return UNSET
    kind, size, at = data[at], data[at + 1], at + 2
    if size >= 0x80:
        size, at = length_at(data, at - 1)
    if at + size != end:
        return None
    if kind == _BYTES_TAG:
        return _usual_strings(data, at, end)
    start = at
    if at == end or data[at] != _TAG:
        return None
    size, at = data[at + 1], at + 2
    if size >= 0x80:
        size, at = length_at(data, at - 1)
    if at + size != end:
        return None
    if kind == _INTEGERS_TAG:
        if size == 1 and data[at] < 0x80:
            values = np.array([data[at]], np.int64)  # most labels and sizes
        else:
            values = _usual_integers(data, start, at, end)
        values.setflags(write=False)
        return values
    return _floats(data, at, end) if kind == _FLOATS_TAG and not size % 4 else None


def _usual_integers(data: Buffer, start: int, at: int, end: int) -> np.ndarray:
    """Return the integers packed from ``at`` on, in a list that begins at ``start``."""
    content = bytes(data[at:end])
    if content.isascii():
        return np.frombuffer(content, np.uint8).astype(np.int64)  # a byte each
    if end - at > FEW_BYTES:
        parse, _, error = _by_protobuf()
        try:
            values = parse(bytes(data[start:end])).value
        except error:
            return _packed(data, at, end)
        # Protobuf 4 and 5 have no arrays of their own.
        return np.asarray(values) if hasattr(values, "__array__") else np.fromiter(values, np.int64)
    return _few_integers(data, at, end)


def _usual_strings(data: Buffer, at: int, end: int) -> np.ndarray | None:
    # An estimate of the number of strings: the others are about as long as the first.
    if at + 1 < end and (end - at) // (data[at + 1] + 2) > FEW_STRINGS:
        _, parse, error = _by_protobuf()
        try:
            return _strings(list(parse(bytes(data[at:end])).value))
        except error:
            return None
    strings: list[bytes] = []
    while at < end:
        if data[at] != _TAG:
            return None
        size, at = data[at + 1], at + 2
        if size >= 0x80:
            size, at = length_at(data, at - 1)
        stop = at + size
        if stop > end:
            return None
        strings.append(bytes(data[at:stop]))
        at = stop
    return _strings(strings)


# --- any form ----------------------------------------------------------------------------------------------


def decode_pieces(data: Buffer, pieces: Iterable[Span]) -> np.ndarray:
    """Return the values of a feature in any form, as :func:`decode_feature` does.

    Protobuf merges the pieces of a message that occurs more than once, or not at all.
    """
    kind = 0
    strings: list[bytes] = []
    floats = bytearray()
    integers = array("Q")
    for start, stop in pieces:
        for number, wire_type, _, content, end in find_fields(data, start, stop):
            if number not in EMPTY or wire_type != LENGTH_DELIMITED:
                continue  # unknown, like a known number with another wire type
            if number != kind:
                # Another member of the oneof replaces the one before it.
                kind = number
                strings, floats, integers = [], bytearray(), array("Q")
            if kind == _BYTES:
                _add_strings(strings, data, content, end)
            elif kind == _FLOATS:
                _add_floats(floats, data, content, end)
            else:
                _add_integers(integers, data, content, end)
    if kind == _BYTES:
        return _strings(strings)
    if kind == _FLOATS:
        return _floats(bytes(floats), 0, len(floats))
    return _read_only(np.array(integers, np.uint64).view(np.int64)) if integers else EMPTY.get(kind, UNSET)


def _add_strings(strings: list[bytes], data: Buffer, start: int, stop: int) -> None:
    for number, wire_type, _, content, end in find_fields(data, start, stop):
        if number == 1 and wire_type == LENGTH_DELIMITED:
            strings.append(bytes(data[content:end]))


def _add_floats(floats: bytearray, data: Buffer, start: int, stop: int) -> None:
    for number, wire_type, begin, content, end in find_fields(data, start, stop):
        if number == 1 and wire_type == LENGTH_DELIMITED and (end - content) % 4:
            what = f"packed floats: got {end - content} bytes, want a multiple of 4"
            raise CorruptError(what, offset=begin)
        if number == 1 and wire_type in (LENGTH_DELIMITED, FIXED32):
            floats += data[content:end]


def _add_integers(integers: array[int], data: Buffer, start: int, stop: int) -> None:
    for number, wire_type, _, content, end in find_fields(data, start, stop):
        if number == 1 and wire_type == VARINT:
            integers.append(decode_varint(data, content)[0])
        elif number == 1 and wire_type == LENGTH_DELIMITED:
            integers.frombytes(_packed(data, content, end).tobytes())


# --- values ------------------------------------------------------------------------------------------------


def _strings(strings: list[bytes]) -> np.ndarray:
    if not strings:
        return EMPTY[_BYTES]
    values = np.empty(len(strings), object)
    values[:] = strings
    values.setflags(write=False)
    return values


def _floats(data: Buffer, start: int, stop: int) -> np.ndarray:
    if start == stop:
        return EMPTY[_FLOATS]
    # A view keeps the whole example in memory, so only floats that are most of it are one.
    if 2 * (stop - start) < len(data):
        return np.frombuffer(bytes(data[start:stop]), "<f4")
    return np.frombuffer(data, "<f4", (stop - start) // 4, start)


def _packed(data: Buffer, start: int, stop: int) -> np.ndarray:
    """Return packed integers (int64)."""
    if stop - start <= FEW_BYTES:
        return _few_integers(data, start, stop)
    try:
        return decode_packed(memoryview(data)[start:stop]).view(np.int64)
    except CorruptError as error:
        error.offset = start + (error.offset or 0)
        raise


def _few_integers(data: Buffer, start: int, stop: int) -> np.ndarray:
    """Return packed integers, decoded one by one."""
    integers = []
    pos = start
    while pos < stop:
        begin, value, pos = pos, data[pos], pos + 1
        if value >= 0x80:
            value, pos = decode_varint(data, begin)
            if pos > stop:
                raise TruncatedError("varint", wanted=pos - begin, available=stop - begin, offset=begin)
        integers.append(value)
    return np.array(integers, np.uint64).view(np.int64)


@cache
def _by_protobuf() -> tuple[Callable[[bytes], Any], Callable[[bytes], Any], type[Exception]]:
    """Return the decoders of an Int64List and a BytesList, and the error for bytes that are neither.

    Protobuf's compiled decoder takes some nanoseconds for an integer, NumPy's operations take a hundred. The
    messages have other names here, and the same bytes.
    """
    from google.protobuf.message import DecodeError  # loaded with the schema, when a list is long

    lists = messages.CollectionDef
    return lists.Int64List.FromString, lists.BytesList.FromString, DecodeError
