"""Varints and the fields of messages, by the rules of the protobuf encoding."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import (
    Field,
    decode_fields,
    decode_integers,
    decode_varint,
    decode_varints,
    encode_varint,
    to_signed,
)

# 1, 150 and 300 are the examples of protobuf's own documentation of its encoding.
VARINTS = {
    0: "00",
    1: "01",
    127: "7f",
    128: "8001",
    150: "9601",
    300: "ac02",
    16383: "ff7f",
    16384: "808001",
    2**32 - 1: "ffffffff0f",
    2**63: "80808080808080808001",
    2**64 - 1: "ffffffffffffffffff01",
}


@pytest.mark.parametrize(("value", "code"), VARINTS.items(), ids=map(str, VARINTS))
def test_varints_are_protobufs(value: int, code: str) -> None:
    data = bytes.fromhex(code)
    assert encode_varint(value) == data
    assert decode_varint(data, 0) == (value, len(data))
    assert decode_varint(memoryview(b"\xff" + data + b"\xff"), 1) == (value, 1 + len(data))
    values, end = decode_varints(data + b"\xff", 1)
    assert (values.tolist(), end) == ([value], len(data))
    assert values.dtype == np.uint64


def test_a_varint_may_be_longer_than_it_need_be() -> None:
    assert decode_varint(b"\x81\x80\x00", 0) == (1, 3)
    assert decode_varints(b"\x81\x80\x00\x05", 2)[0].tolist() == [1, 5]


BAD_VARINTS = {
    "nothing there": (b"", TruncatedError, "want 1 bytes, got 0"),
    "cut": (b"\x80\x80", TruncatedError, "want 3 bytes, got 2"),
    "of 11 bytes": (b"\x80" * 10 + b"\x01", CorruptError, "longer than 10 bytes"),
    "of 65 bits": (b"\xff" * 9 + b"\x02", CorruptError, "exceeds 64 bits"),
}


@pytest.mark.parametrize(("data", "error", "message"), BAD_VARINTS.values(), ids=BAD_VARINTS)
def test_bad_varints_are_refused_with_their_place(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        decode_varint(b"\x01\x01" + data, 2)
    assert getattr(caught.value, "offset", None) == 2


@pytest.mark.parametrize("data", [case[0] for case in BAD_VARINTS.values()], ids=BAD_VARINTS)
def test_bad_varints_among_many_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_varints(b"\x01\x80\x01" + data, 3)


def test_many_varints_of_a_claimed_count_take_no_memory_for_it() -> None:
    with pytest.raises(TruncatedError, match="want 4611686018427387904 bytes, got 3"):
        decode_varints(b"\x01\x02\x03", 2**62)


def test_no_varints_take_no_bytes() -> None:
    values, end = decode_varints(b"\x07", 0)
    assert (values.tolist(), end) == ([], 0)


@pytest.mark.parametrize(
    ("unsigned", "signed"),
    [(0, 0), (5, 5), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 1, -1)],
    ids=str,
)
def test_the_upper_half_is_negative(unsigned: int, signed: int) -> None:
    assert to_signed(unsigned) == signed


# Examples of protobuf's documentation of its encoding: an int, a string, a nested message.
FIELDS = {
    "varint": ("089601", Field(1, 0, 150, b"")),
    "string": ("120774657374696e67", Field(2, 2, 7, b"testing")),
    "message": ("1a03089601", Field(3, 2, 3, bytes.fromhex("089601"))),
    "fixed32": ("35d9c69c43", Field(6, 5, 0x439CC6D9, b"")),
    "fixed64": ("31000000000000f03f", Field(6, 1, 0x3FF0000000000000, b"")),
    "field number of two bytes": ("a80105", Field(21, 0, 5, b"")),
    "the largest field number": ("f8ffffff0f01", Field(2**29 - 1, 0, 1, b"")),
}


@pytest.mark.parametrize(("code", "field"), FIELDS.values(), ids=FIELDS)
def test_fields_are_protobufs(code: str, field: Field) -> None:
    data = bytes.fromhex(code)
    assert list(decode_fields(data)) == [field]
    assert list(decode_fields(memoryview(data * 2))) == [field, field]


BAD_FIELDS = {
    "field number 0": ("0001", "field number 0", 2),
    "field number of 30 bits": ("808080801001", "field number 536870912", 2),
    "group": ("0b0c", "field 1 has wire type 3", 2),
    "wire type 7": ("0f", "field 1 has wire type 7", 2),
    "no value": ("08", "varint", 3),
    "string longer than the message": ("12077465", "field 2: want 7 bytes, got 2", 4),
    "string of 2**64 - 1 bytes": ("12ffffffffffffffffff01", "want 18446744073709551615 bytes", 13),
    "fixed32 cut": ("35000000", "field 6: want 4 bytes, got 3", 3),
    "fixed64 cut": ("3100000000", "field 6: want 8 bytes, got 4", 3),
}


@pytest.mark.parametrize(("code", "message", "offset"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_bad_fields_are_refused_with_their_place(code: str, message: str, offset: int) -> None:
    with pytest.raises(CorruptError, match=message) as caught:
        list(decode_fields(bytes.fromhex("0801" + code)))
    assert caught.value.offset == offset


def test_integers_are_read_packed_or_one_by_one() -> None:
    packed, alone = decode_fields(bytes.fromhex("3a06 03 8e02 9ea705 3805"))
    assert decode_integers(packed).tolist() == [3, 270, 86942]
    assert decode_integers(alone).tolist() == [5]
    assert decode_integers(Field(7, 2, 0, b"")).tolist() == []


def test_packed_integers_that_end_within_one_are_refused() -> None:
    with pytest.raises(TruncatedError, match="packed varint"):
        decode_integers(Field(7, 2, 3, b"\x01\x02\x80"))


def test_integers_of_a_fixed_size_are_refused() -> None:
    with pytest.raises(CorruptError, match="field 7: got wire type 5, want 0"):
        decode_integers(Field(7, 5, 1, b""))
