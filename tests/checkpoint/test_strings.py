"""Strings and variants as bundles store them: what they hold, and where they are damaged."""

from __future__ import annotations

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.strings import check_strings, decode_strings, decode_variants
from ckptfmt.checkpoint.strings import encode_strings as encode_tensor_strings
from ckptfmt.errors import ChecksumError, CorruptError, TruncatedError
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.bundles import encode_strings, encode_variants, open_objects
from tests.support.golden import load
from tests.support.table_writer import encode_field


def test_strings_are_their_lengths_a_checksum_and_their_bytes() -> None:
    data = encode_strings([1, 0, 2], b"abc")
    array, crc = decode_strings(data, (3, 1))
    assert array.tolist() == [[b"a"], [b""], [b"bc"]]
    lengths = b"".join(n.to_bytes(4, "little") for n in (1, 0, 2))
    stored = mask(crc32c(lengths)).to_bytes(4, "little")
    assert crc == crc32c(b"abc", crc32c(stored, crc32c(lengths)))
    assert check_strings(data, (3, 1)) == (len(data) - 3, crc32c(stored, crc32c(lengths)))


def test_the_checksum_of_lengths_is_in_the_byte_order_of_the_bundle() -> None:
    stored = mask(crc32c((3).to_bytes(4, "big"))).to_bytes(4, "big")
    data = b"\x03" + stored + b"abc"
    assert decode_strings(data, (), big_endian=True)[0].item() == b"abc"
    with pytest.raises(ChecksumError, match="string lengths: checksum mismatch"):
        decode_strings(data, ())


@pytest.mark.parametrize(
    ("data", "error", "offset"),
    [
        (b"\x01", TruncatedError, 0),  # one of two lengths
        (encode_strings([1, 2], b"abc")[:5], TruncatedError, 2),
        (encode_strings([1, 2], b"ab"), CorruptError, 6),
        (encode_strings([1, 2], b"abcd"), CorruptError, 6),
        (b"\x02\x01" + encode_strings([1, 2], b"abc")[2:], ChecksumError, 2),
    ],
    ids=["lengths", "checksum", "too few bytes", "too many bytes", "a wrong length"],
)
def test_damaged_strings_are_an_error_that_says_where(
    data: bytes, error: type[CorruptError], offset: int
) -> None:
    with pytest.raises(error) as caught:
        check_strings(data, (2,))
    assert caught.value.offset == offset


def test_variants_are_each_a_length_a_message_and_a_checksum() -> None:
    data, crc = encode_variants(encode_field(1, b"T"), encode_field(1, b"U"))
    array, computed = decode_variants(data, (2,))
    assert [variant.type_name for variant in array] == ["T", "U"]
    assert computed == crc
    with pytest.raises(ChecksumError, match="variant 1: checksum mismatch") as caught:
        decode_variants(data[:-1] + b"?", (2,))
    assert caught.value.offset == len(data) - 4
    with pytest.raises(CorruptError, match="1 bytes after the last variant"):
        decode_variants(data + b"?", (2,))


def test_verify_finds_a_variant_that_is_not_a_message_although_its_checksums_match() -> None:
    good, cut = encode_field(1, b"T"), b"\x0a\x05T"
    data, crc = encode_variants(good, cut)
    ckpt = open_objects(21, data, shape=(2,), crc=crc)
    with pytest.raises(TruncatedError) as caught:
        ckpt["bad"]
    # After GOOD_DATA, the first variant, its length and checksum, the length of the second, and its tag.
    assert caught.value.offset == 16 + 1 + len(good) + 4 + 1 + 2
    assert [(problem.kind, problem.name) for problem in ckpt.verify().problems] == [("truncated", "bad")]


def test_variants_compare_and_hash_as_objects() -> None:
    ckpt = ckptfmt.open(load("variants").path)
    variants = [v for array in ckpt.values() for v in array.flat]
    assert variants
    assert len(set(variants)) == len(variants)
    assert variants[0] == variants[0]


def test_a_length_of_4_gib_counts_with_8_bytes_in_the_checksum() -> None:
    size = 1 << 32  # zeros that nobody reads, which take no memory
    form = encode_tensor_strings(np.array([b"a", bytes(size), b""], object))
    lengths = b"\1\0\0\0" + size.to_bytes(8, "little") + bytes(4)
    stored = mask(crc32c(lengths)).to_bytes(4, "little")
    assert b"".join(map(bytes, form.head)) == b"\x01" + encode_varint(size) + b"\0" + stored
    assert form.crc == crc32c(stored, crc32c(lengths))
    assert form.size == 1 + 5 + 1 + 4 + 1 + size


@pytest.mark.parametrize("element", [1, None, ["a"]], ids=repr)
def test_an_element_that_is_not_a_string_is_refused(element: object) -> None:
    values = np.empty(20_000, object)
    values[:] = b"a"
    values[-1] = element
    with pytest.raises(TypeError, match=r"element of a string tensor: got .*, want bytes or str"):
        encode_tensor_strings(values)
