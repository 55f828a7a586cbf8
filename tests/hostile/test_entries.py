"""Hostile entries, strings and variants: an error of this package, and other tensors are still read."""

from __future__ import annotations

import time

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import FULL
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import (
    GOOD,
    GOOD_DATA,
    encode_extents,
    encode_strings,
    encode_variants,
    nested_variant,
    open_entry,
    open_objects,
)
from tests.support.table_writer import encode_entry, encode_field, encode_shape

# --- entries ---------------------------------------------------------------------------------------------

BIG = 2**62

BAD_ENTRIES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "size of another shape": (encode_entry(shape=(2, 2), size=12), CorruptError, "got 12 bytes, want 16"),
    "size beyond the file": (encode_entry(shape=(2**40,), size=2**42), TruncatedError, "want 4398046511104"),
    "shape beyond the size": (encode_entry(shape=(2**40,), size=16), CorruptError, "want 4398046511104"),
    "offset beyond the file": (encode_entry(shape=(4,), offset=1000, size=16), TruncatedError, "got 0"),
    "offset into the end": (
        encode_entry(shape=(4,), offset=1, size=16),
        TruncatedError,
        "got 15 bytes, want 16",
    ),
    "offset 2**63 - 1": (encode_entry(shape=(4,), offset=2**63 - 1, size=16), TruncatedError, "got 0"),
    "negative offset": (encode_entry(shape=(4,), offset=-4, size=16), CorruptError, "offset -4"),
    "negative size": (encode_entry(shape=(4,), size=-16), CorruptError, "size -16"),
    "shard 5 of 1": (
        encode_entry(shape=(4,), shard=5, size=16),
        CheckpointNotFoundError,
        "data-00005-of-00001",
    ),
    "shard -1": (encode_entry(shape=(4,), shard=-1, size=16), CorruptError, "negative shard -1"),
    "negative dimension": (
        encode_entry(shape=(2, -5), size=16),
        CorruptError,
        "dimension 1 of a shape: got -5, want at least 0",
    ),
    "2**63 elements": (encode_entry(shape=(2**32, 2**31)), CorruptError, "more than 2..63 - 1 elements"),
    "2**80 elements": (encode_entry(shape=(2**40, 2**40)), CorruptError, "more than 2..63 - 1 elements"),
    "0 times 2**124 elements": (
        encode_entry(shape=(0, BIG, BIG), crc=0),
        UnsupportedError,
        "NumPy has no array",
    ),
    "rank 255": (encode_entry(shape=(1,) * 255, size=4), CorruptError, "255 dimensions"),
    "rank 301": (encode_entry(shape=(1,) * 301, size=4), CorruptError, "301 dimensions"),
    "rank 100": (
        encode_entry(shape=(1,) * 100, size=4, crc=crc32c(GOOD_DATA[:4])),
        UnsupportedError,
        "NumPy has no array",
    ),
    "dtype 0": (encode_entry(dtype=0, shape=(4,), size=16), UnsupportedError, "dtype invalid .code 0."),
    "dtype 99": (encode_entry(dtype=99, shape=(4,), size=16), UnsupportedError, "dtype unknown_99 .code 99."),
    "dtype 2**40": (
        encode_entry(dtype=2**40, shape=(4,), size=16),
        UnsupportedError,
        "dtype unknown_1099511627776",
    ),
    "dtype -1": (encode_entry(dtype=-1, shape=(4,), size=16), UnsupportedError, "dtype unknown_"),
    "reference dtype": (encode_entry(dtype=101, shape=(4,), size=16), UnsupportedError, "dtype float32_ref"),
    "resource": (encode_entry(dtype=20, shape=(), size=8), UnsupportedError, "dtype resource"),
    "empty value": (b"", UnsupportedError, "dtype invalid"),
    "value of one byte": (b"\x08", CorruptError, "entry"),
    "value that ends in its shape": (
        b"\x08\x01\x12\x7f\x12",
        CorruptError,
        "entry of .* field 2: got 1 bytes, want 127",
    ),
    "value of zeros": (bytes(20), CorruptError, "field number 0"),
    "value of 0xff": (b"\xff" * 30, CorruptError, "varint"),
    "varint of 11 bytes": (b"\x28" + b"\x80" * 10 + b"\x01", CorruptError, "longer than 10 bytes"),
    "shape that is not a message": (b"\x08\x01" + encode_field(2, b"\x12\x7f"), CorruptError, "field 2"),
    "shape with a group": (b"\x08\x01" + encode_field(2, b"\x13"), CorruptError, "wire type 3"),
    "no checksum": (encode_entry(shape=(4,), size=16), CorruptError, "checksum mismatch: stored 0x"),
    "slice that is not a message": (GOOD + encode_field(7, b"\x0a\x7f"), CorruptError, "field 1"),
    "slice of another rank": (GOOD + encode_field(7, encode_extents((0, 2))), CorruptError, "ranks differ"),
    "slice out of the shape": (
        GOOD + encode_field(7, encode_extents((1, 5), (0, FULL))),
        CorruptError,
        "does not fit",
    ),
    "slice of 2**63 - 1 from 2**63 - 1": (
        GOOD + encode_field(7, encode_extents((2**63 - 1, 2**63 - 1), (0, FULL))),
        CorruptError,
        "does not fit",
    ),
    "empty slice": (GOOD + encode_field(7, encode_extents((0, 0), (0, FULL))), CorruptError, "does not fit"),
    "slice from -1": (
        GOOD + encode_field(7, encode_extents((-1, 2), (0, FULL))),
        CorruptError,
        "does not fit",
    ),
    "full slice that starts past the end": (
        GOOD + encode_field(7, encode_extents((5, FULL), (0, 2))),
        CorruptError,
        "does not fit",
    ),
    "slice not in the index": (
        GOOD + encode_field(7, encode_extents((0, 2), (0, 2))),
        CorruptError,
        "'bad': slice 0,2:0,2 is not in the index",
    ),
    "the same slice twice": (
        GOOD + encode_field(7, encode_extents((0, 2), (0, 2))) * 2,
        CorruptError,
        "slices 0,2:0,2 and 0,2:0,2 overlap",
    ),
    "slices that leave a gap": (
        GOOD + encode_field(7, encode_extents((1, 1), (0, 2))),
        CorruptError,
        "leave 2 of 4 elements uncovered, first at 0,1:0,2",
    ),
    "slices of rank 100 that leave a gap": (
        encode_entry(shape=(2,) + (1,) * 99, slices=[encode_extents((0, 1), *[(0, FULL)] * 99)]),
        CorruptError,
        "leave 1 of 2 elements uncovered",
    ),
    "two slices of a scalar": (encode_entry(slices=[b"", b""]), CorruptError, "slices of a scalar overlap"),
}


