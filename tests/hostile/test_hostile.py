"""Files made to abuse a reader: an error of this package, at once, and the other tensors still read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import FULL, TensorSlice, decode_slice, encode_slice_key
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    CorruptError,
    LimitError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.table.format import MAGIC_BYTES
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.memory_filesystem import open_bundle, open_tables
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    append_block,
    encode_block,
    encode_blocks,
    encode_bundle_index,
    encode_entry,
    encode_field,
    encode_footer,
    encode_handle,
    encode_header,
    encode_shape,
    encode_table,
)

GOOD_DATA = np.arange(4, dtype=np.float32).tobytes()
GOOD = encode_entry(shape=(2, 2), size=16, crc=crc32c(GOOD_DATA))

ANY = CkptfmtError


def extents(*pairs: tuple[int, int]) -> bytes:
    """A TensorSliceProto; a length of FULL is left out."""
    out = b""
    for start, length in pairs:
        extent = encode_field(1, start) if start else b""
        out += encode_field(1, extent + (b"" if length == FULL else encode_field(2, length)))
    return out


def open_items(
    *items: tuple[bytes, bytes], data: bytes = GOOD_DATA, header: bytes = HEADER
) -> ckptfmt.Checkpoint:
    """A bundle of these keys and values, in this order, behind a header."""
    return open_bundle(encode_table([(b"", header), *items]), data)


def with_entry(value: bytes, data: bytes = GOOD_DATA) -> ckptfmt.Checkpoint:
    """A bundle of one tensor "bad" of this entry, and one that is "good"."""
    return open_items((b"bad", value), (b"good", GOOD), data=data)


def packed_strings(lengths: list[int], content: bytes) -> bytes:
    """Strings as a bundle stores them, with whatever lengths."""
    words = b"".join(n.to_bytes(4 if n < 2**32 else 8, "little") for n in lengths)
    stored = mask(crc32c(words)).to_bytes(4, "little")
    return b"".join(map(encode_varint, lengths)) + stored + content


def packed_variants(*elements: bytes, lengths: list[int] | None = None) -> tuple[bytes, int]:
    """Variants as a bundle stores them, and the CRC of the entry."""
    out, crc = b"", 0
    for i, element in enumerate(elements):
        length = len(element) if lengths is None else lengths[i]
        crc = crc32c(element, crc32c(length.to_bytes(8, "little"), crc))
        stored = mask(crc).to_bytes(4, "little")
        crc = crc32c(stored, crc)
        out += encode_varint(length) + element + stored
    return out, crc


def objects(dtype: int, content: bytes, *, shape: tuple[int, ...] = (), crc: int = 0) -> ckptfmt.Checkpoint:
    """A bundle of "bad", strings or variants of these stored bytes, and of "good"."""
    entry = encode_entry(dtype=dtype, shape=shape, offset=16, size=len(content), crc=crc)
    return with_entry(entry, GOOD_DATA + content)


def nested_variant(depth: int) -> bytes:
    """A variant in a tensor in a variant …"""
    element = encode_field(1, b"T")
    for _ in range(depth):
        tensor = encode_field(1, 21) + encode_field(2, b"") + encode_field(15, element)
        element = encode_field(1, b"T") + encode_field(3, tensor)
    return element


# --- one tensor is bad -----------------------------------------------------------------------------------

BIG = 2**62
BAD_ENTRIES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "size of another shape": (encode_entry(shape=(2, 2), size=12), CorruptError, "got 12 bytes, want 16"),
    "size beyond the file": (encode_entry(shape=(2**40,), size=2**42), TruncatedError, "want 4398046511104"),
    "shape beyond the size": (encode_entry(shape=(2**40,), size=16), CorruptError, "want 4398046511104"),
    "offset beyond the file": (encode_entry(shape=(4,), offset=1000, size=16), TruncatedError, "got 0"),
    "offset into the end": (
        encode_entry(shape=(4,), offset=1, size=16),
        TruncatedError,
        "want 16 bytes, got 15",
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
        "entry of .* field 2: want 127 bytes, got 1",
    ),
    "value of zeros": (bytes(20), CorruptError, "field number 0"),
    "value of 0xff": (b"\xff" * 30, CorruptError, "varint"),
    "varint of 11 bytes": (b"\x28" + b"\x80" * 10 + b"\x01", CorruptError, "longer than 10 bytes"),
    "shape that is no shape": (b"\x08\x01" + encode_field(2, b"\x12\x7f"), CorruptError, "field 2"),
    "shape with a group": (b"\x08\x01" + encode_field(2, b"\x13"), CorruptError, "wire type 3"),
    "no checksum": (encode_entry(shape=(4,), size=16), CorruptError, "checksum mismatch: stored 0x"),
    "slice that is no slice": (GOOD + encode_field(7, b"\x0a\x7f"), CorruptError, "field 1"),
    "slice of another rank": (GOOD + encode_field(7, extents((0, 2))), CorruptError, "ranks differ"),
    "slice out of the shape": (GOOD + encode_field(7, extents((1, 5), (0, FULL))), CorruptError, "juts out"),
    "slice of 2**63 - 1 from 2**63 - 1": (
        GOOD + encode_field(7, extents((2**63 - 1, 2**63 - 1), (0, FULL))),
        CorruptError,
        "juts out",
    ),
    "slice of nothing": (GOOD + encode_field(7, extents((0, 0), (0, FULL))), CorruptError, "juts out"),
    "slice from -1": (GOOD + encode_field(7, extents((-1, 2), (0, FULL))), CorruptError, "juts out"),
    "full slice from behind the end": (
        GOOD + encode_field(7, extents((5, FULL), (0, 2))),
        CorruptError,
        "juts out",
    ),
    "slice not in the index": (
        GOOD + encode_field(7, extents((0, 2), (0, 2))),
        CorruptError,
        "'bad': slice 0,2:0,2 is not in the index",
    ),
    "the same slice twice": (
        GOOD + encode_field(7, extents((0, 2), (0, 2))) * 2,
        CorruptError,
        "slices 0,2:0,2 and 0,2:0,2 overlap",
    ),
    "slices that leave a gap": (
        GOOD + encode_field(7, extents((1, 1), (0, 2))),
        CorruptError,
        "leave 2 of 4 elements uncovered, first at 0,1:0,2",
    ),
    "slices of rank 100 that leave a gap": (
        encode_entry(shape=(2,) + (1,) * 99, slices=[extents((0, 1), *[(0, FULL)] * 99)]),
        CorruptError,
        "leave 1 of 2 elements uncovered",
    ),
    "two slices of a scalar": (encode_entry(slices=[b"", b""]), CorruptError, "slices of a scalar overlap"),
}


@pytest.mark.parametrize(("value", "error", "message"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_spoils_only_its_tensor(value: bytes, error: type[CkptfmtError], message: str) -> None:
    ckpt = with_entry(value)
    with pytest.raises(error, match=message) as caught:
        ckpt["bad"]
    assert isinstance(caught.value, error)
    assert "'bad'" in str(caught.value) or getattr(caught.value, "file", None)
    assert list(ckpt) == ["bad", "good"]
    assert "bad" in ckpt
    assert ckpt["good"].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(error, match=message):
        with_entry(value)["bad"]
    with pytest.raises(error):
        with_entry(value).read(["bad"])
    with pytest.raises(error):
        with_entry(value).slice("bad")[...]
    assert with_entry(value).read(["good"])["good"].shape == (2, 2)


@pytest.mark.parametrize("value", [case[0] for case in BAD_ENTRIES.values()], ids=BAD_ENTRIES)
def test_verify_reports_a_bad_entry_and_does_not_raise(value: bytes) -> None:
    report = with_entry(value).verify()
    assert not report.ok
    assert report.tensors == 2
    assert {problem.name for problem in report.problems if problem.severity == "error"} == {"bad"}


BAD_OBJECTS: dict[str, tuple[int, bytes, tuple[int, ...], str]] = {
    "string of 2**62": (
        7,
        packed_strings([2**62], b"abc"),
        (),
        "strings of 4611686018427387904 bytes in all",
    ),
    "string of 2**64 - 1": (
        7,
        packed_strings([2**64 - 1], b"abc"),
        (),
        "strings of 18446744073709551615 bytes",
    ),
    "strings that add up past 2**64": (
        7,
        packed_strings([2**63] * 4, b""),
        (4,),
        "strings of 36893488147419103232",
    ),
    "strings that add up to too much": (7, packed_strings([2, 2], b"abc"), (2,), "strings of 4 bytes in all"),
    "strings that add up to too little": (
        7,
        packed_strings([1, 1], b"abc"),
        (2,),
        "strings of 2 bytes in all",
    ),
    "2**62 strings": (7, packed_strings([1], b"a"), (2**62,), "4611686018427387904 varints"),
    "length of 11 bytes": (7, b"\x80" * 10 + b"\x01" + bytes(8), (), "longer than 10 bytes"),
    "no checksum of lengths": (7, b"\x00", (), "checksum of string lengths"),
    "wrong checksum of lengths": (7, b"\x01" + bytes(4) + b"a", (), "checksum of string lengths differs"),
    "no string where there is one": (7, b"", (), "1 varints"),
    "wrong checksum of all": (7, packed_strings([3], b"abc"), (), "checksum mismatch"),
    "variant of 2**62": (
        21,
        packed_variants(b"", lengths=[2**62])[0],
        (),
        "variant 0: want 4611686018427387908",
    ),
    "variant of 2**64 - 1": (21, packed_variants(b"", lengths=[2**64 - 1])[0], (), "variant 0: want"),
    "2**62 variants": (21, packed_variants(b"")[0], (2**62,), "4611686018427387904 variants"),
    "variant that is no message": (21, packed_variants(b"\x0a\x7f")[0], (), "field 1: want 127 bytes"),
    "variant with a bad tensor": (21, packed_variants(encode_field(3, b"\x12\x7f"))[0], (), "field 2"),
    "wrong checksum of a variant": (21, b"\x00" + bytes(4), (), "checksum of variant 0 differs"),
    "bytes behind the variants": (21, packed_variants(b"")[0] + b"x", (), "1 bytes after the last variant"),
    "variants nested 60 deep": (21, packed_variants(nested_variant(60))[0], (), "nested more than 50 deep"),
    "variants nested 5000 deep": (
        21,
        packed_variants(nested_variant(5000))[0],
        (),
        "nested more than 50 deep",
    ),
    "variant of a tensor of 2**70 elements": (
        21,
        packed_variants(encode_field(3, encode_field(1, 1) + encode_field(2, encode_shape((2**40, 2**30)))))[
            0
        ],
        (),
        "more than 2..63 - 1 elements",
    ),
}


@pytest.mark.parametrize(("dtype", "content", "shape", "message"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_bad_strings_and_variants_spoil_only_their_tensor(
    dtype: int, content: bytes, shape: tuple[int, ...], message: str
) -> None:
    ckpt = objects(dtype, content, shape=shape)
    with pytest.raises(CorruptError, match=message) as caught:
        ckpt["bad"]
    assert caught.value.file is not None
    assert caught.value.file.endswith(".data-00000-of-00001")
    assert caught.value.offset is not None
    assert caught.value.offset >= 16
    assert ckpt["good"].tolist() == [[0, 1], [2, 3]]
    report = objects(dtype, content, shape=shape).verify()
    assert [problem.name for problem in report.problems if problem.severity == "error"] == ["bad"]


def test_the_writers_of_these_tests_write_what_reads() -> None:
    content = packed_strings([3, 0], b"abc")
    # The running CRC: length words, their stored CRC, the strings.
    crc = crc32c(b"abc", crc32c(content[2:6], crc32c(bytes([3, 0, 0, 0, 0, 0, 0, 0]))))
    assert objects(7, content, shape=(2,), crc=crc)["bad"].tolist() == [b"abc", b""]
    content, crc = packed_variants(nested_variant(40), nested_variant(0))
    variants = objects(21, content, shape=(2,), crc=crc)["bad"]
    assert [variant.type_name for variant in variants] == ["T", "T"]
    assert [len(variant.tensors) for variant in variants] == [1, 0]


# --- the index is bad ------------------------------------------------------------------------------------


def raw_table(metaindex: bytes, index: bytes, content: bytes = b"") -> bytes:
    return content + encode_footer(metaindex, index)


def index_of_handle(handle: bytes) -> bytes:
    file = bytearray()
    metaindex = append_block(file, encode_block([]))
    index = append_block(file, encode_block([(b"z", handle)], 1))
    return bytes(file) + encode_footer(metaindex, index)


def block_with(entries: bytes, *trailer: int) -> bytes:
    """An index of one block of these bytes and these numbers behind them; the header is its first entry."""
    header = b"\x00\x00" + bytes([len(HEADER)]) + HEADER
    return encode_blocks(
        [RawBlock(b"z", header + entries + b"".join(n.to_bytes(4, "little") for n in trailer))]
    )


HUGE_HANDLE = encode_handle(2**63, 8)
BAD_INDEXES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "no bytes": (b"", TruncatedError, "too short to be a table"),
    "text": (b"model_checkpoint_path: 'x'\n" * 5, CorruptError, "not a table: got magic"),
    "index handle outside the file": (
        raw_table(b"\x00\x00", encode_handle(100, 8)),
        TruncatedError,
        "outside the",
    ),
    "index handle of 2**63": (raw_table(b"\x00\x00", HUGE_HANDLE), TruncatedError, "block outside the file"),
    "index handle of 2**64 - 1": (
        raw_table(b"\x00\x00", b"\xff" * 9 + b"\x01\x08"),
        TruncatedError,
        "outside the",
    ),
    "index handle of 11 bytes": (
        raw_table(b"\x00\x00", b"\xff" * 10 + b"\x01\x08"),
        CorruptError,
        "longer than 10",
    ),
    "footer full of 0x80": (b"\x80" * 40 + MAGIC_BYTES, CorruptError, "longer than 10 bytes"),
    "block handle outside the file": (
        index_of_handle(encode_handle(10_000, 8)),
        TruncatedError,
        "outside the file",
    ),
    "block handle of 2**63": (index_of_handle(HUGE_HANDLE), TruncatedError, "outside the file"),
    "block handle of size 2**64 - 1": (
        index_of_handle(encode_handle(0, 2**64 - 1)),
        TruncatedError,
        "want 18446744073709551620 bytes",
    ),
    "empty block handle": (index_of_handle(b""), TruncatedError, "varint"),
    "no blocks": (encode_blocks([]), CorruptError, "no bundle header"),
    "2**31 restart points": (block_with(b"", 0, 2**31), CorruptError, "claims 2147483648 restart points"),
    "restart points that do not fit": (block_with(b"", 0, 6), CorruptError, "claims 6 restart points"),
    "block of 3 bytes": (
        encode_blocks([RawBlock(b"z", bytes(3))]),
        TruncatedError,
        "block: want 4 bytes, got 3",
    ),
    "shared beyond the previous key": (
        block_with(b"\x05\x01\x00x", 0, 1),
        CorruptError,
        "shares 5 bytes with a key",
    ),
    "value past the block": (block_with(b"\x00\x01\x7fx", 0, 1), CorruptError, "entry outside its block"),
    "varint of 11 bytes": (
        block_with(b"\x80" * 10 + b"\x01\x01\x00x", 0, 1),
        CorruptError,
        "longer than 10 bytes",
    ),
    "block type 7": (encode_blocks([RawBlock(b"z", b"", 7)]), CorruptError, "block type: got 7"),
    "snappy length bomb": (
        encode_blocks([RawBlock(b"z", b"\xff\xff\xff\xff\x0f\x00x", 1)]),
        CorruptError,
        "claims to hold 4294967295",
    ),
    "bad snappy": (encode_blocks([RawBlock(b"z", b"\x10\xff\xff", 1)]), CorruptError, "does not decompress"),
    "no header": (encode_table([(b"a", GOOD)]), CorruptError, "no bundle header: the index has no entry"),
    "header that is no message": (encode_table([(b"", b"\x0f")]), CorruptError, "wire type 7"),
    "header cut short": (encode_table([(b"", HEADER[:-1])]), TruncatedError, "field 3"),
    "endianness 2": (
        encode_table([(b"", b"\x08\x01\x10\x02")]),
        CorruptError,
        "endianness of the bundle: got 2",
    ),
    "min_consumer 2": (
        encode_table([(b"", encode_header(version=b"\x08\x02\x10\x02"))]),
        UnsupportedError,
        "wants readers of version 2 or later, this is 1",
    ),
    "bad_consumers 1": (
        encode_table([(b"", encode_header(version=b"\x08\x01\x1a\x01\x01"))]),
        UnsupportedError,
        "excludes readers of version 1",
    ),
    "version that is no message": (
        encode_table([(b"", encode_header(version=b"\x1a\x7f"))]),
        CorruptError,
        "field 3",
    ),
    "duplicate keys": (
        encode_table([(b"", HEADER), (b"a", GOOD), (b"a", GOOD)]),
        CorruptError,
        "keys out of order: b'a' after b'a'",
    ),
    "two headers": (
        encode_table([(b"", HEADER), (b"", HEADER)]),
        CorruptError,
        "keys out of order: b'' after b''",
    ),
    "unsorted keys": (
        encode_table([(b"", HEADER), (b"b", GOOD), (b"a", GOOD)]),
        CorruptError,
        "keys out of order: b'a' after b'b'",
    ),
}


@pytest.mark.parametrize(("index", "error", "message"), BAD_INDEXES.values(), ids=BAD_INDEXES)
def test_a_bad_index_is_refused_with_its_file(index: bytes, error: type[CkptfmtError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        list(open_bundle(index, GOOD_DATA))
    assert "nowhere/ckpt.index" in str(caught.value)
    try:
        ckpt = open_bundle(index, GOOD_DATA)
    except error:
        return
    report = ckpt.verify()
    assert not report.ok
    assert repr(ckpt).endswith("names not readable>")


def test_a_bad_restart_point_is_refused_where_it_is_used() -> None:
    entries = b"".join(b"\x00\x01" + bytes([len(GOOD)]) + key + GOOD for key in (b"a", b"b"))
    for restart in (10_000, 2**32 - 1, 5):
        index = block_with(entries, 0, restart, 2)
        with pytest.raises(CorruptError):
            open_bundle(index, GOOD_DATA)["b"]


@pytest.mark.parametrize("num_shards", [0, -1, 2, 2**31 - 1, 2**31, 2**62], ids=str)
def test_a_wrong_number_of_shards_is_not_looped_over(num_shards: int) -> None:
    index = encode_bundle_index({"a": GOOD}, encode_header(num_shards=num_shards))
    ckpt = open_bundle(index, GOOD_DATA)
    assert list(ckpt) == ["a"]
    assert ckpt.entries["a"].shape == (2, 2)
    with pytest.raises(CheckpointNotFoundError, match=r"no such file: .*shard 0 of .*with tensor 'a'"):
        ckpt["a"]
    report = ckpt.verify()
    # The one data file there is belongs to another number of shards.
    assert [problem.kind for problem in report.problems] == ["missing", "stale"]


def test_a_name_is_not_there_with_a_hostile_name() -> None:
    ckpt = with_entry(GOOD)
    for name in ("", "\x00", "\udc80", "\ud800", "x" * 100_000, "\x00bad\x00\x01\x00"):
        assert name not in ckpt
        with pytest.raises(TensorNotFoundError):
            ckpt[name]


# --- V1 --------------------------------------------------------------------------------------------------


def v1_meta(
    name: bytes = b"t",
    shape: tuple[int, ...] = (2,),
    dtype: int = 1,
    slices: tuple[bytes, ...] = (extents((0, FULL)),),
) -> bytes:
    """A SavedSliceMeta."""
    out = encode_field(1, name) + encode_field(2, encode_shape(shape)) + encode_field(3, dtype)
    return out + b"".join(encode_field(4, part) for part in slices)


def v1_data(values: bytes, name: bytes = b"t", part: bytes = extents((0, FULL))) -> bytes:
    """A SavedTensorSlices of values."""
    return encode_field(2, encode_field(1, name) + encode_field(2, part) + encode_field(3, values))


TWO_FLOATS = encode_field(5, np.array([1, 2], "<f4").tobytes())
V1_KEY = encode_slice_key(b"t", TensorSlice(((0, FULL),)))
GOOD_V1_KEY = encode_slice_key(b"u", TensorSlice(((0, FULL),)))


def v1_table(
    meta: bytes = b"", data: bytes = b"", *, key: bytes = V1_KEY, version: bytes = b"\x08\x01"
) -> bytes:
    """A V1 file with the tensor "t" of this meta data and these values, and a good one "u"."""
    metas = encode_field(1, meta or v1_meta()) + encode_field(1, v1_meta(b"u")) + encode_field(2, version)
    items = [
        (b"", encode_field(1, metas)),
        (key, data or v1_data(TWO_FLOATS)),
        (GOOD_V1_KEY, v1_data(TWO_FLOATS, b"u")),
    ]
    return encode_table(sorted(items))


BAD_V1: dict[str, tuple[bytes, str]] = {
    "dim -5": (v1_table(v1_meta(shape=(-5,))), "dimension 0 of a shape: got -5, want at least 0"),
    "dim 2**62": (v1_table(v1_meta(shape=(2**62,))), "got 2 values, want 4611686018427387904"),
    "2**80 elements": (v1_table(v1_meta(shape=(2**40, 2**40))), "more than 2..63 - 1 elements"),
    "slice out of the shape": (v1_table(v1_meta(slices=(extents((1, 5)),))), "slice 1,5 juts out of shape"),
    "slice of another rank": (v1_table(v1_meta(slices=(extents((0, 1), (0, 1)),))), "ranks differ"),
    "too few values": (v1_table(data=v1_data(TWO_FLOATS[:1] + b"\x04" + bytes(4))), "got 1 values, want 2"),
    "too many values": (v1_table(data=v1_data(TWO_FLOATS * 2)), "got 4 values, want 2"),
    "no values": (v1_table(data=v1_data(b"")), "got 0 values, want 2"),
    "values of another dtype": (v1_table(v1_meta(dtype=3)), "got 0 values, want 2 for int32"),
    "half a float": (
        v1_table(data=v1_data(encode_field(5, b"1234567"))),
        "got 7 bytes, want a multiple of 4",
    ),
    "values of another tensor": (v1_table(data=v1_data(TWO_FLOATS, b"x")), "holds the values of 'x'"),
    "values of another slice": (
        v1_table(data=v1_data(TWO_FLOATS, part=extents((0, 2)))),
        "holds the values of",
    ),
    "slice key missing": (v1_table(key=V1_KEY + b"x"), "the values of slice - are not in the file"),
    "data that is no message": (v1_table(data=b"\x12\x7f"), "field 2: want 127 bytes"),
    "data that is meta data": (v1_table(data=encode_field(1, b"")), "holds the values of ''"),
    "overlapping slices": (v1_table(v1_meta(slices=(extents((0, FULL)),) * 2)), "slices - and - overlap"),
    "incomplete slices": (v1_table(v1_meta(slices=(extents((0, 1)),))), "leave 1 of 2 elements uncovered"),
    "variants": (v1_table(v1_meta(dtype=21)), "got 0 values, want 2 for variant"),
}


@pytest.mark.parametrize(("table", "message"), BAD_V1.values(), ids=BAD_V1)
def test_a_bad_tensor_of_a_v1_file_spoils_only_itself(table: bytes, message: str) -> None:
    ckpt = open_tables(table)
    with pytest.raises(CorruptError, match=message) as caught:
        ckpt["t"]
    assert "'t'" in str(caught.value)
    assert caught.value.file == "nowhere/ckpt-00000-of-00001"
    assert list(ckpt) == ["t", "u"]
    assert ckpt["u"].tolist() == [1, 2]
    report = ckpt.verify()
    assert {problem.name for problem in report.problems if problem.severity == "error"} == {"t"}
    assert report.tensors_checked == 1


@pytest.mark.parametrize(
    "part", [extents((1, 5), (0, FULL)), extents((0, 2)), extents((-1, 2), (0, 2))], ids=["out", "rank", "-1"]
)
def test_whether_a_slice_that_juts_out_is_verified_is_an_error_with_names(part: bytes) -> None:
    found = decode_slice(part)
    ckpt = open_items(
        (encode_slice_key(b"bad", found), GOOD), (b"bad", encode_entry(shape=(2, 2), slices=[part]))
    )
    reader = ckpt.slice("bad")
    for read in (
        lambda: reader.is_verified(0),
        lambda: reader[0],
        lambda: ckpt._region("bad", ((0, 1), (0, 2)), verified=True),
        lambda: ckpt._store.find_slice(reader.entry, found),
    ):
        with pytest.raises(CorruptError, match=r"tensor 'bad': slice .* (juts out|ranks differ)") as caught:
            read()
        assert caught.value.file == "nowhere/ckpt.index"


BAD_V1_FILES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "no meta data": (encode_table([(V1_KEY, v1_data(TWO_FLOATS))]), CorruptError, "no meta data"),
    "meta data that is no message": (
        encode_table([(b"", b"\x0a\x7f")]),
        CorruptError,
        "field 1: want 127 bytes",
    ),
    "meta data of a bad tensor": (
        encode_table([(b"", encode_field(1, b"\x0a\x02\x0a\x7f"))]),
        CorruptError,
        "field 1",
    ),
    "min_consumer 9": (v1_table(version=b"\x10\x09"), UnsupportedError, "wants readers of version 9"),
    "bad_consumers 1": (v1_table(version=b"\x1a\x01\x01"), UnsupportedError, "excludes readers of version 1"),
    "no table": (b"x" * 100, CorruptError, "not a table"),
}


@pytest.mark.parametrize(("table", "error", "message"), BAD_V1_FILES.values(), ids=BAD_V1_FILES)
def test_a_bad_v1_file_is_refused_with_its_name(
    table: bytes, error: type[CkptfmtError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        list(open_tables(table))
    assert "nowhere/ckpt-00000-of-00001" in str(caught.value)


def test_shards_of_a_v1_checkpoint_must_agree_on_a_tensor() -> None:
    one = v1_table(v1_meta(slices=(extents((0, 1)),)))
    other = v1_table(v1_meta(shape=(3,), slices=(extents((1, 1)),)))
    with pytest.raises(
        CorruptError, match=r"'t': got float32\[3\] in this file, want float32\[2\]"
    ) as caught:
        open_tables(one, other)["t"]
    assert caught.value.file == "nowhere/ckpt-00001-of-00002"


def test_the_v1_writer_of_these_tests_writes_what_reads() -> None:
    ckpt = open_tables(v1_table())
    assert {name: array.tolist() for name, array in ckpt.items()} == {"t": [1, 2], "u": [1, 2]}
    assert ckpt.verify().problems == []


# --- time and memory -------------------------------------------------------------------------------------

MANY = 100_000
SECONDS = 60
"""Generous: each of these takes one to a few seconds here, and hours where the work is quadratic."""


def descriptor(shape: tuple[int, ...], parts: list[bytes]) -> ckptfmt.Checkpoint:
    return with_entry(encode_entry(shape=shape, slices=parts))


def test_many_slices_that_are_not_there_are_refused_in_time() -> None:
    start = time.monotonic()
    ckpt = descriptor((MANY,), [extents((i, 1)) for i in range(MANY)])
    with pytest.raises(CorruptError, match="slice 0,1 is not in the index"):
        ckpt["bad"]
    assert len(ckpt.entries["bad"].slices) == MANY
    assert not ckpt.verify().ok
    assert time.monotonic() - start < SECONDS


def test_many_slices_with_a_gap_are_refused_in_time() -> None:
    start = time.monotonic()
    parts = [extents((i, 1)) for i in range(MANY) if i != MANY // 2]
    with pytest.raises(CorruptError, match=f"first at {MANY // 2},1"):
        descriptor((MANY,), parts)["bad"]
    assert time.monotonic() - start < SECONDS


def test_many_slices_that_meet_in_every_dimension_are_compared_in_time() -> None:
    start = time.monotonic()
    # Rows of one half and columns of the other: along each dimension half of them share a position.
    half = MANY // 2
    parts = [extents((i, 1), (0, 1)) for i in range(half)] + [extents((half, 1), (i, 1)) for i in range(half)]
    with pytest.raises(LimitError, match="pairs to compare of 100000 slices"):
        descriptor((half + 1, half), parts)["bad"]
    # The same once is an overlap.
    with pytest.raises(CorruptError, match="overlap"):
        descriptor((5, 5), [extents((0, 5), (0, 5))] * MANY)["bad"]
    assert time.monotonic() - start < SECONDS


def test_many_slices_that_are_there_are_read_in_time() -> None:
    start = time.monotonic()
    count = 20_000
    values = np.arange(count, dtype=np.float32)
    parts = [TensorSlice(((i, 1),)) for i in range(count)]
    items = {
        encode_slice_key(b"t", part): encode_entry(
            shape=(1,), offset=4 * i, size=4, crc=crc32c(values[i : i + 1].tobytes())
        )
        for i, part in enumerate(parts)
    }
    items[b"t"] = encode_entry(shape=(count,), slices=[extents(*part.extents) for part in parts])
    ckpt = open_items(*sorted(items.items()), data=values.tobytes())
    np.testing.assert_array_equal(ckpt["t"], values)
    assert time.monotonic() - start < SECONDS


def test_a_constant_in_a_variant_cannot_grow_out_of_proportion() -> None:
    def holding(values: bytes) -> ckptfmt.Checkpoint:
        tensor = encode_field(1, 1) + encode_field(2, encode_shape((1 << 24,))) + encode_field(5, values)
        content, crc = packed_variants(encode_field(1, b"T") + encode_field(3, tensor))
        return objects(21, content, crc=crc)

    # Two values, the last repeated: 30 stored bytes that ask for 64 MiB.
    with pytest.raises(LimitError, match=r"asks for 67108864, the limit is \d{4}$"):
        holding(np.array([1, 2], "<f4").tobytes())["bad"]
    # One value repeated takes no memory.
    (tensor,) = holding(np.array([1], "<f4").tobytes())["bad"].item().tensors
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
        ckpt = with_entry(field * 200_000 + GOOD)
        try:
            assert ckpt["bad"].size
        except CorruptError as error:
            assert "dimensions" in str(error)  # noqa: PT017
    assert time.monotonic() - start < SECONDS


# Each claims far more than the limit of memory below.
CLAIMS = """
import sys
from tests.hostile import test_hostile as t

