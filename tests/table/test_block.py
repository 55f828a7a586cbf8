"""Blocks: entries, shared prefixes and restart points, by LevelDB's description of its format."""

from __future__ import annotations

import contextlib

import pytest

from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.table.block import Block
from tests.support.table_writer import encode_block, encode_varint


def entry(shared: int, suffix: bytes, value: bytes, value_len: int | None = None) -> bytes:
    size = len(value) if value_len is None else value_len
    return encode_varint(shared) + encode_varint(len(suffix)) + encode_varint(size) + suffix + value


def block(entries: bytes, *restarts: int, count: int | None = None) -> Block:
    numbers = [*restarts, len(restarts) if count is None else count]
    return Block(entries + b"".join(n.to_bytes(4, "little") for n in numbers))


def test_keys_share_prefixes() -> None:
    entries = (
        entry(0, b"decent", b"v1") + entry(6, b"ly", b"") + entry(3, b"k", b"v3") + entry(1, b"oor", b"v4")
    )
    expected = [(b"decent", b"v1"), (b"decently", b""), (b"deck", b"v3"), (b"door", b"v4")]
    assert list(block(entries, 0).items()) == expected


def test_a_shared_prefix_need_not_be_the_longest() -> None:
    found = block(entry(0, b"abc", b"1") + entry(0, b"abd", b"2") + entry(1, b"be", b"3"), 0)
    assert list(found.items()) == [(b"abc", b"1"), (b"abd", b"2"), (b"abe", b"3")]


def test_a_block_without_entries_is_empty() -> None:
    # Every metaindex block that TensorFlow writes.
    empty = Block(bytes.fromhex("0000000001000000"))
    assert list(empty.items()) == []
    assert empty.get(b"a") is None
    assert list(Block(bytes(4)).items()) == []
    assert Block(bytes(4)).get(b"") is None


def test_lengths_of_several_bytes() -> None:
    items = [(b"k" * 300, b"v" * 70_000), (b"k" * 300 + b"l" * 200, b"")]
    assert list(Block(encode_block(items)).items()) == items
    assert list(Block(memoryview(encode_block(items))).items()) == items


@pytest.mark.parametrize("interval", [1, 2, 16, 1000])
def test_every_key_is_found_by_its_restart_point(interval: int) -> None:
    items = [(b"key/%05d" % i, b"%d" % i) for i in range(0, 400, 2)]
    found = Block(encode_block(items, interval))
    for key, value in items:
        assert found.get(key) == value
    for i in range(-1, 401, 2):
        assert found.get(b"key/%05d" % i) is None
    assert found.get(b"") is None
    assert found.get(b"z") is None


def test_a_look_up_decodes_from_the_restart_point_only() -> None:
    # Bytes before the restart point are not entries, and are not read.
    junk = b"\xff" * 50
    entries = entry(0, b"a", b"1") + junk
    found = block(entries + entry(0, b"m", b"2") + entry(1, b"n", b"3"), 0, len(entries))
    assert found.get(b"mn") == b"3"
    # Whether a key is absent, all entries tell.
    with pytest.raises(CorruptError):
        found.get(b"mm")
    # A key that is itself at a restart point is found from the one before, as LevelDB does it.
    with pytest.raises(CorruptError):
        found.get(b"m")


