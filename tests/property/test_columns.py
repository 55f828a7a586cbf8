"""Laws of columns: many entries decoded at once are what they are one by one, errors included."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.checkpoint.columns import Columns
from ckptfmt.checkpoint.entry import decode_entry, name_of
from ckptfmt.checkpoint.slices import FULL, TensorSlice, encode_slice_key
from ckptfmt.errors import CkptfmtError, CorruptError, TensorNotFoundError
from ckptfmt.table import Table
from ckptfmt.table.block import Block
from tests.support.bundles import encode_slice, encode_sliced
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.table_writer import (
    HEADER,
    encode_block,
    encode_entry,
    encode_field,
    encode_table,
)

T = TypeVar("T")


def number(rng: random.Random, bits: int) -> int:
    """Return a number of at most so many bits: often zero, a small one, or the largest of some width."""
    found = rng.getrandbits(rng.randint(0, bits))
    return rng.choice([0, found, found, 2 ** rng.randint(0, bits) - 1])


def make_usual(rng: random.Random) -> bytes:
    """Return an entry as TensorFlow writes it, with a size that need not be that of its shape."""
    return encode_entry(
        dtype=rng.choice([1, 2, 3, 7, 9, 14, 23]),
        shape=[number(rng, 9) for _ in range(rng.randint(0, 4))],
        shard=number(rng, 9),
        offset=number(rng, 63),
        size=number(rng, 63),
        crc=number(rng, 32),
    )


MAKE_UNUSUAL: list[Callable[[random.Random], bytes]] = [
    lambda rng: encode_entry(dtype=1, offset=number(rng, 63)),  # no checksum
    lambda rng: encode_entry(dtype=1, crc=number(rng, 32), slices=[b"", b""]),
    lambda rng: make_usual(rng) + make_usual(rng),  # every field twice
    lambda rng: encode_field(5, number(rng, 63)) + make_usual(rng),  # out of order
    lambda rng: make_usual(rng) + encode_field(99, b"?"),
    lambda rng: encode_entry(offset=2**64 - 1, crc=number(rng, 32)),  # negative
    lambda rng: encode_entry(shape=[2**62, 4], crc=number(rng, 32)),  # no such shape
    lambda rng: encode_entry(dtype=18, shape=[2**62], slices=[b"\n\x00"]),
    lambda rng: rng.randbytes(rng.randint(0, 20)),
]

# An entry is one draw, of a seed: an example holds up to 60 entries, and drawing each of their numbers would
# take longer than all that is tested with them.
SEEDS = st.integers(0, 2**32 - 1).map(random.Random)
USUAL = SEEDS.map(make_usual)
UNUSUAL = SEEDS.map(lambda rng: rng.choice(MAKE_UNUSUAL)(rng)) | st.binary(max_size=20)
VALUES = st.one_of(USUAL, USUAL, USUAL, UNUSUAL)
KEYS = st.binary(min_size=1, max_size=12) | st.builds(lambda n: b"layer_%d/kernel" % n, st.integers(0, 999))
ITEMS = st.dictionaries(KEYS, VALUES, min_size=20, max_size=60).map(lambda found: sorted(found.items()))


def outcome(function: Callable[[], T]) -> T | tuple[type, str]:
    try:
        return function()
    except CkptfmtError as error:
        return type(error), str(error)


def rows_of(block: Block, after: bytes | None) -> list[tuple[bytes, bytes]]:
    rows = block.rows(after)
    assert bytes(rows.window[: len(rows.data)]) == rows.data
    return [
        (key, rows.data[begin:end])
        for key, begin, end in zip(rows.keys, rows.begins.tolist(), rows.ends.tolist(), strict=True)
    ]


@given(ITEMS, st.integers(1, 5), st.none() | KEYS)
def test_all_rows_of_a_block_are_what_a_walk_finds(
    items: list[tuple[bytes, bytes]], interval: int, after: bytes | None
) -> None:
    block = Block(encode_block(items, interval))
    walked = outcome(lambda: list(block.items(after)))
    assert outcome(lambda: rows_of(block, after)) == walked
    if after is None:
        assert walked == items


@settings(max_examples=300)
@given(ITEMS, st.integers(1, 5), st.data())
def test_so_are_those_of_a_damaged_block(
    items: list[tuple[bytes, bytes]], interval: int, data: st.DataObject
) -> None:
    damaged = bytearray(encode_block(items, interval))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(4, len(damaged))) :]
    try:
        block = Block(bytes(damaged))
    except CorruptError:
        return
    assert outcome(lambda: rows_of(block, None)) == outcome(lambda: list(block.items()))


@settings(max_examples=300)
@given(ITEMS, st.integers(1, 40), st.sampled_from([100, 10_000]))
def test_columns_hold_the_entries(items: list[tuple[bytes, bytes]], interval: int, block_size: int) -> None:
    table = encode_table(items, block_size=block_size, restart_interval=interval)
    columns = Columns(Table(MemoryFile("t", table)).rows(), decode_entry)
    assert list(columns.names) == [name_of(key) for key, _ in items]
    one_by_one = [
        outcome(lambda key=key, value=value: decode_entry(name_of(key), value)) for key, value in items
    ]
    assert [outcome(lambda row=row: columns.entry(row)) for row in range(len(columns))] == one_by_one
    first_error = next((found for found in one_by_one if not isinstance(found, ckptfmt.Entry)), None)
    assert outcome(lambda: list(columns)) == (first_error or one_by_one)


@given(ITEMS, st.data())
def test_rows_are_cut_and_dropped(items: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    columns = Columns(Table(MemoryFile("t", encode_table(items))).rows(), decode_entry)
    start = data.draw(st.integers(0, len(items)))
    stop = data.draw(st.integers(start, len(items)))
    columns.cut(start, stop)
    dropped = data.draw(st.sets(st.integers(0, max(0, stop - start - 1))))
    columns.drop(dropped)
    left = [item for row, item in enumerate(items[start:stop]) if row not in dropped]
    one_by_one = [
        outcome(lambda key=key, value=value: decode_entry(name_of(key), value)) for key, value in left
    ]
    assert [outcome(lambda row=row: columns.entry(row)) for row in range(len(columns))] == one_by_one


NAMES = st.lists(
    st.sampled_from(["a", "b/", "\x7f", "é", "\udcc3", "\U0010ffff", "*", "["]), min_size=1, max_size=4
)


@given(st.sets(NAMES.map("".join), max_size=40), NAMES.map("".join))
def test_names_that_begin_so_are_found_by_range(names: set[str], prefix: str) -> None:
    items = sorted((name.encode("utf-8", "surrogateescape"), encode_entry(size=4, crc=0)) for name in names)
    keys = {name_of(key) for key, _ in items}  # two bytes escaped one by one may be a character together
    index = encode_table([(b"", HEADER), *items], block_size=50)
    fresh, listed = open_bundle(index, b""), open_bundle(index, b"")
    assert set(listed) == keys
    want = [name for name in listed if name.startswith(prefix)]
    assert list(fresh._names_below(prefix)) == list(listed._names_below(prefix)) == want
    # As a glob, too: brackets and stars in it match what they match.
    try:
        selected = list(listed.select(f"{prefix}*"))
    except TensorNotFoundError:
        selected = []
        with pytest.raises(TensorNotFoundError):
            list(fresh.select(f"{prefix}*"))
    else:
        assert list(fresh.select(f"{prefix}*")) == selected
    assert set(want) <= set(selected) or set("*[") & set(prefix)


PARTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 2)) | st.just((0, FULL)), min_size=0, max_size=2
).map(lambda extents: TensorSlice(tuple(extents)))
OWNERS = st.lists(st.sampled_from([b"a", b"\x00", b"\x01", b"\xff", b"\xe2"]), min_size=1, max_size=3).map(
    b"".join
)


SLICED = st.builds(encode_sliced, st.lists(PARTS, min_size=1, max_size=3)) | PARTS.map(
    # Its tag in two bytes, which nobody writes and protobuf reads.
    lambda part: b"\x08\x01\xba\x00" + encode_field(7, encode_slice(part))[1:]
)


@settings(max_examples=300)
@given(
    st.dictionaries(OWNERS, SLICED | USUAL | UNUSUAL, max_size=5),
    st.dictionaries(st.tuples(OWNERS, PARTS), USUAL | UNUSUAL, max_size=8),
    st.booleans(),
)
def test_slices_are_hidden_that_a_tensor_lists_and_only_they(
    tensors: dict[bytes, bytes], slices: dict[tuple[bytes, TensorSlice], bytes], complete: bool
) -> None:
    if complete:
        for name, value in tensors.items():
            listed = outcome(lambda value=value: decode_entry("", value).slices)
            parts = [part for part in listed if isinstance(part, TensorSlice)]
            slices |= {(name, part): encode_entry(shape=[1], size=4, crc=0) for part in parts}
    items = {encode_slice_key(*key): value for key, value in slices.items()} | tensors
    ckpt = open_bundle(encode_table([(b"", HEADER), *sorted(items.items())], block_size=100), b"")
    hidden = set()
    for name, value in items.items():
        entry = outcome(lambda name=name, value=value: ckpt._store.index.decode_entry(name_of(name), value))
        if isinstance(entry, ckptfmt.Entry):
            hidden |= {encode_slice_key(name, part) for part in entry.slices}
    assert list(ckpt) == [name_of(name) for name in sorted(items) if name not in hidden]
