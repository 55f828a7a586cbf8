"""Reading part of a tensor by a NumPy index."""

from __future__ import annotations

import math
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import (
    ChecksumError,
)
from ckptfmt.wire.crc32c import crc32c
from tests.support.golden import copied, load
from tests.support.table_writer import (
    encode_bundle_index,
    encode_entry,
    encode_header,
    write_bundle,
)


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


@pytest.mark.parametrize(
    "case", ["sliced_shapes", "sliced_dtypes", "v1_sliced", "max_shard", "saver", "v1_whole"]
)
def test_slices_equal_numpys(case: str) -> None:
    ckpt = ckptfmt.open(load(case).path)
    for name, array in ckpt.items():
        reader = ckpt.slice(name)
        assert reader.shape == array.shape
        for index in (
            ...,
            *(
                [
                    0,
                    -1,
                    np.int64(0),
                    slice(None),
                    slice(1, None),
                    slice(None, None, 2),
                    slice(None, None, -1),
                    slice(-2, None),
                    slice(5, 2),
                    (..., 0),
                    (slice(1, 3), ...),
                    [1, 0, -1, 1],
                    np.array([0, 1]),
                    (np.arange(array.shape[0]) % 2 == 1, ...),
                    (..., [-1, 0]),
                ]
                if array.ndim and min(array.shape) > 1
                else []
            ),
        ):
            got, expected = reader[index], np.asarray(array[index], array.dtype)
            assert got.shape == expected.shape, (name, index)
            assert got.dtype == expected.dtype
            assert got.tolist() == expected.tolist() or got.tobytes() == expected.tobytes()
            assert not got.flags.writeable


def test_an_ellipsis_that_stands_for_no_dimension_parts_a_list_from_an_integer(tmp_path: Path) -> None:
    # NumPy puts the list's dimension first then; of shape (3, 3, 1) the result has the same shape either way.
    for shape in ((2, 4, 6), (3, 3, 1)):
        array = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
        write_bundle(tmp_path / f"w{shape[0]}", {"w": array})
        with ckptfmt.open(tmp_path / f"w{shape[0]}") as ckpt:
            for index in ((slice(None), [2, 0, 1], ..., 0), ([1, 0], ..., 0, 0), ([1, 0], 0, 0, ...)):
                got = ckpt.slice("w")[index]
                assert got.shape == array[index].shape
                np.testing.assert_array_equal(got, array[index])


def test_slices_refuse_what_numpy_refuses(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    rows = reader.shape[0]
    assert len(reader) == rows
    with pytest.raises(IndexError, match="out of bounds"):
        reader[rows]
    with pytest.raises(IndexError, match="3 indices for a tensor of 2"):
        reader[0, 0, 0]
    with pytest.raises(TypeError, match="neither an integer"):
        reader["a"]
    with pytest.raises(TypeError, match="axis 0: got an array of float64, want integers or bools"):
        reader[[0.5]]
    with pytest.raises(IndexError, match=f"axis 0: {rows} is out of bounds for size {rows}"):
        reader[[0, rows]]
    with pytest.raises(IndexError, match=f"got a mask of {rows + 1}, want {rows}"):
        reader[[True] * (rows + 1)]
    with pytest.raises(IndexError, match="several lists or masks"):
        reader[[0], [0]]
    with pytest.raises(IndexError, match="got an array of 2 dimensions, want one"):
        reader[np.ones(reader.shape, bool)]
    with pytest.raises(TypeError, match="no length"):
        len(saver.slice("global_step"))


def test_a_part_touches_only_the_slices_it_needs(tmp_path: Path) -> None:
    path = copied("sliced_shapes", tmp_path)
    ckpt = ckptfmt.open(path)
    sliced = [entry for entry in ckpt.entries.values() if len(entry.slices) > 1 and entry.dtype.itemsize]
    assert sliced
    entry = sliced[0]
    array = ckpt[entry.name]
    first, *_, last = (part.region(entry.shape) for part in entry.slices)
    # Damage every stored byte but those of the first slice: it alone must still read.
    index = tuple(slice(*bounds) for bounds in first)
    kept = array[index].tobytes()
    data = next(path.parent.glob("*.data-*"))
    content = data.read_bytes()
    at = content.index(kept)
    data.write_bytes(
        bytes(b ^ 0xFF for b in content[:at]) + kept + bytes(b ^ 0xFF for b in content[at + len(kept) :])
    )
    damaged = ckptfmt.open(path)
    assert damaged.slice(entry.name)[index].tobytes() == kept
    with pytest.raises(ChecksumError):
        damaged.slice(entry.name)[tuple(slice(*bounds) for bounds in last)]
    with pytest.raises(ChecksumError, match="slice"):
        damaged[entry.name]


def test_a_reader_of_slices_is_an_array_to_numpy(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    assert reader.ndim == 2
    np.testing.assert_array_equal(np.asarray(reader), saver[name])
    assert np.array(reader, np.float64).dtype == np.float64
    assert np.asarray(saver.slice("global_step")).shape == ()
    with pytest.raises(TypeError, match="is a bool"):
        reader[True]
    assert reader.name == name
    assert (reader.size, reader.nbytes) == (saver[name].size, saver[name].nbytes)
    assert (saver.slice("global_step").size, saver.slice("global_step").nbytes) == (1, 8)


@pytest.mark.parametrize("case", ["saver", "sliced_shapes", "strings", "v1_sliced"])
def test_a_reader_of_slices_can_be_sent_to_another_process(case: str) -> None:
    with ckptfmt.open(load(case).path, backend="pread") as ckpt:
        for name, array in ckpt.items():
            for reader in (ckpt.slice(name), ckpt.renamed({"x": name}).slice("x")):
                copy = pickle.loads(pickle.dumps(reader))
                assert copy.entry == reader.entry
                np.testing.assert_array_equal(copy[...], array)
                assert copy.is_verified(...) == reader.is_verified(...)


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize(
    "name", ["float32", "bool", "int4", "float4_e2m1fn", "bfloat16", "complex64", "int64"]
)
def test_a_part_is_read_without_the_rest(name: str, big_endian: bool, tmp_path: Path) -> None:
    dtype = next(dtype for dtype in DTYPES.values() if dtype.name == name)
    assert dtype.itemsize is not None
    rows = 1 << 16
    values = np.arange(rows * 256, dtype=np.uint32).astype(np.uint8) & (1 if name == "bool" else 7)
    array = values.view(np.int8).astype(dtype.numpy).reshape(rows, 256)
    word = dtype.itemsize // 2 if name == "complex64" else dtype.itemsize
    data = array.view(np.uint8).reshape(-1, word)[:, :: -1 if big_endian else 1].tobytes()
    entry = encode_entry(dtype=dtype.code, shape=array.shape, size=len(data), crc=crc32c(data))
    header = encode_header(big_endian=big_endian)
    (tmp_path / "c.index").write_bytes(encode_bundle_index({"w": entry}, header))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt["w"].tobytes() == array.tobytes()
    tracemalloc.start()
    part = ckpt.slice("w")[3:5, ::2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.tobytes() == array[3:5, ::2].tobytes()
    assert peak < 100_000
