"""Variable-length integers and the fields of protobuf messages.

A varint holds 7 bits a byte, lowest group first, the top bit set on all bytes but the last; 64 bits take at
most 10 bytes. A field is a varint tag (``number << 3 | wire type``) and a value::

    wire type 0  varint          1  8 bytes, little-endian
              2  varint length, bytes       5  4 bytes, little-endian

Offsets in the errors raised here count from the start of the bytes given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError, TruncatedError

Buffer: TypeAlias = bytes | memoryview
"""Bytes that can be indexed and sliced without a copy."""

MAX_VARINT_BYTES = 10

MAX_SHORT_VARINT = 5
"""Bytes of a tag or a length: protobuf takes no longer ones."""

VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def encode_varint(value: int) -> bytes:
    """Return the varint of an integer in ``[0, 2**64)``."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: Buffer, pos: int) -> tuple[int, int]:
    """Return the varint at ``pos`` and the position behind it."""
    start = pos
    value = shift = 0
    try:
        while True:
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift == 7 * MAX_VARINT_BYTES:
                raise CorruptError(f"varint longer than {MAX_VARINT_BYTES} bytes", offset=start)
    except IndexError:
        raise TruncatedError(
            "varint", wanted=pos - start + 1, available=max(len(data) - start, 0), offset=start
        ) from None
    if value >> 64:
        raise CorruptError(f"varint 0x{value:x} exceeds 64 bits", offset=start)
    return value, pos


def decode_varints(data: Buffer, count: int) -> tuple[np.ndarray, int]:
    """Return the first ``count`` varints of ``data`` (uint64) and the position behind them.

    All at once: the work is a few NumPy operations however many there are.
    """
    if count > len(data):
        raise TruncatedError(f"{count} varints", wanted=count, available=len(data), offset=0)
    window = np.frombuffer(data, np.uint8, count=min(len(data), count * MAX_VARINT_BYTES))
    if not (window[:count] & 0x80).any():
        return window[:count].astype(np.uint64), count
    last = np.flatnonzero(window < 0x80)[:count]
    if len(last) < count:
        if len(window) < len(data):
            raise CorruptError(f"among {count} varints one is longer than {MAX_VARINT_BYTES} bytes", offset=0)
        raise TruncatedError(f"{count} varints", wanted=len(data) + 1, available=len(data), offset=0)
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    longest = int(lengths.max())
    if longest > MAX_VARINT_BYTES:
        at = int(first[int(lengths.argmax())])
        raise CorruptError(f"varint longer than {MAX_VARINT_BYTES} bytes", offset=at)
    values = np.zeros(count, np.uint64)
    for i in range(longest):
        longer = np.flatnonzero(lengths > i)
        groups = window[first[longer] + i]
        if i == MAX_VARINT_BYTES - 1 and (groups > 1).any():
            at = int(first[longer[int((groups > 1).argmax())]])
            raise CorruptError("varint exceeds 64 bits", offset=at)
        values[longer] |= (groups & 0x7F).astype(np.uint64) << np.uint64(7 * i)
    return values, int(last[-1]) + 1 if count else 0