def test_a_look_up_compares_a_logarithm_of_the_restart_points(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [(b"%06d" % i, b"") for i in range(4096)]
    found = Block(encode_block(items, restart_interval=1))
    compared = []
    original = Block._restart_key
    monkeypatch.setattr(Block, "_restart_key", lambda self, i: compared.append(i) or original(self, i))
    assert found.get(b"003000") == b""
    assert 0 < len(compared) <= 13


BAD_BLOCKS = {
    "no bytes": (b"", TruncatedError, "block: got 0 bytes, want 4", 0),
    "3 bytes": (bytes(3), TruncatedError, "block: got 3 bytes, want 4", 0),
    "more restarts than fit": (
        bytes.fromhex("00000000 02000000"),
        CorruptError,
        "claims 2 restart points",
        4,
    ),
    "2**31 restarts": (bytes.fromhex("00000000 00000080"), CorruptError, "claims 2147483648 restart", 4),
    "2**32 - 1 restarts": (bytes.fromhex("00000000 ffffffff"), CorruptError, "claims 4294967295 restart", 4),
}


@pytest.mark.parametrize(("data", "error", "message", "offset"), BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_bad_blocks_are_refused(data: bytes, error: type[CorruptError], message: str, offset: int) -> None:
    with pytest.raises(error, match=message) as caught:
        Block(data)
    assert caught.value.offset == offset


FIRST = entry(0, b"abc", b"1")
BAD_ENTRIES = {
    "shares more than the previous key": (entry(4, b"d", b""), "shares 4 bytes with a key of 3"),
    "shares 2**40": (entry(2**40, b"d", b""), "shares 1099511627776 bytes"),
    "value past the block": (entry(0, b"d", b"", value_len=100), "entry outside its block"),
    "value of 2**63": (entry(0, b"d", b"", value_len=2**63), "entry outside its block"),
    "key past the block": (b"\x00\x7f\x00d", "entry outside its block"),
    "varint of 11 bytes": (b"\x80" * 10 + b"\x01\x01\x01d", "varint longer than 10 bytes"),
    "varint of 65 bits": (b"\xff" * 9 + b"\x02\x01\x01d", "exceeds 64 bits"),
    "one byte": (b"\x00", "entry outside its block"),
    "the same key again": (entry(3, b"", b"2"), "keys out of order: b'abc' after b'abc'"),
    "a lesser key": (entry(0, b"abb", b"2"), "keys out of order: b'abb' after b'abc'"),
    "a prefix of the key before": (entry(2, b"", b"2"), "keys out of order: b'ab' after b'abc'"),
}


@pytest.mark.parametrize(("entries", "message"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
@pytest.mark.parametrize("view", [bytes, memoryview], ids=["bytes", "view"])
def test_bad_entries_are_refused_with_their_place(entries: bytes, message: str, view) -> None:
    restarts = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    found = Block(view(FIRST + entries + restarts))
    with pytest.raises(CorruptError, match=message) as caught:
        list(found.items())
    assert caught.value.offset is not None
    assert len(FIRST) <= caught.value.offset <= len(FIRST + entries)


def test_the_first_key_follows_the_block_before() -> None:
    found = block(FIRST, 0)
    assert list(found.items(after=b"abb")) == [(b"abc", b"1")]
    for last in (b"abc", b"abd"):
        with pytest.raises(CorruptError, match="keys out of order"):
            list(found.items(after=last))


BAD_RESTARTS = {
    "after the entries": 10_000,
    "2**32 - 1": 2**32 - 1,
    "amid an entry with a shared key": len(FIRST),
    "at no entry": len(FIRST) + 1,
    "at the end of the last entry": len(FIRST) + len(entry(2, b"d", b"\xff" * 20)),
}


@pytest.mark.parametrize("restart", BAD_RESTARTS.values(), ids=BAD_RESTARTS)
def test_bad_restart_points_are_refused_by_look_ups_and_listings(restart: int) -> None:
    entries = FIRST + entry(2, b"d", b"\xff" * 20)
    with pytest.raises(CorruptError):
        block(entries, 0, restart).get(b"abz")
    for listed in (lambda found: list(found.items()), lambda found: found.rows()):
        with pytest.raises(CorruptError, match=f"restart point 1 at {restart}: not the next entry"):
            listed(block(entries, 0, restart))


@pytest.mark.parametrize("count", [3, 12])
def test_no_key_is_absent_because_a_restart_point_hides_it(count: int) -> None:
    # The second restart point is at the last entry: a look-up of the keys between begins too late.
    entries = [entry(0, b"%02d" % i, b"v") for i in range(count)]
    starts = [sum(map(len, entries[:i])) for i in range(count)]
    for restarts in ([0, starts[-1], starts[-1]], [0, starts[2], starts[1]], [starts[1], starts[2]]):
        found = block(b"".join(entries), *restarts)
        with pytest.raises(CorruptError, match="restart point"):
            list(found.items())
        for i in range(count):
            with contextlib.suppress(CorruptError):
                assert found.get(b"%02d" % i) == b"v"
        with pytest.raises(CorruptError, match="restart point"):
            found.get(b"00x")


def test_a_block_without_restart_points_is_read_from_its_start() -> None:
    found = block(FIRST)
    assert found.get(b"abc") == b"1"
    assert found.get(b"abd") is None


def test_without_restart_points_every_key_is_found_in_time() -> None:
    # Walked from the start for each, these would take hours, not a moment.
    items = [(f"key {i:06}".encode(), str(i).encode()) for i in range(100_000)]
    block = Block(encode_block(items, restart_interval=len(items)))
    assert all(block.get(key) == value for key, value in items)
    assert block.get(b"key 0") is None


def test_keys_that_grow_out_of_all_proportion_are_refused() -> None:
    # Each key shares all of the one before: 100 kB of entries claim 200 MB of keys.
    entries = b"".join(encode_varint(i) + b"\x01\x00" + b"a" for i in range(20_000))
    block = Block(entries + bytes(4) + (1).to_bytes(4, "little"))
    with pytest.raises(CorruptError, match="keys take more than 64 times the"):
        list(block.items())
    with pytest.raises(CorruptError, match="keys take more than 64 times the"):
        block.get(b"b")
