"""Varints, by the rules of the protobuf encoding."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.coding import decode_varint, decode_varints, encode_varint, to_signed

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
    "nothing there": (b"", TruncatedError, "got 0 bytes, want 1"),
    "cut": (b"\x80\x80", TruncatedError, "got 2 bytes, want 3"),
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
    with pytest.raises(TruncatedError, match="got 3 bytes, want 4611686018427387904"):
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