big = 2**33
whole = t.extents((0, t.FULL))
key = t.encode_slice_key(b"bad", t.TensorSlice(((0, t.FULL),)))
claims = {
    "shape": lambda: t.with_entry(t.encode_entry(shape=(big,), size=4 * big)),
    "shape of a slice": lambda: t.open_items(
        (key, t.encode_entry(shape=(big,), size=4 * big)),
        (b"bad", t.encode_entry(shape=(big,), slices=[whole])),
    ),
    "shape of two slices": lambda: t.open_items(
        *sorted([
            (t.encode_slice_key(b"bad", t.TensorSlice(((0, 2), (0, 2)))), t.GOOD),
            (t.encode_slice_key(b"bad", t.TensorSlice(((2, big), (0, 2)))),
             t.encode_entry(shape=(big, 2), size=8 * big)),
        ]),
        (b"bad", t.encode_entry(
            shape=(big + 2, 2), slices=[t.extents((0, 2), (0, 2)), t.extents((2, big), (0, 2))]
        )),
    ),
    "strings": lambda: t.objects(7, t.packed_strings([2**62], b"")),
    "number of strings": lambda: t.objects(7, t.packed_strings([1], b"a"), shape=(big,)),
    "number of variants": lambda: t.objects(21, t.packed_variants(b"")[0], shape=(big,)),
    "snappy": lambda: t.open_bundle(
        t.encode_blocks([t.RawBlock(b"z", t.encode_varint(2**32 - 1) + bytes(100), 1)])
    ),
    "V1 shape": lambda: t.open_tables(t.v1_table(t.v1_meta(dtype=1, shape=(big,)))),
    "V1 slices": lambda: t.open_tables(
        t.v1_table(t.v1_meta(dtype=1, shape=(big,), slices=(t.extents((0, 2)), t.extents((2, big - 2)))))
    ),
}
def named(ckpt):
    return ckpt["bad" if ckpt.format == "v2" else "t"]

