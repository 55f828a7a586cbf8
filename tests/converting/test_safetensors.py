"""safetensors both ways: what the package writes is read, and what is written the package reads."""

from __future__ import annotations

import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import ckptfmt

ARRAYS: dict[str, np.ndarray] = {
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 3), np.int8),
    "bool": np.ones((2, 1), bool),
    "half": np.arange(7, dtype=np.float16),
    "bfloat16": np.arange(3).astype(ml_dtypes.bfloat16),
    "ünï/kernel": np.arange(20, dtype=np.uint16).reshape(4, 5),
    "complex": np.arange(2).astype(np.complex64),
}


def assert_same(tensors: ckptfmt.Tensors) -> None:
    assert set(tensors) == set(ARRAYS)
    for name, array in ARRAYS.items():
        read = tensors[name]
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert read.tobytes() == array.tobytes()


def test_a_file_of_the_package_is_the_mapping_that_a_checkpoint_is(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "w.safetensors"
    safetensors.save_file(ARRAYS, path)
    with ckptfmt.open_tensors(path) as tensors:
        assert_same(tensors)
        assert tensors.format == "safetensors"
        assert tensors.entries["ünï/kernel"].shape == (4, 5)
        assert tensors.slice("ünï/kernel")[1:3, ::2].tolist() == [[5, 7, 9], [10, 12, 14]]
        assert list(tensors.select("*/kernel").renamed(str.upper)) == ["ÜNÏ/KERNEL"]
        assert_same(pickle.loads(pickle.dumps(tensors)))


def test_a_converted_checkpoint_is_read_by_the_package(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    ckptfmt.save(tmp_path / "model", ARRAYS)
    converted = ckptfmt.convert(tmp_path / "model", tmp_path / "w.safetensors")
    assert converted.tensors == tuple(sorted(ARRAYS, key=str.encode))
    loaded = safetensors.load_file(tmp_path / "w.safetensors")
    assert {n: a.tobytes() for n, a in loaded.items()} == {n: a.tobytes() for n, a in ARRAYS.items()}
    assert_same(ckptfmt.open_tensors(tmp_path / "w.safetensors"))


def test_a_file_becomes_a_checkpoint(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(ARRAYS, tmp_path / "w.safetensors")
    with ckptfmt.open_tensors(tmp_path / "w.safetensors") as tensors:
        ckptfmt.save(tmp_path / "model", tensors)
    assert_same(ckptfmt.open(tmp_path / "model"))
