"""Tables: one key looked up, all keys listed, and how little is read for it."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ckptfmt.errors import ChecksumError, CorruptError, LimitError
from ckptfmt.limits import Limits
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE, TRAILER_SIZE
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    append_block,
    compressed,
    encode_block,
    encode_blocks,
    encode_entry,
    encode_footer,
    encode_table,
    separator,
)

NAMES = 100_000


@pytest.fixture(scope="module")
def large() -> bytes:
    """An index of 100,000 names, of several blocks, as TensorFlow's writer cuts them."""
    items = [(b"", HEADER)]
    items += [
        (b"layer_%06d/kernel" % i, encode_entry(shape=(1,), offset=4 * i, size=4)) for i in range(NAMES)
    ]
    return encode_table(items)


@pytest.fixture
def file(large: bytes) -> MemoryFile:
    return MemoryFile("large", large)


def test_opening_reads_the_footer_only(file: MemoryFile) -> None:
    Table(file)
    assert file.reads == [(file.size - FOOTER_SIZE, FOOTER_SIZE)]


def test_looking_one_name_up_reads_footer_index_block_and_one_data_block(file: MemoryFile) -> None:
    table = Table(file)
    assert table.get(b"layer_054321/kernel") is not None
    footer, index, data = file.reads
    assert footer == (file.size - FOOTER_SIZE, FOOTER_SIZE)
    assert index == (table.footer.index.offset, table.footer.index.size + TRAILER_SIZE)
    assert data in [(handle.offset, handle.size + TRAILER_SIZE) for handle in table.handles]
    assert len(table.handles) > 8
    assert table.get(b"layer_054322/kernel") is not None
    assert table.get(b"layer_054322/kerne") is None
    assert len(file.reads) == 3


def test_looking_one_tensor_up_reads_one_block_beyond_that_of_the_header(large: bytes) -> None:
    ckpt = open_bundle(large, bytes(4 * NAMES))
    index = ckpt._store.table.file
    assert isinstance(index, MemoryFile)
    # The footer, the index block, and the block of the header.
    assert len(index.reads) == 3
    assert ckpt.entries["layer_099999/kernel"].offset == 4 * 99999
    assert len(index.reads) == 4
    assert "layer_100000/kernel" not in ckpt
    assert sum(size for _, size in index.reads) < len(large) / 4


def test_listing_reads_each_block_once(file: MemoryFile) -> None:
    table = Table(file)
    assert sum(1 for _ in table.items()) == NAMES + 1
    assert len(file.reads) == len(set(file.reads)) == 2 + len(table.handles)


def test_listing_all_tensors_reads_each_block_once_more_than_opening(large: bytes) -> None:
    ckpt = open_bundle(large)
    index = ckpt._store.table.file
    assert isinstance(index, MemoryFile)
    opening = len(index.reads)
    assert len(ckpt) == len(list(ckpt)) == NAMES
    assert all(entry.shape == (1,) for entry in ckpt.entries.values())
    assert "layer_000001/kernel" in ckpt
    assert len(index.reads) == opening + len(ckpt._store.table.handles)


def test_keys_before_between_and_after_the_blocks_are_missing(file: MemoryFile) -> None:
    table = Table(file)
    assert table.get(b"\x00") is None
    assert table.get(b"m") is None
    assert table.get(b"\xff" * 30) is None
    for key in (b"layer_000000/kernel", b"layer_099999/kernel"):
        assert table.get(key) is not None
        assert table.get(key + b"\x00") is None
    # Separators are not keys.
    blocks = [next(iter(table.block(handle).items()))[0] for handle in table.handles]
    for last, following in zip(table._index[0], blocks[1:], strict=False):
        assert last < following
        assert (table.get(last) is not None) == (last in dict(table.items()))


