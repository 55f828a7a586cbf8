"""Entries: what the message of a tensor says, in the usual form and in others, and damaged ones."""

from __future__ import annotations

import pytest

from ckptfmt.checkpoint.entry import Entry, decode_entry, key_of, name_of
from ckptfmt.checkpoint.slices import FULL, TensorSlice
from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import CorruptError
from tests.support.bundles import encode_extents
from tests.support.table_writer import encode_entry, encode_field

USUAL = encode_entry(dtype=3, shape=(2, 300), shard=1, offset=1000, size=2400, crc=0xDEADBEEF)


def test_an_entry_in_the_usual_form_and_one_out_of_order_are_the_same() -> None:
    want = Entry("w", as_dtype("int32"), (2, 300), 2400, 1, 1000, 0xDEADBEEF, ())
    assert decode_entry("w", USUAL) == want
    # The last of a field that occurs twice counts, and a field that nobody knows does not.
    assert decode_entry("w", encode_field(5, 7) + encode_field(99, b"?") + USUAL) == want


def test_fields_left_out_are_zero() -> None:
    entry = decode_entry("w", b"")
    assert (entry.dtype.name, entry.shape, entry.nbytes, entry.shard, entry.offset) == (
        "invalid",
        (),
        0,
        0,
        0,
    )


def test_a_tensor_in_slices_has_no_place_of_its_own() -> None:
    slices = [encode_extents((0, 1), (0, FULL)), encode_extents((1, 1), (0, FULL))]
    entry = decode_entry("w", encode_entry(shape=(2, 3), offset=7, size=9, slices=slices))
    assert entry.slices == (TensorSlice(((0, 1), (0, FULL))), TensorSlice(((1, 1), (0, FULL))))
    assert (entry.shard, entry.offset, entry.crc32c) == (None, None, None)


@pytest.mark.parametrize(
    "value",
    [
        USUAL[:-1],
        USUAL[:3],
        USUAL + b"\x08",
        encode_field(3, -1 & (1 << 64) - 1),
        encode_field(5, 1 << 63),
        encode_entry(shape=(1 << 62, 1 << 62)),
    ],
    ids=["cut", "cut in the shape", "a tag alone", "negative shard", "negative size", "too many elements"],
)
def test_a_damaged_entry_is_an_error(value: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_entry("w", value)


def test_every_key_has_a_name() -> None:
    assert name_of("é/w".encode()) == "é/w"
    assert name_of(b"\xff") == "\udcff"
    assert key_of("\udcff") == b"\xff"
    with pytest.raises(UnicodeEncodeError):
        key_of("\ud800")
