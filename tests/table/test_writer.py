"""Writing tables: TensorFlow's own files come out byte for byte, and what is written is read."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.storage.output import OutputFile
from ckptfmt.table import Table
from ckptfmt.table.compression import Compression
from ckptfmt.table.writer import write_sorted_table
from tests.support.corpus import CORPUS
from tests.support.golden import GOLDEN, cases
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem
from tests.support.table_writer import HEADER, encode_block, encode_entry, encode_table, separator

BLOCK_SIZES = [1, 20, 100, 4096, 262144]
KEYS = st.binary(max_size=12) | st.lists(st.sampled_from([b"\x00", b"\xff", b"\xfe", b"a"]), max_size=40).map(
    b"".join
)
ITEMS = st.dictionaries(KEYS, st.binary(max_size=300), max_size=60).map(lambda d: sorted(d.items()))

OTHER_SNAPPY = "tfdf_adult_rf"
"""Compressed by a version of snappy that finds other matches: 4 bytes more than today's in its only block."""


def found(*patterns: str, root: Path) -> list[Any]:
    """The files below a folder that match, as parameters."""
    marks = [pytest.mark.corpus] if root == CORPUS else []
    paths = sorted(path for pattern in patterns for path in root.rglob(pattern) if path.is_file())
    return [pytest.param(path, marks=marks, id=path.relative_to(root).as_posix()) for path in paths]


INDEXES = [*found("*.index", root=GOLDEN), *found("*.index", root=CORPUS)]
V1_FILES = sorted(
    path for golden in cases("v1") for path in golden.folder.rglob(golden.path.name) if path.is_file()
)


def written(items: Any, **options: Any) -> bytes:
    """A table of these items."""
    fs = MemoryFilesystem()
    with fs.create("table") as output:
        write_sorted_table(output, items, **options)
    return fs.open("table").content


def stored_types(data: bytes) -> list[int]:
    """The types of the blocks of a table: of its data blocks, the metaindex and the index."""
    table = Table(MemoryFile("table", data))
    handles = [*table.handles, table.footer.metaindex, table.footer.index]
    return [data[handle.offset + handle.size] for handle in handles]


def written_again(data: bytes) -> bytes:
    compression: Compression | None = "snappy" if 1 in stored_types(data) else None
    return written(Table(MemoryFile("table", data)).items(), compression=compression)


# --- TensorFlow's bytes --------------------------------------------------------------------------------


def test_there_are_indexes_to_write_again() -> None:
    assert len(INDEXES) > 15


@pytest.mark.parametrize("path", INDEXES)
def test_an_index_of_tensorflow_is_written_again_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    again = written_again(data)
    if OTHER_SNAPPY in path.parts:
        # Only what snappy made differs, and so the offsets after it.
        theirs, ours = (Table(MemoryFile("table", each)) for each in (data, again))
        assert list(ours.items()) == list(theirs.items())
        assert stored_types(again) == stored_types(data) == [1, 0, 0]
        assert len(again) - len(data) == ours.handles[0].size - theirs.handles[0].size
    else:
        assert again == data


@pytest.mark.parametrize("path", V1_FILES, ids=lambda path: path.relative_to(GOLDEN).as_posix())
def test_a_v1_file_of_tensorflow_is_written_again_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert written_again(data) == data


@pytest.mark.tensorflow
@pytest.mark.parametrize(("count", "long"), [(1, 1), (17, 100_000), (5000, 1), (20_000, 12), (300, 3000)])
def test_an_index_of_many_names_is_that_of_savev2(
    tensorflow: ModuleType, tmp_path: Path, count: int, long: int
) -> None:
    rng = np.random.default_rng(count)
    alphabet = [b"\x01", b"/", b"a", b"b", "ä".encode(), b"\xff", b"\xfe"]
    names = {b"".join(rng.choice(alphabet, rng.integers(1, 30))) * long for _ in range(count)}
    values = [np.zeros(rng.integers(0, 3, rng.integers(0, 4)), np.float32) for _ in names]
    prefix = str(tmp_path / "model")
    tensorflow.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(names), shape_and_slices=[""] * len(names), tensors=values
    )
    data = Path(prefix + ".index").read_bytes()
    assert len(list(Table(MemoryFile("table", data)).items())) == len(names) + 1
    assert written_again(data) == data


@pytest.mark.tensorflow
@pytest.mark.parametrize("compression", [None, "snappy"])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_tensorflow_finds_every_name(
    tensorflow: ModuleType, tmp_path: Path, block_size: int, compression: Compression | None
) -> None:
    names = sorted(f"layer_{i}/{part}" for i in range(150) for part in ("bias", "kernel", "kernel/Adam"))
    entries = [(name.encode(), encode_entry(shape=(i, 2))) for i, name in enumerate(names)]
    table = written([(b"", HEADER), *entries], block_size=block_size, compression=compression)
    (tmp_path / "model.index").write_bytes(table)
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "model"))
    assert reader.get_variable_to_shape_map() == {name: [i, 2] for i, name in enumerate(names)}
    assert all(reader.has_tensor(name) for name in names)
    assert not reader.has_tensor("layer_1")


