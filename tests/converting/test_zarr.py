"""zarr as a target: the library, xarray and Dask read what is written, and so do we."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks.zarr import sink
from ckptfmt.errors import AlreadyExistsError, ConversionError
from ckptfmt.storage.output import partial_directory
from tests.support.command_line import run
from tests.support.memory_filesystem import MemoryFilesystem

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 is not installed")

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "dense/kernel": RNG.normal(size=(103, 7)).astype(np.float32),
    "dense/kernel/Adam": RNG.normal(size=(103, 7)),
    "dense/bias": np.arange(5),
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 3), np.float32),
    "complex": (RNG.normal(size=4) + 1j).astype(np.complex64),
    "bool": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "bytes": np.arange(10, dtype=np.uint8),
    "vocabulary": np.array([[b"a", b"\xff\0"], [b"", b"long" * 100]], object),
    "one string": np.array(b"x\0", object),
}
HOSTILE = [
    "a//b", "..", "../up", "a/./b", "zarr.json", "x/.zarray", "x/c/0", "x", "__reserved", "W", "w", "W/y",
    "Layer/kernel", "layer/kernel", "layer/bias", "p%q", "x%2Fc", "new\nline", "back\\slash", "colon:0", "/",
    "/abs", "end/", "...", "ünï/K", "Ünï/K", "model/w/.ATTRIBUTES/VARIABLE_VALUE", "model/w",
]  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path: Path) -> ckptfmt.Checkpoint:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    return ckptfmt.open(tmp_path / "model")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "CHUNK_BYTES", 200)


def assert_same(tensors: ckptfmt.Tensors) -> None:
    assert set(tensors) == set(ARRAYS)
    for name, array in ARRAYS.items():
        read = tensors[name]
        assert (read.dtype, read.shape) == (array.dtype, array.shape), name
        assert read.tolist() == array.tolist(), name


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("compression", [None, "zstd", "gzip", "blosc", "none"])
def test_the_library_reads_what_is_written(
    tmp_path: Path, checkpoint: ckptfmt.Checkpoint, compression: str | None
) -> None:
    target = tmp_path / "w.zarr"
    converted = ckptfmt.convert(checkpoint, target, compression=compression)
    assert converted.files == (str(target),)
    for consolidated in (False, True):
        group = zarr.open_group(str(target), mode="r", use_consolidated=consolidated)
        arrays = dict(group.members(max_depth=None))
        arrays = {key: array for key, array in arrays.items() if isinstance(array, zarr.Array)}
        keys = {name.replace("kernel/Adam", "kernel%2FAdam"): name for name in ARRAYS}
        assert set(arrays) == set(keys)
        for key, name in keys.items():
            read = np.asarray(arrays[key][...], ARRAYS[name].dtype)
            assert arrays[key].dtype == ARRAYS[name].dtype
            assert read.dtype == ARRAYS[name].dtype
            # The library cuts the zero bytes at the end of a string that is all of an array.
            wanted = b"x" if name == "one string" else ARRAYS[name].tolist()
            assert read.tolist() == wanted
            sizes = arrays[key].nchunks
            assert sizes > 1 or ARRAYS[name].nbytes <= 200
    assert group.attrs["source"] == checkpoint.prefix
    assert_same(ckptfmt.open_tensors(target))


@pytest.mark.usefixtures("small_chunks")
def test_xarray_and_dask_read_it(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    target = tmp_path / "w.zarr"
    ckptfmt.convert(checkpoint.select(exclude=["vocabulary", "one string"]), target)
    data = xarray.open_zarr(target, group="dense")
    assert data["kernel"].dims == ("kernel_dim0", "kernel_dim1")
    assert data["kernel"].dtype == np.float32
    assert np.array_equal(data["kernel"].values, ARRAYS["dense/kernel"])
    assert np.array_equal(data["bias"].values, ARRAYS["dense/bias"])
    assert data["bias"].dtype == np.int64
    array = dask.from_zarr(str(target), component="dense/kernel")
    assert array.npartitions > 1
    assert np.array_equal(array.compute(), ARRAYS["dense/kernel"])


def test_names_that_zarr_cannot_have_come_back(tmp_path: Path) -> None:
    values = {name: np.array(number) for number, name in enumerate(HOSTILE)}
    ckptfmt.save(tmp_path / "model", values)
    target = tmp_path / "sub" / "w.zarr"
    ckptfmt.convert(tmp_path / "model", target)
    read = ckptfmt.open_tensors(target)
    assert {name: int(read[name]) for name in read} == {name: int(array) for name, array in values.items()}
    files = [file.relative_to(target).as_posix() for file in target.rglob("*")]
    assert len({file.casefold() for file in files}) == len(files)
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["w.zarr"]
    # The library finds every array, whether or not it uses the consolidated metadata.
    for consolidated in (False, True):
        group = zarr.open_group(str(target), mode="r", use_consolidated=consolidated)
        members = dict(group.members(max_depth=None)).values()
        numbers = {int(each[...]) for each in members if isinstance(each, zarr.Array)}
        assert numbers == set(range(len(HOSTILE)))
    group = zarr.open_group(str(target), mode="r")
    assert group["Layer/kernel"].attrs.asdict() == {}
    assert group["model/w%2F.ATTRIBUTES%2FVARIABLE_VALUE"].attrs["ckptfmt_escaped"] is True


def test_groups_and_arrays_that_stand_in_any_order(tmp_path: Path) -> None:
    """zarr makes a tree of consolidated metadata, and has its own idea of their order."""
    names = ["b/x/1", "a", "b/y", "c/x/1/2", "b/x/0", "c/y", "b/a/1", "c/x/0/1", "b-/x", "b/z"]
    ckptfmt.save(tmp_path / "model", {name: np.array(number) for number, name in enumerate(names)})
    ckptfmt.convert(ckptfmt.open(tmp_path / "model").renamed({n: n for n in names}), tmp_path / "w.zarr")
    group: Any = zarr.open_group(str(tmp_path / "w.zarr"), mode="r", use_consolidated=True)
    assert {name: int(group[name][...]) for name in names} == {name: i for i, name in enumerate(names)}
    listed = {key for key, each in group.members(max_depth=None) if isinstance(each, zarr.Array)}
    assert listed == set(names)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"x" * 300: np.array(1)})
    with pytest.raises(ConversionError, match="no file name of more than 255 bytes: 'x"):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.zarr")
    assert not (tmp_path / "w.zarr").exists()


def test_dtypes_that_zarr_does_not_have_are_refused(tmp_path: Path) -> None:
    values = {
        "a": np.arange(3).astype(ml_dtypes.bfloat16),
        "b": np.arange(3).astype(ml_dtypes.float8_e5m2),
        "c": np.arange(3),
    }
    ckptfmt.save(tmp_path / "model", values)
    with pytest.raises(ConversionError, match="no dtype bfloat16: 'a'; no dtype float8_e5m2: 'b'") as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.zarr")
    assert set(caught.value.problems) == {"a", "b"}
    assert not (tmp_path / "w.zarr").exists()
    ckptfmt.convert(tmp_path / "model", tmp_path / "w.zarr", cast="float32")
    assert ckptfmt.open_tensors(tmp_path / "w.zarr")["a"].tolist() == [0, 1, 2]


def test_a_wrong_compression_and_an_existing_target(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    target = tmp_path / "w.zarr"
    with pytest.raises(ValueError, match="compression: got 'zst', want one of zstd, gzip, blosc, none"):
        ckptfmt.convert(checkpoint, target, compression="zst")
    assert not target.exists()
    ckptfmt.convert(checkpoint, target)
    with pytest.raises(AlreadyExistsError):
        ckptfmt.convert(checkpoint.select("half"), target)
    ckptfmt.convert(checkpoint.select("half"), target, overwrite=True)
    assert list(ckptfmt.open_tensors(target)) == ["half"]


def test_a_file_system_in_memory(checkpoint: ckptfmt.Checkpoint) -> None:
    memory = MemoryFilesystem({})
    ckptfmt.convert(checkpoint, "/m/w.zarr", fs=memory)
    assert_same(ckptfmt.open_tensors("/m/w.zarr", fs=memory))


def test_a_tensor_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are stretches of the tensor, none above the limit, as equal as can be."""
    monkeypatch.setattr(sink, "CHUNK_BYTES", 1000)
    shapes: dict[str, tuple[int, ...]] = {"w": (1001,), "x": (3, 5, 300), "y": (7, 1), "z": (2, 2, 2, 125)}
    ckptfmt.save(tmp_path / "m", {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    ckptfmt.convert(tmp_path / "m", tmp_path / "w.zarr", compression="none")
    group: Any = zarr.open_group(str(tmp_path / "w.zarr"), mode="r")
    assert {name: group[name].chunks for name in shapes} == {
        "w": (201,),
        "x": (1, 1, 150),
        "y": (7, 1),
        "z": (1, 1, 2, 125),
    }


def test_a_checkpoint_becomes_zarr_and_a_checkpoint_again(
    tmp_path: Path, checkpoint: ckptfmt.Checkpoint
) -> None:
    ckptfmt.convert(checkpoint, tmp_path / "w.zarr")
    with ckptfmt.open_tensors(tmp_path / "w.zarr") as tensors:
        ckptfmt.save(tmp_path / "again", tensors)
    assert_same(ckptfmt.open(tmp_path / "again"))


def test_what_is_written_is_compared(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    assert ckptfmt.convert(checkpoint, tmp_path / "w.zarr", names="stored", verify=True).is_verified


def test_the_command_line(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    result = run("convert", checkpoint.prefix, tmp_path / "w.zarr", "--compression", "gzip", "--verify")
    assert result.exit_code == 0, result.stderr
    assert_same(ckptfmt.open_tensors(tmp_path / "w.zarr"))
    metadata = json.loads((tmp_path / "w.zarr/dense/bias/zarr.json").read_text())
    assert [codec["name"] for codec in metadata["codecs"]] == ["bytes", "gzip"]


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_directory, "NOTED_AFTER", 0.0)
    values = {f"w{number}": np.full(100, number) for number in range(5)}
    ckptfmt.save(tmp_path / "model", values)
    target = tmp_path / "w.zarr"

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ckptfmt.convert(tmp_path / "model", target, resume=True, progress=stop)
    assert not target.exists()
    chunk = tmp_path / "w.zarr.partial/w0/c.0"
    written = chunk.stat().st_mtime_ns, chunk.stat().st_ino
    # What was being written has no note: it is written again, whatever is there.
    (tmp_path / "w.zarr.partial/w4").mkdir(parents=True)
    (tmp_path / "w.zarr.partial/w4/c.0").write_bytes(b"rubbish")
    ckptfmt.convert(tmp_path / "model", target, resume=True)
    chunk = target / "w0/c.0"
    assert (chunk.stat().st_mtime_ns, chunk.stat().st_ino) == written
    read = ckptfmt.open_tensors(target)
    assert {name: read[name].tolist() for name in read} == {name: a.tolist() for name, a in values.items()}
    assert sorted(each.name for each in tmp_path.iterdir() if "partial" in each.name) == []


def test_the_metadata_of_the_root_name_every_node(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    target = tmp_path / "w.zarr"
    ckptfmt.convert(checkpoint, target)
    root = json.loads((target / "zarr.json").read_text())
    nodes = root["consolidated_metadata"]["metadata"]
    found = {
        os.path.relpath(file.parent, target): json.loads(file.read_text())
        for file in target.rglob("zarr.json")
        if file.parent != target
    }
    assert nodes == found
