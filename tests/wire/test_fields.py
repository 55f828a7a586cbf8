"""The fields of messages, by the rules of the protobuf encoding."""

from __future__ import annotations

import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.fields import Field, FieldPlace, decode_fields, decode_integers, find_fields

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
    "string longer than the message": ("12077465", "field 2: got 2 bytes, want 7", 4),
    "string of 2**64 - 1 bytes": ("12ffffffffffffffffff01", "field 2: length of 10 bytes", 2),
    "fixed32 cut": ("35000000", "field 6: got 3 bytes, want 4", 3),
    "fixed64 cut": ("3100000000", "field 6: got 4 bytes, want 8", 3),
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


def test_the_last_field_of_the_beginning_of_a_message_ends_where_the_data_do() -> None:
    data = bytes.fromhex("089601 120774657374696e67")
    whole = [FieldPlace(1, 0, 0, 1, 3), FieldPlace(2, 2, 3, 5, 12)]
    assert list(find_fields(data)) == list(find_fields(data, may_be_cut=True)) == whole
    cut = FieldPlace(2, 2, 3, 5, 8)
    assert list(find_fields(data[:8], may_be_cut=True)) == [whole[0], cut]
    assert list(find_fields(data[:4], may_be_cut=True)) == whole[:1]
    with pytest.raises(TruncatedError):
        list(find_fields(data[:8]))
    with pytest.raises(CorruptError, match="wire type 7"):
        list(find_fields(b"\x0f" + data, may_be_cut=True))