def every_other(ckpt):
    reader = ckpt.slice("bad" if ckpt.format == "v2" else "t")
    return reader[::2] if reader.shape else reader[...]

for name, make in claims.items():
    for read in (named, every_other, lambda ckpt: ckpt.read()):
        try:
            read(make())
        except t.CkptfmtError as error:
            pass
        else:
            sys.exit(f"{name}: read")
    try:
        report = make().verify()
    except t.CkptfmtError:
        continue
    assert not report.ok, name
print("refused", len(claims))
"""


def test_claims_take_no_memory() -> None:
    pytest.importorskip("resource", reason="no limit of memory can be set on this system")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1536 << 20, 1536 << 20))\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + CLAIMS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("refused")


# 64 MB are left when the files are opened, and each of these is more: decompressed, as names, as entries.
BOMBS = """
import resource, sys
import ckptfmt

def outcome(read):
    try:
        return read()
    except ckptfmt.errors.CkptfmtError as error:
        return error

paths = {kind: f"{sys.argv[1]}/{kind}" for kind in ("block", "names", "entries", "v1")}
checkpoints = {kind: ckptfmt.open(path) for kind, path in paths.items()}
with open("/proc/self/statm") as file:
    limit = int(file.read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

for kind, ckpt in checkpoints.items():
    for _ in range(2):
        found = outcome(ckpt.verify)
        if isinstance(found, ckptfmt.errors.LimitError):
            message = str(found)
        else:
            assert not found.ok, (kind, found)
            message = found.problems[0].message
        assert paths[kind] in message, (kind, message)
    print(kind, type(found).__name__, message)
for read in (lambda: list(checkpoints["block"]), lambda: checkpoints["block"]["y"]):
    error = outcome(read)
    assert isinstance(error, ckptfmt.errors.LimitError), error
    assert paths["block"] in str(error), error
"""


def test_more_than_there_is_memory_for_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="no limit of memory can be set on this system")
    if not Path("/proc/self/statm").exists():
        pytest.skip("how much memory a process has is not told on this system")
    # 64 zeros in 3 bytes: one byte as it is, and copies from one byte back.
    copies = (128 << 20) // 64
    zeros = encode_varint(1 + 64 * copies) + b"\0\0" + b"\xfe\1\0" * copies
    header = RawBlock(b"\0", encode_block([(b"", HEADER)]))
    long = [(b"%06d" % i + b"n" * 2_000, GOOD) for i in range(60_000)]
    many = [(b"%07d" % i, GOOD) for i in range(400_000)]
    metas = encode_field(1, encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, 1)) * 10
    files = {
        "block.index": encode_blocks([header, RawBlock(b"z", zeros, 1)]),
        "names.index": encode_table([(b"", HEADER), *long], compression="snappy"),
        "entries.index": encode_table([(b"", HEADER), *many], compression="snappy"),
        "v1": encode_blocks(
            [RawBlock(b"\0", encode_block([(b"", encode_field(1, metas))])), RawBlock(b"z", zeros, 1)]
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["block", "Report"],
        ["names", "LimitError"],
        ["entries", "LimitError"],
        ["v1", "Report"],
    ]
