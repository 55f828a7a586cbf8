"""Ordered code: values that TensorFlow 2.21 wrote into the keys of slices."""

from __future__ import annotations

import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.wire.ordered_code import (
    decode_snum,
    decode_string,
    decode_unum,
    encode_snum,
    encode_string,
    encode_unum,
)

SNUMS = {
    0: "80",
    1: "81",
    2: "82",
    10: "8a",
    30: "9e",
    50: "b2",
    63: "bf",
    -1: "7f",
    64: "c040",
    70: "c046",
    100: "c064",
    200: "c0c8",
    8191: "dfff",
    8192: "e02000",
    9000: "e02328",
    # By the definition: one more leading bit for each byte, inverted for negatives.
    -64: "40",
    -65: "3fbf",
    2**62 - 1: "ffbfffffffffffffff",
    2**62: "ffc04000000000000000",
    2**63 - 1: "ffc07fffffffffffffff",
    -(2**63): "003f8000000000000000",
}


@pytest.mark.parametrize(("value", "code"), SNUMS.items(), ids=map(str, SNUMS))
def test_signed_integers_are_tensorflows(value: int, code: str) -> None:
    data = bytes.fromhex(code)
    assert encode_snum(value) == data
    assert decode_snum(data, 0) == (value, len(data))
    assert decode_snum(memoryview(b"\xff" + data + b"\x00\xff"), 1) == (value, 1 + len(data))


UNUMS = {0: "00", 1: "0101", 2: "0102", 255: "01ff", 256: "020100", 2**64 - 1: "08ffffffffffffffff"}


@pytest.mark.parametrize(("value", "code"), UNUMS.items(), ids=map(str, UNUMS))
def test_unsigned_integers_are_tensorflows(value: int, code: str) -> None:
    data = bytes.fromhex(code)
    assert encode_unum(value) == data
    assert decode_unum(data + b"\x01", 0) == (value, len(data))


STRINGS = {
    b"": "0001",
    b"v": "760001",
    b"n\x00\xff": "6e00ffff000001",
    b"\x00": "00ff0001",
    b"\xff\xff": "ff00ff000001",
}


@pytest.mark.parametrize(("value", "code"), STRINGS.items(), ids=map(repr, STRINGS))
def test_strings_are_tensorflows(value: bytes, code: str) -> None:
    data = bytes.fromhex(code)
    assert encode_string(value) == data
    assert decode_string(data + b"\x00", 0) == (value, len(data))


BAD = {
    "unum of nothing": (decode_unum, "", TruncatedError),
    "unum cut": (decode_unum, "0201", TruncatedError),
    "unum of 9 bytes": (decode_unum, "09000000000000000001", CorruptError),
    "snum of nothing": (decode_snum, "", TruncatedError),
    "snum cut": (decode_snum, "c0", TruncatedError),
    "snum of 11 bytes": (decode_snum, "ffe000000000000000000000", CorruptError),
    "snum of 16 bytes": (decode_snum, "ffff" + "00" * 16, CorruptError),
    "snum of 65 bits": (decode_snum, "ffc08000000000000000", CorruptError),
    "negative snum of 65 bits": (decode_snum, "003f7fffffffffffffff", CorruptError),
    "string without an end": (decode_string, "7676", TruncatedError),
    "string that ends in an escape": (decode_string, "7600", TruncatedError),
    "unknown escape of 00": (decode_string, "0002", CorruptError),
    "unknown escape of ff": (decode_string, "ffff0001", CorruptError),
}


@pytest.mark.parametrize(("decode", "code", "error"), BAD.values(), ids=BAD)
def test_bad_codes_are_refused(decode, code: str, error: type[CorruptError]) -> None:
    with pytest.raises(error) as caught:
        decode(bytes.fromhex(code), 0)
    assert type(caught.value) is error