def test_blocks_looked_up_lately_are_kept_but_not_all(
    file: MemoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(file)
    room = 8 * max(handle.size for handle in table.handles)
    monkeypatch.setattr("ckptfmt.table.table.KEPT_BYTES", room)
    assert len(table.handles) > 8
    for i in range(0, NAMES, 500):
        assert table.get(b"layer_%06d/kernel" % i) is not None
    assert len(file.reads) == 2 + len(table.handles)
    assert 0 < sum(map(len, table._kept.values())) <= room


def test_many_threads_look_up_the_same(file: MemoryFile) -> None:
    table = Table(file)
    keys = [b"layer_%06d/kernel" % (i * 7919 % NAMES) for i in range(3000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(table.get, keys))
    expected = dict(Table(file).items())
    assert found == [expected[key] for key in keys]


@pytest.mark.parametrize(
    ("last", "following", "expected"),
    [
        (b"abc1", b"abd", b"abc1"),
        (b"abc1", b"abz", b"abd"),
        (b"ab", b"abz", b"ab"),
        (b"z5", None, b"{"),
        (b"w", None, b"x"),
        (b"\xff\xff", None, b"\xff\xff"),
    ],
    ids=["next byte", "room between", "prefix", "end", "end of one byte", "no byte can grow"],
)
def test_separators_are_leveldbs(last: bytes, following: bytes | None, expected: bytes) -> None:
    # FindShortestSeparator and FindShortSuccessor of LevelDB; it is the writer of these tests that is tested.
    assert separator(last, following) == expected


def test_a_damaged_block_spoils_only_its_own_keys(large: bytes) -> None:
    handle = Table(MemoryFile("t", large)).handles[3]
    damaged = bytearray(large)
    damaged[handle.offset + 100] ^= 0x40
    table = Table(MemoryFile("t", bytes(damaged)))
    assert table.get(b"layer_000000/kernel") is not None
    with pytest.raises(ChecksumError) as caught:
        list(table.items())
    assert (caught.value.file, caught.value.offset) == ("t", handle.offset)


def test_blocks_out_of_order_are_an_error() -> None:
    blocks = [
        RawBlock(b"b", encode_block([(b"b", b"2")])),
        RawBlock(b"a", encode_block([(b"a", b"1")])),
    ]
    with pytest.raises(CorruptError, match="keys out of order") as caught:
        list(Table(MemoryFile("t", encode_blocks(blocks))).items())
    assert caught.value.file == "t"
    blocks = [RawBlock(b"c", encode_block([(b"b", b"2")])), RawBlock(b"d", encode_block([(b"a", b"1")]))]
    with pytest.raises(CorruptError, match="keys out of order: b'a' after b'b'") as caught:
        list(Table(MemoryFile("t", encode_blocks(blocks))).items())
    assert caught.value.offset == len(encode_block([(b"b", b"2")])) + TRAILER_SIZE


def test_a_table_without_blocks_is_empty() -> None:
    table = Table(MemoryFile("t", encode_blocks([])))
    assert list(table.items()) == []
    assert table.get(b"") is None


def test_an_index_entry_without_a_handle_is_an_error() -> None:
    file = bytearray()
    metaindex = append_block(file, encode_block([]))
    index = append_block(file, encode_block([(b"z", b"\x80")], 1))
    with pytest.raises(CorruptError, match="varint") as caught:
        Table(MemoryFile("t", bytes(file) + encode_footer(metaindex, index))).get(b"a")
    assert caught.value.file == "t"


def test_a_block_that_breaks_off_is_always_read_up_to_the_break() -> None:
    items = [(b"k%04d" % i, b"v") for i in range(2000)]
    table = Table(MemoryFile("t", encode_table([*items[:1990], (b"a", b"v"), *items[1990:]])))
    for _ in range(3):
        for key, value in items[:1900:7]:
            assert table.get(key) == value
    with pytest.raises(CorruptError, match="out of order"):
        list(table.items())


# --- separators, which look-ups go by ----------------------------------------------------------------------


def table_of(*blocks: tuple[bytes, list[bytes]]) -> Table:
    """Return a table of blocks, each with its separator and its keys."""
    contents = [RawBlock(each, encode_block([(key, b"v") for key in keys])) for each, keys in blocks]
    return Table(MemoryFile("t", encode_blocks(contents)))


SEPARATED_WRONGLY = {
    "before the keys of the only block": [(b"", [b"", b"w"])],
    "before the last key of its block": [(b"b", [b"a", b"c"]), (b"z", [b"x"])],
    "before all keys of its block": [(b"a", [b"b", b"c"]), (b"z", [b"x"])],
    "before those of the last block": [(b"b", [b"a"]), (b"c", [b"d", b"e"])],
    "after the first key of the next block": [(b"m", [b"a", b"b"]), (b"z", [b"c", b"x"])],
    "after all keys of the next block": [(b"m", [b"a"]), (b"z", [b"c", b"d"])],
    "the first key of the next block": [(b"c", [b"a"]), (b"z", [b"c", b"d"])],
    "before those of the block before": [(b"d", [b"b", b"d", b"f"]), (b"f", [b"a", b"e"])],
    "two in a row": [(b"a", [b"b"]), (b"ab", [b"c"]), (b"z", [b"d"])],
    "a block without keys": [(b"b", [b"a"]), (b"c", []), (b"d", [b"bb", b"bc"])],
}


@pytest.mark.parametrize("blocks", SEPARATED_WRONGLY.values(), ids=SEPARATED_WRONGLY)
def test_look_ups_deny_no_key_that_is_listed(blocks: list[tuple[bytes, list[bytes]]]) -> None:
    table = table_of(*blocks)
    for listed in (lambda: list(table.items()), lambda: list(table.rows())):
        with pytest.raises(CorruptError):
            listed()
    for key in (key for _, keys in blocks for key in keys):
        for fresh in (table, table_of(*blocks)):
            with suppress(CorruptError):
                assert fresh.get(key) == b"v"


def test_keys_in_the_wrong_order_across_blocks_are_an_error() -> None:
    table = table_of((b"c", [b"c"]), (b"d", [b"a", b"b"]))
    for listed in (lambda: list(table.items()), lambda: list(table.rows())):
        with pytest.raises(CorruptError, match="keys out of order"):
            listed()


def test_data_blocks_follow_one_another() -> None:
    file = bytearray()
    first = append_block(file, encode_block([(b"a", b"v")]))
    second = append_block(file, encode_block([(b"b", b"v")]))
    metaindex = append_block(file, encode_block([]))
    for handles in ([first, first], [second, first], [first, second, second]):
        root = encode_block([(b"%d" % i, handle) for i, handle in enumerate(handles)], restart_interval=1)
        content = bytearray(file)
        at = append_block(content, root)
        table = Table(MemoryFile("t", bytes(content) + encode_footer(metaindex, at)))
        with pytest.raises(CorruptError, match="data blocks overlap"):
            table.get(b"a")
        with pytest.raises(CorruptError, match="data blocks overlap"):
            list(table.items())


# --- memory for keys -------------------------------------------------------------------------------------


def growing_keys(count: int) -> bytes:
    """Return a table whose block has keys that grow by a byte each, compressed to very little."""
    items = [(b"k" * (i + 1), b"") for i in range(count)]
    contents = encode_block(items, restart_interval=count)
    return encode_blocks([RawBlock(b"l", *compressed(contents, "snappy"))])


def test_keys_take_memory_in_proportion_to_the_file() -> None:
    # Keys of 600 letters at most, each in 4 bytes, which snappy makes fewer.
    runs = [[(b"%04x" % run + b"z" * i, b"") for i in range(480)] for run in range(2_000)]
    contents = encode_block([item for run in runs for item in run], restart_interval=10**9)
    bomb = encode_blocks([RawBlock(b"zzzz", *compressed(contents, "snappy"))])
    limits = Limits(free_bytes=1 << 20)
    table = Table(MemoryFile("bomb", bomb), limits=limits)
    limit = 128 * len(bomb)
    assert limits.memory(len(bomb)) == limit
    for listed in (lambda: list(table.items()), lambda: list(table.rows()), lambda: table.get(b"zz")):
        tracemalloc.start()
        with pytest.raises(LimitError, match=rf"bomb.*memory for keys: [0-9]+ exceeds the limit of {limit}"):
            listed()
        assert tracemalloc.get_traced_memory()[1] < 1.5 * limit + 2 * len(contents)
        tracemalloc.stop()
    assert len(list(Table(MemoryFile("small", growing_keys(200))).items())) == 200