@pytest.mark.parametrize(("value", "error", "message"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_affects_only_its_tensor(value: bytes, error: type[CkptfmtError], message: str) -> None:
    ckpt = open_entry(value)
    with pytest.raises(error, match=message) as caught:
        ckpt["bad"]
    assert isinstance(caught.value, error)
    assert "'bad'" in str(caught.value) or getattr(caught.value, "file", None)
    assert list(ckpt) == ["bad", "good"]
    assert "bad" in ckpt
    assert ckpt["good"].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(error, match=message):
        open_entry(value)["bad"]
    with pytest.raises(error):
        open_entry(value).read(["bad"])
    with pytest.raises(error):
        open_entry(value).slice("bad")[...]
    assert open_entry(value).read(["good"])["good"].shape == (2, 2)


@pytest.mark.parametrize("value", [case[0] for case in BAD_ENTRIES.values()], ids=BAD_ENTRIES)
def test_verify_reports_a_bad_entry_and_does_not_raise(value: bytes) -> None:
    report = open_entry(value).verify()
    assert not report.ok
    assert report.tensors == 2
    assert {problem.name for problem in report.problems if problem.severity == "error"} == {"bad"}


# --- strings and variants --------------------------------------------------------------------------------

HUGE_TENSOR = encode_field(1, 1) + encode_field(2, encode_shape((2**40, 2**30)))

BAD_OBJECTS: dict[str, tuple[int, bytes, tuple[int, ...], str]] = {
    "string of 2**62": (
        7,
        encode_strings([2**62], b"abc"),
        (),
        "after their lengths, want 4611686018427387904",
    ),
    "string of 2**64 - 1": (
        7,
        encode_strings([2**64 - 1], b"abc"),
        (),
        "after their lengths, want 18446744073709551615",
    ),
    "strings that add up past 2**64": (
        7,
        encode_strings([2**63] * 4, b""),
        (4,),
        "after their lengths, want 36893488147419103232",
    ),
    "strings that add up to too much": (
        7,
        encode_strings([2, 2], b"abc"),
        (2,),
        "after their lengths, want 4",
    ),
    "strings that add up to too little": (
        7,
        encode_strings([1, 1], b"abc"),
        (2,),
        "after their lengths, want 2",
    ),
    "2**62 strings": (7, encode_strings([1], b"a"), (2**62,), "4611686018427387904 varints"),
    "length of 11 bytes": (7, b"\x80" * 10 + b"\x01" + bytes(8), (), "longer than 10 bytes"),
    "no checksum of lengths": (7, b"\x00", (), "checksum of string lengths"),
    "wrong checksum of lengths": (7, b"\x01" + bytes(4) + b"a", (), "string lengths: checksum mismatch"),
    "no bytes for a string": (7, b"", (), "1 varints"),
    "wrong checksum of all": (7, encode_strings([3], b"abc"), (), "checksum mismatch"),
    "variant of 2**62": (
        21,
        encode_variants(b"", lengths=[2**62])[0],
        (),
        "variant 0: got 4 bytes, want 4611686018427387908",
    ),
    "variant of 2**64 - 1": (
        21,
        encode_variants(b"", lengths=[2**64 - 1])[0],
        (),
        "variant 0: got 4 bytes, want",
    ),
    "2**62 variants": (21, encode_variants(b"")[0], (2**62,), "4611686018427387904 variants"),
    "variant that is not a message": (
        21,
        encode_variants(b"\x0a\x7f")[0],
        (),
        "field 1: got 0 bytes, want 127",
    ),
    "variant with a bad tensor": (21, encode_variants(encode_field(3, b"\x12\x7f"))[0], (), "field 2"),
    "wrong checksum of a variant": (21, b"\x00" + bytes(4), (), "variant 0: checksum mismatch"),
    "bytes after the variants": (21, encode_variants(b"")[0] + b"x", (), "1 bytes after the last variant"),
    "variants nested 60 deep": (21, encode_variants(nested_variant(60))[0], (), "nested more than 50 deep"),
    "variants nested 5000 deep": (
        21,
        encode_variants(nested_variant(5000))[0],
        (),
        "nested more than 50 deep",
    ),
    "variant of a tensor of 2**70 elements": (
        21,
        encode_variants(encode_field(3, HUGE_TENSOR))[0],
        (),
        "more than 2..63 - 1 elements",
    ),
}


@pytest.mark.parametrize(("dtype", "content", "shape", "message"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_bad_strings_and_variants_affect_only_their_tensor(
    dtype: int, content: bytes, shape: tuple[int, ...], message: str
) -> None:
    ckpt = open_objects(dtype, content, shape=shape)
    with pytest.raises(CorruptError, match=message) as caught:
        ckpt["bad"]
    assert caught.value.file is not None
    assert caught.value.file.endswith(".data-00000-of-00001")
    assert caught.value.offset is not None
    assert caught.value.offset >= 16
    assert ckpt["good"].tolist() == [[0, 1], [2, 3]]
    report = open_objects(dtype, content, shape=shape).verify()
    assert [problem.name for problem in report.problems if problem.severity == "error"] == ["bad"]


def test_strings_and_variants_made_by_tests_can_be_read() -> None:
    content = encode_strings([3, 0], b"abc")
    # The CRC runs over the lengths as words, their stored CRC, and the strings.
    crc = crc32c(b"abc", crc32c(content[2:6], crc32c(bytes([3, 0, 0, 0, 0, 0, 0, 0]))))
    assert open_objects(7, content, shape=(2,), crc=crc)["bad"].tolist() == [b"abc", b""]
    content, crc = encode_variants(nested_variant(40), nested_variant(0))
    variants = open_objects(21, content, shape=(2,), crc=crc)["bad"]
    assert [variant.type_name for variant in variants] == ["T", "T"]
    assert [len(variant.tensors) for variant in variants] == [1, 0]


def test_a_repeated_value_in_a_variant_cannot_claim_much_memory() -> None:
    def open_variant(values: bytes) -> ckptfmt.Checkpoint:
        tensor = encode_field(1, 1) + encode_field(2, encode_shape((1 << 24,))) + encode_field(5, values)
        content, crc = encode_variants(encode_field(1, b"T") + encode_field(3, tensor))
        return open_objects(21, content, crc=crc)

    # The last of two values is repeated: 30 stored bytes ask for 64 MiB.
    with pytest.raises(LimitError, match=r"67108864 exceeds the limit of \d{4}$"):
        open_variant(np.array([1, 2], "<f4").tobytes())["bad"]
    # A single repeated value takes no memory: its array has strides of zero.
    (tensor,) = open_variant(np.array([1], "<f4").tobytes())["bad"].item().tensors
    assert tensor.shape == (1 << 24,)
    assert tensor.strides == (0,)


def test_an_entry_of_many_repeated_fields_is_decoded_in_time() -> None:
    start = time.monotonic()
    for field in (
        b"\x08\x01",
        encode_field(2, encode_field(2, b"")),
        b"\x28\x10",
        encode_field(9, b"x"),
        b"\x50\x01",
    ):
        ckpt = open_entry(field * 200_000 + GOOD)
        try:
            assert ckpt["bad"].size
        except CorruptError as error:
            assert "dimensions" in str(error)  # noqa: PT017
    assert time.monotonic() - start < 60  # a few seconds here, hours if the work were quadratic
