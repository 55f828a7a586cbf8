"""Tensors as arrays of Dask: lazy, in chunks that follow slices, for any scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, TensorNotFoundError
from tests.support.table_writer import encode_bundle_index, encode_entry

dask = pytest.importorskip("dask", reason="dask is not installed")
pytest.importorskip("dask.array", reason="dask.array is not installed")

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "kernel": RNG.normal(size=(103, 7)).astype(np.float32),
    "cube": np.arange(4 * 5 * 6).reshape(4, 5, 6),
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 3), np.float32),
    "bool": np.array([True, False]),
    "bfloat16": np.arange(6).astype(ml_dtypes.bfloat16),
    "float8": np.arange(6).astype(ml_dtypes.float8_e4m3fn),
    "complex": (RNG.normal(size=4) + 1j).astype(np.complex64),
    "strings": np.array([[b"a", b"\xff\0"], [b"", b"long"]], object),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> ckptfmt.Checkpoint:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    return ckptfmt.open(tmp_path / "model")


def assert_same(arrays: dict[str, Any], wanted: dict[str, np.ndarray] = ARRAYS, **options: Any) -> None:
    assert list(arrays) == sorted(wanted)
    computed = dict(zip(arrays, dask.compute(*arrays.values(), **options), strict=True))
    for name, array in wanted.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape), name
        assert np.asarray(computed[name]).dtype == array.dtype
        assert np.asarray(computed[name]).tolist() == array.tolist(), name


@pytest.mark.parametrize(
    ("scheduler", "chunk_bytes"), [("synchronous", 1 << 20), ("threads", 100), ("processes", 100)]
)
def test_every_scheduler_computes_the_same(
    checkpoint: ckptfmt.Checkpoint, scheduler: str, chunk_bytes: int
) -> None:
    assert_same(checkpoint.to_dask(chunk_bytes=chunk_bytes), scheduler=scheduler)


def test_chunks_are_stretches_of_what_is_stored(checkpoint: ckptfmt.Checkpoint) -> None:
    arrays = checkpoint.to_dask(chunk_bytes=100)
    assert max(arrays["kernel"].chunks[0]) * 7 * 4 <= 100
    assert arrays["kernel"].chunks[1] == (7,)
    # A row of the cube has 240 bytes, so rows are single and cut once more.
    assert arrays["cube"].chunks == ((1, 1, 1, 1), (1, 2, 2), (6,))
    assert arrays["scalar"].chunks == ()
    assert arrays["empty"].chunks == ((0,), (3,))
    assert checkpoint.to_dask()["kernel"].chunks == ((103,), (7,))


def test_chunks_follow_slices(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(10, 6)
    ways = {
        "rows": [((0, 4), (0, 6)), ((4, 3), (0, 6)), ((7, 3), (0, 6))],
        "grid": [((row, 5), (column, 3)) for row in (0, 5) for column in (0, 3)],
        "no_grid": [((0, 5), (0, 6)), ((5, 5), (0, 2)), ((5, 5), (2, 4))],
    }
    with ckptfmt.CheckpointWriter(tmp_path / "model") as writer:
        for name, slices in ways.items():
            for extents in slices:
                part = array[tuple(slice(start, start + length) for start, length in extents)]
                writer.add_slice(name, array.shape, extents, part)
    with ckptfmt.open(tmp_path / "model") as checkpoint:
        arrays = checkpoint.to_dask()
        assert arrays["rows"].chunks == ((4, 3, 3), (6,))
        assert arrays["grid"].chunks == ((5, 5), (3, 3))
        assert arrays["no_grid"].chunks == ((10,), (6,))
        assert checkpoint.to_dask(["rows"], chunk_bytes=50)["rows"].chunks == ((2, 2, 1, 2, 1, 2), (6,))
        assert_same(arrays, dict.fromkeys(ways, array))


def test_nothing_is_read_until_dask_computes(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"a": np.arange(10.0), "b": np.arange(10.0)})
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(bytes(len(data.read_bytes())))
    arrays = ckptfmt.open(tmp_path / "model").to_dask()
    assert (arrays["a"] + arrays["b"]).shape == (10,)
    with pytest.raises(ChecksumError):
        arrays["a"].compute()
    # Part of a tensor has no checksum of its own.
    parts = ckptfmt.open(tmp_path / "model").to_dask(chunk_bytes=16)
    assert parts["b"].sum().compute() == 0


def test_views_plans_and_other_files(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    view = checkpoint.select("kernel").renamed({"k": "kernel"}).cast("float64")
    array = view.to_dask(chunk_bytes=1000)["k"]
    assert array.dtype == np.float64
    assert array.npartitions > 1
    for scheduler in ("threads", "processes"):
        assert np.array_equal(array.compute(scheduler=scheduler), ARRAYS["kernel"].astype(np.float64))
    numbers = checkpoint.select("kernel", "cube")
    ckptfmt.convert(numbers, tmp_path / "w.safetensors")
    opened = ckptfmt.open_tensors(tmp_path / "w.safetensors")
    arrays = opened.to_dask(["cube", "kernel"], chunk_bytes=500)
    wanted = {name: ARRAYS[name] for name in ("kernel", "cube")}
    assert_same(arrays, wanted, scheduler="processes")


def test_the_object_graph_is_left_out_and_names_are_checked(checkpoint: ckptfmt.Checkpoint) -> None:
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" not in checkpoint.to_dask()
    assert list(checkpoint.to_dask(["scalar", "bool", "scalar"])) == ["scalar", "bool"]
    with pytest.raises(TensorNotFoundError, match="kernal"):
        checkpoint.to_dask(["kernal"])
    with pytest.raises(TypeError, match="names: got the string 'kernel'"):
        checkpoint.to_dask("kernel")
    with pytest.raises(ValueError, match="chunk_bytes: got 0"):
        checkpoint.to_dask(chunk_bytes=0)


def test_a_shape_that_would_make_too_many_chunks(tmp_path: Path) -> None:
    index = encode_bundle_index({"w": encode_entry(dtype=1, shape=[1 << 60], size=1 << 62)})
    (tmp_path / "model.index").write_bytes(index)
    (tmp_path / "model.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ValueError, match=r"which makes \d+ chunks of 'w', want at most 1000000"):
        ckptfmt.open(tmp_path / "model").to_dask()
