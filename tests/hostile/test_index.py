"""Hostile indexes: refused at once, with their file and the reason."""

from __future__ import annotations

import pytest

from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    CorruptError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.table.format import MAGIC_BYTES
from tests.support.bundles import GOOD, GOOD_DATA, encode_index, open_entry
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    append_block,
    encode_block,
    encode_blocks,
    encode_bundle_index,
    encode_footer,
    encode_handle,
    encode_header,
    encode_table,
)


def index_with_handle(handle: bytes) -> bytes:
    """Return a table whose index block holds this block handle."""
    file = bytearray()
    metaindex = append_block(file, encode_block([]))
    index = append_block(file, encode_block([(b"z", handle)], 1))
    return bytes(file) + encode_footer(metaindex, index)


HUGE_HANDLE = encode_handle(2**63, 8)
BAD_INDEXES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "no bytes": (b"", TruncatedError, "too short to be a table"),
    "text": (b"model_checkpoint_path: 'x'\n" * 5, CorruptError, "not a table: got magic"),
    "index handle outside the file": (
        encode_footer(b"\x00\x00", encode_handle(100, 8)),
        TruncatedError,
        "outside the",
    ),
    "index handle of 2**63": (
        encode_footer(b"\x00\x00", HUGE_HANDLE),
        TruncatedError,
        "block outside the file",
    ),
    "index handle of 2**64 - 1": (
        encode_footer(b"\x00\x00", b"\xff" * 9 + b"\x01\x08"),
        TruncatedError,
        "outside the",
    ),
    "index handle of 11 bytes": (
        encode_footer(b"\x00\x00", b"\xff" * 10 + b"\x01\x08"),
        CorruptError,
        "longer than 10",
    ),
    "footer full of 0x80": (b"\x80" * 40 + MAGIC_BYTES, CorruptError, "longer than 10 bytes"),
    "block handle outside the file": (
        index_with_handle(encode_handle(10_000, 8)),
        TruncatedError,
        "outside the file",
    ),
    "block handle of 2**63": (index_with_handle(HUGE_HANDLE), TruncatedError, "outside the file"),
    "block handle of size 2**64 - 1": (
        index_with_handle(encode_handle(0, 2**64 - 1)),
        TruncatedError,
        "got 89 bytes, want 18446744073709551620",
    ),
    "empty block handle": (index_with_handle(b""), TruncatedError, "varint"),
    "no blocks": (encode_blocks([]), CorruptError, "no bundle header"),
    "2**31 restart points": (encode_index(b"", 0, 2**31), CorruptError, "claims 2147483648 restart points"),
    "restart points that do not fit": (encode_index(b"", 0, 6), CorruptError, "claims 6 restart points"),
    "block of 3 bytes": (
        encode_blocks([RawBlock(b"z", bytes(3))]),
        TruncatedError,
        "block: got 3 bytes, want 4",
    ),
    "shared beyond the previous key": (
        encode_index(b"\x05\x01\x00x", 0, 1),
        CorruptError,
        "shares 5 bytes with a key",
    ),
    "value past the block": (encode_index(b"\x00\x01\x7fx", 0, 1), CorruptError, "entry outside its block"),
    "varint of 11 bytes": (
        encode_index(b"\x80" * 10 + b"\x01\x01\x00x", 0, 1),
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
    "header that is not a message": (encode_table([(b"", b"\x0f")]), CorruptError, "wire type 7"),
    "header cut short": (encode_table([(b"", HEADER[:-1])]), TruncatedError, "field 3"),
    "endianness 2": (
        encode_table([(b"", b"\x08\x01\x10\x02")]),
        CorruptError,
        "endianness of the bundle: got 2",
    ),
    "min_consumer 2": (
        encode_table([(b"", encode_header(version=b"\x08\x02\x10\x02"))]),
        UnsupportedError,
        "needs readers of version 2 or later, this is 1",
    ),
    "bad_consumers 1": (
        encode_table([(b"", encode_header(version=b"\x08\x01\x1a\x01\x01"))]),
        UnsupportedError,
        "excludes readers of version 1",
    ),
    "version that is not a message": (
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


def test_a_bad_restart_point_is_refused_when_it_is_used() -> None:
    entries = b"".join(b"\x00\x01" + bytes([len(GOOD)]) + key + GOOD for key in (b"a", b"b"))
    for restart in (10_000, 2**32 - 1, 5):
        index = encode_index(entries, 0, restart, 2)
        with pytest.raises(CorruptError):
            open_bundle(index, GOOD_DATA)["b"]


def test_a_bad_restart_point_is_found_by_verify_and_by_listing() -> None:
    entries = b"".join(b"\x00\x01" + bytes([len(GOOD)]) + key + GOOD for key in (b"a", b"b"))
    second = 3 + len(HEADER)
    third = second + 4 + len(GOOD)
    good = open_bundle(encode_index(entries, 0, second, third, 3), GOOD_DATA)
    assert good.verify().ok
    # Opening looks up the header, for which the last restart point is not needed.
    for last in (10_000, third + 1, second, 0):
        ckpt = open_bundle(encode_index(entries, 0, second, last, 3), GOOD_DATA)
        with pytest.raises(CorruptError, match="restart point 2 at"):
            list(ckpt)
        errors = [each for each in ckpt.verify().problems if each.severity == "error"]
        assert [each.kind for each in errors] == ["block"], last


@pytest.mark.parametrize("separators", [(b"a", b"a"), (b"b", b"c"), (b"", b"c")], ids=str)
def test_names_that_look_ups_would_not_find_are_not_listed(separators: tuple[bytes, bytes]) -> None:
    blocks = [encode_block([(b"", HEADER), (b"a", GOOD)]), encode_block([(b"b", GOOD)])]
    assert list(open_bundle(encode_blocks(map(RawBlock, (b"a", b"b"), blocks)), GOOD_DATA)) == ["a", "b"]
    index = encode_blocks(map(RawBlock, separators, blocks))
    try:
        ckpt = open_bundle(index, GOOD_DATA)
    except CorruptError:
        return
    with pytest.raises(CorruptError, match=r"separator|out of order"):
        list(ckpt)
    assert "block" in [problem.kind for problem in ckpt.verify().problems]


@pytest.mark.parametrize("num_shards", [0, -1, 2, 2**31 - 1, 2**31, 2**62], ids=str)
def test_a_wrong_number_of_shards_takes_no_time(num_shards: int) -> None:
    index = encode_bundle_index({"a": GOOD}, encode_header(num_shards=num_shards))
    ckpt = open_bundle(index, GOOD_DATA)
    assert list(ckpt) == ["a"]
    assert ckpt.entries["a"].shape == (2, 2)
    with pytest.raises(CheckpointNotFoundError, match=r"no such file: .*shard 0 of .*which holds tensor 'a'"):
        ckpt["a"]
    report = ckpt.verify()
    # The only data file belongs to another number of shards.
    assert [problem.kind for problem in report.problems] == ["missing", "stale"]


def test_a_hostile_name_is_not_found() -> None:
    ckpt = open_entry(GOOD)
    for name in ("", "\x00", "\udc80", "\ud800", "x" * 100_000, "\x00bad\x00\x01\x00"):
        assert name not in ckpt
        with pytest.raises(TensorNotFoundError):
            ckpt[name]
