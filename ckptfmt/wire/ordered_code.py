"""Ordered code: integers and strings as bytes that sort like them. Keys of tensor slices consist of it.

::

    unum   k uint8, the value in k bytes, big-endian (k = 0 for 0)
    str    each byte, but 00 as 00 ff and ff as ff 00; ended by 00 01
    snum   two's complement in L bytes, big-endian, its top L bits inverted; L = bits // 7 + 1

The top bits of an snum tell its length: a positive one begins with L ones and a zero, a negative one with L
zeros and a one. Longer positive numbers so sort after shorter ones, longer negative numbers before them.

Source: TensorFlow, ``tensorflow/core/lib/strings/ordered_code.cc``.
"""

from __future__ import annotations

import re

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import Buffer

_STRING_END = b"\x00\x01"
_ESCAPED = re.compile(rb"[\x00\xff]")
MAX_SNUM_BYTES = 10


def encode_unum(value: int) -> bytes:
    """Return the code of an integer in ``[0, 2**64)``."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def decode_unum(data: Buffer, pos: int) -> tuple[int, int]:
    """Return the unsigned integer at ``pos`` and the position after it."""
    size = _take(data, pos, 1)[0]
    if size > 8:
        raise CorruptError(f"ordered integer of {size} bytes", offset=pos)
    return int.from_bytes(_take(data, pos + 1, size), "big"), pos + 1 + size


def encode_string(value: bytes) -> bytes:
    """Return the code of a byte string."""
    # 00 is escaped so that the end, 00 01, sorts before any continuation; ff, so that no string begins like
    # TensorFlow's code for infinity, ff ff.
    return _ESCAPED.sub(lambda match: bytes([match[0][0], match[0][0] ^ 0xFF]), value) + _STRING_END


def decode_string(data: Buffer, pos: int) -> tuple[bytes, int]:
    """Return the byte string at ``pos`` and the position after it."""
    out = bytearray()
    start = pos
    while True:
        byte = _take(data, pos, 1)[0]
        if byte not in (0x00, 0xFF):
            out.append(byte)
            pos += 1
            continue
        pair = bytes(_take(data, pos, 2))
        pos += 2
        if pair == _STRING_END:
            return bytes(out), pos
        if pair not in (b"\x00\xff", b"\xff\x00"):
            raise CorruptError(f"ordered string: unknown escape {pair.hex()}", offset=start)
        out.append(pair[0])


def encode_snum(value: int) -> bytes:
    """Return the code of an integer in ``[-2**63, 2**63)``."""
    # In 8 L bits, L tell the length and one ends them, which leaves 7 L - 1 for the number without its sign.
    size = _magnitude(value).bit_length() // 7 + 1
    bits = 8 * size
    return ((value & (1 << bits) - 1) ^ _header(size)).to_bytes(size, "big")


def decode_snum(data: Buffer, pos: int) -> tuple[int, int]:
    """Return the signed integer at ``pos`` and the position after it."""
    # The length is in the first 11 bits at most, so two bytes are enough; a short number may have only one.
    first = int.from_bytes(bytes([_take(data, pos, 1)[0], *data[pos + 1 : pos + 2]]).ljust(2, b"\x00"), "big")
    if first < 0x8000:
        first ^= 0xFFFF  # negative: the length is the number of leading zeros, not ones
    size = 16 - (first ^ 0xFFFF).bit_length()
    if size > MAX_SNUM_BYTES:
        raise CorruptError(f"ordered integer of {size} bytes", offset=pos)
    bits = 8 * size
    value = int.from_bytes(_take(data, pos, size), "big") ^ _header(size)
    # With the header inverted back it is a plain two's complement.
    if value >> bits - 1:
        value -= 1 << bits
    if not -(1 << 63) <= value < 1 << 63:
        raise CorruptError(f"ordered integer {value} exceeds 64 bits", offset=pos)
    return value, pos + size


def _magnitude(value: int) -> int:
    """Return the number whose bits are those of a two's complement without its sign."""
    return value if value >= 0 else ~value


def _header(size: int) -> int:
    """Return the top ``size`` bits of ``size`` bytes."""
    return ((1 << size) - 1) << (7 * size)


def _take(data: Buffer, pos: int, size: int) -> Buffer:
    if pos + size > len(data):
        raise TruncatedError("ordered code", wanted=size, available=len(data) - pos, offset=pos)
    return data[pos : pos + size]