# --- what is written is read ---------------------------------------------------------------------------


@given(ITEMS, st.integers(1, 1000) | st.sampled_from(BLOCK_SIZES), st.sampled_from([None, "snappy"]))
def test_what_is_written_is_read(
    items: list[tuple[bytes, bytes]], block_size: int, compression: Compression | None
) -> None:
    data = written(items, block_size=block_size, compression=compression)
    table = Table(MemoryFile("table", data))
    assert list(table.items()) == items
    expected = dict(items)
    for key in [*expected, *(key + b"\x00" for key in expected)]:
        assert table.get(key) == expected.get(key)


@given(ITEMS, st.integers(1, 1000), st.sampled_from([None, "snappy"]))
def test_blocks_end_and_are_named_as_tensorflow_does_it(
    items: list[tuple[bytes, bytes]], block_size: int, compression: Compression | None
) -> None:
    table = Table(MemoryFile("table", written(items, block_size=block_size, compression=compression)))
    blocks = [list(table.items_of(number, None)) for number in range(len(table.handles))]
    for block, following in itertools.pairwise(blocks):
        key, value = following[0]
        assert len(encode_block(block)) >= block_size or len(key) + len(value) >= 2 * block_size
    for block in blocks:
        assert len(block) == 1 or len(encode_block(block[:-1])) < block_size
        assert all(len(key) + len(value) < 2 * block_size for key, value in block[1:])
    firsts = [*(block[0][0] for block in blocks[1:]), None]
    names = [key for key, _ in table.block(table.footer.index).items()]
    assert names == [separator(block[-1][0], first) for block, first in zip(blocks, firsts, strict=False)]


@given(ITEMS)
def test_a_table_of_one_block_is_that_of_another_encoder(items: list[tuple[bytes, bytes]]) -> None:
    assert written(items) == encode_table(items)


def test_values_may_be_views() -> None:
    assert written([(b"a", memoryview(b"value")[1:])]) == written([(b"a", b"alue")])


def test_an_item_of_twice_the_block_size_begins_a_block() -> None:
    # Key and value count together.
    for size, blocks in ((198, 1), (199, 2)):
        table = Table(MemoryFile("table", written([(b"a", b""), (b"b", bytes(size))], block_size=100)))
        assert len(table.handles) == blocks


def test_blocks_are_compressed_if_that_saves_more_than_an_eighth() -> None:
    noise = np.random.default_rng(0).bytes(1000)
    for zeros in range(100, 260):
        table = written([(b"k", noise + bytes(zeros))], compression="snappy")
        plain = written([(b"k", noise + bytes(zeros))])
        contents = plain[: Table(MemoryFile("t", plain)).handles[0].size]
        saved = len(contents) - len(cramjam.snappy.compress_raw(contents))
        assert stored_types(table)[0] == (saved > len(contents) // 8)
        if stored_types(table)[0] == 0:
            assert table == plain


def test_memory_holds_one_block_and_the_index(tmp_path: Path) -> None:
    def items() -> Iterator[tuple[bytes, bytes]]:
        for i in range(4000):
            yield b"%08d" % i, bytes(10_000)

    with OutputFile(str(tmp_path / "table")) as output:
        tracemalloc.start()
        try:
            write_sorted_table(output, items())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (tmp_path / "table").stat().st_size > 40_000_000
    assert peak < 2_000_000


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [(b"b", b"a"), (b"a", b"a"), (b"a", b""), (b"\xff", b"a\xff")])
def test_keys_that_do_not_ascend_are_an_error_with_both(keys: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared below
        written([(b"", b""), *((key, b"") for key in keys)])
    assert str(raised.value) == f"keys must ascend: got {keys[1]!r} after {keys[0]!r}"


def test_what_the_format_cannot_hold_is_an_error() -> None:
    # 4 GiB that take no memory.
    huge = np.broadcast_to(np.uint8(0), 1 << 32).data
    with pytest.raises(ValueError, match=r"key b'w': got 1 and 4294967296 bytes, want less than 4 GiB"):
        written([(b"w", huge)])
    for block_size in (-1, 0, 1 << 32):
        with pytest.raises(ValueError, match=f"block_size: got {block_size}, want 1 to 4294967295"):
            written([], block_size=block_size)
    with pytest.raises(ValueError, match="compression: got 'zlib', want None or 'snappy'"):
        written([], compression="zlib")
