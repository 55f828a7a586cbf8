"""safetensors as a target: the bytes of the package's own files, and shards as Hugging Face reads them."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as from_numpy

import ckptfmt
from ckptfmt import errors
from ckptfmt.converting.sinks.safetensors import header as safetensors_header

DTYPES = [
    *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
    *(np.float16, np.float32, np.float64, np.complex64, ml_dtypes.bfloat16),
]

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name[0] != "\0" and name != "__metadata__"
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(from_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = math.prod(shape) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype == np.bool_:
        data = bytes(each & 1 for each in data)
    return np.frombuffer(data, dtype).reshape(shape)


@given(st.dictionaries(NAMES, arrays(), max_size=6))
def test_files_are_those_of_the_package_byte_by_byte(values: dict[str, np.ndarray[Any, Any]]) -> None:
    save = pytest.importorskip("safetensors.numpy").save
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "new.safetensors")
        ckptfmt.convert(values, target)
        assert target.read_bytes() == save(values, {"format": "pt"})
        ckptfmt.save(Path(folder, "model"), values)
        ckptfmt.convert(Path(folder, "model"), target, overwrite=True, verify=True)
        with ckptfmt.open_tensors(target) as read:
            assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in read.items()} == {
                n: (a.dtype, a.shape, a.tobytes()) for n, a in values.items()
            }


VALUES = {f"layer.{i}.weight": np.full((2, 25), i, np.float32) for i in range(5)} | {
    "big": np.zeros(300, np.float32)
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    ckptfmt.save(tmp_path / "in" / "model.ckpt", VALUES)
    return tmp_path / "in" / "model.ckpt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def check(folder: Path, values: dict[str, np.ndarray[Any, Any]] = VALUES) -> None:
    """Read a folder as ``transformers`` does: by the index, each tensor from its file."""
    safe_open = pytest.importorskip("safetensors").safe_open
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": sum(array.nbytes for array in values.values())}
    assert set(index["weight_map"]) == set(values)
    files = sorted(set(index["weight_map"].values()))
    count = len(files)
    assert files == [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    assert sorted(os.listdir(folder)) == [*files, "model.safetensors.index.json"]
    for name in files:
        with safe_open(folder / name, "np") as file:
            assert file.metadata()["format"] == "pt"
            assert {each for each, place in index["weight_map"].items() if place == name} == set(file.keys())
            for each in file.keys():  # noqa: SIM118  (it is no mapping)
                assert file.get_tensor(each).tolist() == values[each].tolist()


def test_a_folder_has_shards_and_an_index(source: Path, folder: Path) -> None:
    written = ckptfmt.convert(source, f"{folder}/", to="safetensors", max_shard_bytes=500, verify=True)
    check(folder)
    assert [os.path.basename(each) for each in written.files] == [
        "model.safetensors.index.json",
        *(f"model-{i:05d}-of-00004.safetensors" for i in range(1, 5)),
    ]
    with ckptfmt.open_tensors(written.files[0]) as read:
        assert set(read) == set(VALUES)


def test_a_tensor_larger_than_a_shard_has_its_own(source: Path, folder: Path) -> None:
    ckptfmt.convert(source, f"{folder}/", to="safetensors", max_shard_bytes=1)
    check(folder)
    assert len(list(folder.iterdir())) == 7


def test_what_fits_into_one_file_has_no_index(source: Path, folder: Path) -> None:
    ckptfmt.convert(source, f"{folder}/", to="safetensors", max_shard_bytes="5GB")
    assert os.listdir(folder) == ["model.safetensors"]


def test_an_index_as_the_target_is_written_for_one_file_too(source: Path, folder: Path) -> None:
    ckptfmt.convert(source, folder / "model.safetensors.index.json")
    check(folder)


@pytest.mark.parametrize("before", [None, 400, 500, 1])
@pytest.mark.parametrize("after", [None, 500])
def test_nothing_of_the_old_model_stays(
    source: Path, folder: Path, before: int | None, after: int | None
) -> None:
    ckptfmt.convert(source, f"{folder}/", to="safetensors", max_shard_bytes=before)
    new = {name: array + 1 for name, array in VALUES.items()}
    with pytest.raises(errors.AlreadyExistsError):
        ckptfmt.convert(new, f"{folder}/", to="safetensors", max_shard_bytes=before)
    ckptfmt.convert(new, f"{folder}/", to="safetensors", max_shard_bytes=after, overwrite=True)
    if after is None:
        with ckptfmt.open_tensors(folder / "model.safetensors") as read:
            assert read["big"][0] == 1
        assert os.listdir(folder) == ["model.safetensors"]
    else:
        check(folder, new)


def test_readers_limit_the_header(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_header, "MAX_HEADER_SIZE", 600)
    with pytest.raises(errors.LimitError, match=r"pass max_shard_bytes for several"):
        ckptfmt.convert(source, folder / "model.safetensors")
    assert not folder.exists() or not os.listdir(folder)
    ckptfmt.convert(source, folder / "model.safetensors", max_shard_bytes=1)


def test_it_has_no_compression(source: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="compression: got 'zstd', but safetensors has none"):
        ckptfmt.convert(source, folder / "model.safetensors", compression="zstd")