def decode_varints_at(
    window: np.ndarray, at: np.ndarray, longest: int = MAX_VARINT_BYTES - 1
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the varints that begin at many positions of bytes (int64), and the positions behind them.

    None where one is longer than ``longest`` bytes, of which 9 hold 63 bits. ``window`` (uint8) has at least
    as many bytes behind each position: who calls pads it, and compares what is returned with the true end.
    """
    values = window[at].astype(np.int64)
    behind = at + 1
    more = np.flatnonzero(values >= 0x80)
    if not more.size:
        return values, behind
    values[more] &= 0x7F
    for i in range(1, longest):
        groups = window[behind[more]].astype(np.int64)
        behind[more] += 1
        values[more] |= (groups & 0x7F) << 7 * i
        more = more[groups >= 0x80]
        if not more.size:
            return values, behind
    return None


def to_signed(value: int) -> int:
    """Return the int64 (or sign-extended int32) whose two's complement a varint holds."""
    return value - (1 << 64) if value >> 63 else value


class Field(NamedTuple):
    """One field of a serialized message."""

    number: int
    """Field number."""
    wire_type: int
    """VARINT, FIXED64, LENGTH_DELIMITED or FIXED32."""
    value: int
    """The unsigned number; the length where the field is length-delimited."""
    content: Buffer
    """The bytes of a length-delimited field, else empty."""


def decode_fields(data: Buffer) -> Iterator[Field]:
    """Iterate over the fields of a serialized message, in file order, without copying their bytes."""
    pos, end = 0, len(data)
    while pos < end:
        field, pos = _decode_field(data, pos)
        yield field


def _decode_field(data: Buffer, start: int) -> tuple[Field, int]:
    """The field at ``start`` and the position behind it."""
    tag, pos = decode_varint(data, start)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise CorruptError(f"field number {number}", offset=start)
    if wire_type == VARINT:
        value, pos = decode_varint(data, pos)
        return Field(number, wire_type, value, b""), pos
    if wire_type == LENGTH_DELIMITED:
        size, pos = decode_varint(data, pos)
    elif wire_type in _FIXED_SIZES:
        size = _FIXED_SIZES[wire_type]
    else:
        raise CorruptError(f"field {number} has wire type {wire_type}", offset=start)
    if size > len(data) - pos:
        raise TruncatedError(f"field {number}", wanted=size, available=len(data) - pos, offset=pos)
    content = data[pos : pos + size]
    if wire_type == LENGTH_DELIMITED:
        return Field(number, wire_type, size, content), pos + size
    return Field(number, wire_type, int.from_bytes(content, "little"), b""), pos + size


class FieldPlace(NamedTuple):
    """Where one field of a serialized message lies."""

    number: int
    """Field number."""
    wire_type: int
    """VARINT, FIXED64, LENGTH_DELIMITED or FIXED32."""
    start: int
    """Where it begins."""
    content: int
    """Where its number begins, or behind the length what it holds."""
    stop: int
    """Where it ends."""


def find_fields(data: Buffer, start: int, stop: int) -> Iterator[FieldPlace]:
    """Iterate over the places of the fields between two positions of bytes; nothing is copied.

    Raises CorruptError where what stands there is no message.
    """
    pos = start
    while pos < stop:
        begin = pos
        tag, pos = decode_varint(data, pos)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or pos - begin > MAX_SHORT_VARINT:
            raise CorruptError(f"field number {number} in {pos - begin} bytes", offset=begin)
        content = pos
        if wire_type == VARINT:
            _, pos = decode_varint(data, pos)
        elif wire_type == LENGTH_DELIMITED:
            size, content = decode_varint(data, pos)
            if content - pos > MAX_SHORT_VARINT:
                raise CorruptError(f"length of field {number} in {content - pos} bytes", offset=begin)
            pos = content + size
        elif wire_type in _FIXED_SIZES:
            pos += _FIXED_SIZES[wire_type]
        else:
            raise CorruptError(f"field {number} has wire type {wire_type}", offset=begin)
        if pos > stop:
            raise TruncatedError(f"field {number}", wanted=pos, available=stop, offset=begin)
        yield FieldPlace(number, wire_type, begin, content, pos)


def decode_integers(field: Field) -> np.ndarray:
    """Return the integers (uint64) of one occurrence of a repeated varint field: packed many, or one."""
    if field.wire_type == VARINT:
        return np.array([field.value], np.uint64)
    if field.wire_type != LENGTH_DELIMITED:
        raise CorruptError(f"field {field.number}: got wire type {field.wire_type}, want {VARINT}")
    # A varint ends with its one byte below 0x80.
    content = field.content
    count = int(np.count_nonzero(np.frombuffer(content, np.uint8) < 0x80))
    values, end = decode_varints(content, count)
    if end != len(content):
        raise TruncatedError("packed varint", wanted=len(content) + 1, available=len(content))
    return values
