"""Reference files: zarr, xarray and Dask read the data files of a checkpoint in place."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks.reference import grid
from ckptfmt.errors import ConversionError, CorruptError
from ckptfmt.wire.crc32c import crc32c
from tests.support.command_line import run
from tests.support.corpus import CORPUS
from tests.support.table_writer import DTYPE_CODES, encode_bundle_index, encode_entry, encode_header

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 is not installed")
fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "dense/kernel": RNG.normal(size=(12, 7)).astype(np.float32),
    "dense/kernel/Adam": RNG.normal(size=(12, 7)),
    "dense/bias": np.arange(5),
    "scalar": np.array(3.0),
    "empty": np.zeros((0, 3), np.float32),
    "complex": (RNG.normal(size=4) + 1j).astype(np.complex64),
    "bool": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "bytes": np.arange(10, dtype=np.uint8),
    "vocabulary": np.array([[b"a", b"\xff\0"], [b"", b"long" * 100]], object),
    "one string": np.array(b"x\0", object),
    "bfloat16": np.arange(6).astype(ml_dtypes.bfloat16),
    "float8": np.arange(6).astype(ml_dtypes.float8_e4m3fn),
    "int4": np.array([-8, -1, 0, 7]).astype(ml_dtypes.int4),
    "a//../b": np.arange(2),
}


def open_with_zarr(path: Path) -> Any:
    """The group, as zarr and fsspec open it."""
    store = zarr.storage.FsspecStore(
        fsspec.filesystem("reference", fo=str(path), asynchronous=True, remote_options={"asynchronous": True})
    )
    return zarr.open_group(store, mode="r")


@pytest.fixture
def checkpoint(tmp_path: Path) -> ckptfmt.Checkpoint:
    ckptfmt.save(tmp_path / "model", ARRAYS)
    return ckptfmt.open(tmp_path / "model")


def assert_same(tensors: ckptfmt.Tensors, wanted: dict[str, np.ndarray] = ARRAYS) -> None:
    assert set(tensors) == set(wanted)
    for name, array in wanted.items():
        read = tensors[name]
        assert (read.dtype, read.shape) == (array.dtype, array.shape), name
        assert read.tolist() == array.tolist(), name


def test_zarr_reads_the_data_files_in_place(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    target = tmp_path / "refs.json"
    converted = ckptfmt.convert(checkpoint, target, to="reference")
    assert converted.files == (str(target),)
    group = open_with_zarr(target)
    for name, array in ARRAYS.items():
        key = {"dense/kernel/Adam": "dense/kernel%2FAdam", "a//../b": "a/%/%2E%2E/b"}.get(name, name)
        read = group[key]
        if name in ("bfloat16", "float8", "int4"):
            assert read.attrs["ckptfmt_dtype"] == str(array.dtype)
            values = np.asarray(read[...])
            assert values.itemsize == array.itemsize
            wanted = array.view(values.dtype)
            assert values.tolist() == (wanted & 15 if name == "int4" else wanted).tolist()
        elif name == "one string":
            assert np.asarray(read[...]).tolist() == b"x"  # the library cuts zero bytes
        else:
            values = np.asarray(read[...])
            assert (read.dtype, read.shape) == (array.dtype, array.shape)
            assert values.tolist() == array.tolist()
    assert group.attrs["source"] == checkpoint.prefix
    listed = {key for key, each in group.members(max_depth=None) if isinstance(each, zarr.Array)}
    assert listed == {*ARRAYS, "dense/kernel%2FAdam", "a/%/%2E%2E/b"} - {"dense/kernel/Adam", "a//../b"}
    # All but strings are places in the data file.
    refs = json.loads(target.read_text())["refs"]
    data = f"{checkpoint.prefix}.data-00000-of-00001"
    assert refs["dense/kernel/0.0"][0] == f"file://{data}"
    assert refs["dense/kernel/0.0"][2] == ARRAYS["dense/kernel"].nbytes
    inline = [key for key, ref in refs.items() if isinstance(ref, str) and "/." not in f"/{key}"]
    assert sorted(inline) == ["one string/0", "vocabulary/0.0"]
    # And so do we.
    assert_same(ckptfmt.open_tensors(target))


def test_nothing_is_read_but_the_index(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    """The data file may have any content, as long as it has its size."""
    numbers = checkpoint.select(exclude=["vocabulary", "one string"])
    ckptfmt.convert(numbers, tmp_path / "a.kerchunk.json")
    data = Path(f"{checkpoint.prefix}.data-00000-of-00001")
    data.write_bytes(bytes(data.stat().st_size))
    fresh = ckptfmt.open(checkpoint.prefix).select(exclude=["vocabulary", "one string"])
    ckptfmt.convert(fresh, tmp_path / "b.kerchunk.json")
    assert (tmp_path / "a.kerchunk.json").read_bytes() == (tmp_path / "b.kerchunk.json").read_bytes()


def test_xarray_and_dask_read_it(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    target = tmp_path / "refs.json"
    ckptfmt.convert(checkpoint, target)
    options = {"storage_options": {"fo": str(target)}}
    data = xarray.open_dataset(
        "reference://", engine="zarr", group="dense", backend_kwargs=options, chunks={}
    )
    assert data["kernel"].dims == ("kernel_dim0", "kernel_dim1")
    # Zeros are not missing, and integers are not floats.
    assert data["bias"].dtype == np.int64
    assert np.array_equal(data["bias"].values, ARRAYS["dense/bias"])
    assert np.array_equal(data["kernel"].values, ARRAYS["dense/kernel"])
    array = dask.from_zarr(open_with_zarr(target)["dense/kernel"])
    assert np.array_equal(array.compute(), ARRAYS["dense/kernel"])


def test_virtualizarr_reads_it(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    virtualizarr = pytest.importorskip("virtualizarr", reason="virtualizarr is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import KerchunkJSONParser

    target = tmp_path / "refs.json"
    names = ["dense/kernel", "dense/bias"]
    ckptfmt.convert(checkpoint.select(*names), target)
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with virtualizarr.open_virtual_dataset(
        f"file://{target}", registry=registry, parser=KerchunkJSONParser(group="dense")
    ) as data:
        assert data["kernel"].dims == ("kernel_dim0", "kernel_dim1")
        assert data["kernel"].data.manifest.dict()["0.0"]["length"] == ARRAYS["dense/kernel"].nbytes
    store = KerchunkJSONParser(group="dense")(f"file://{target}", registry=registry)
    group = zarr.open_group(store, mode="r")
    for name in names:
        assert np.array_equal(group[name.removeprefix("dense/")][...], ARRAYS[name])


# --- where the bytes are ----------------------------------------------------------------------------------


def test_a_large_tensor_is_cut_where_its_size_divides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CHUNK_BYTES", 64)
    values: dict[str, np.ndarray] = {
        "rows": np.arange(60, dtype=np.float32).reshape(12, 5),
        "wide": np.arange(3 * 40, dtype=np.float32).reshape(3, 40),
        "prime": np.arange(101, dtype=np.float32),
        "cube": np.arange(4 * 4 * 4, dtype=np.float64).reshape(4, 4, 4),
    }
    ckptfmt.save(tmp_path / "model", values)
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    group = open_with_zarr(tmp_path / "refs.json")
    assert {name: group[name].chunks for name in values} == {
        "rows": (3, 5),
        "wide": (1, 10),
        "prime": (101,),
        "cube": (1, 2, 4),
    }
    for name, array in values.items():
        assert np.array_equal(group[name][...], array)
    assert_same(ckptfmt.open_tensors(tmp_path / "refs.json"), values)


@pytest.mark.parametrize(
    ("borders", "chunks"),
    [
        ([0, 4, 8], (4, 3)),
        ([0, 4, 6, 8], (2, 3)),
        ([0, 4, 7, 10], (1, 3)),
        ([0, 10], (10, 3)),
    ],
)
def test_slices_that_make_a_grid_are_one_array(
    tmp_path: Path, borders: list[int], chunks: tuple[int, ...]
) -> None:
    array = np.arange(borders[-1] * 3, dtype=np.float32).reshape(-1, 3)
    slices = [
        (((start, stop - start), (0, 3)), array[start:stop]) for start, stop in itertools.pairwise(borders)
    ]
    write_sliced(tmp_path, array, slices)
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    read = open_with_zarr(tmp_path / "refs.json")["w"]
    assert read.chunks == chunks
    assert np.array_equal(read[...], array)


def test_slices_on_two_axes(tmp_path: Path) -> None:
    array = np.arange(48, dtype=np.float32).reshape(8, 6)
    slices = [
        (((row, 4), (column, 3)), array[row : row + 4, column : column + 3])
        for row in (0, 4)
        for column in (0, 3)
    ]
    write_sliced(tmp_path, array, slices)
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    read = open_with_zarr(tmp_path / "refs.json")["w"]
    assert read.chunks == (4, 3)
    assert np.array_equal(read[...], array)


def test_slices_that_make_no_grid_are_arrays_of_their_own(tmp_path: Path) -> None:
    array = np.arange(30, dtype=np.float32).reshape(3, 10)
    slices = [
        (((0, 3), (0, 4)), array[:, :4]),
        (((0, 3), (4, 3)), array[:, 4:7]),
        (((0, 3), (7, 3)), array[:, 7:]),
    ]
    write_sliced(tmp_path, array, slices)
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    group = open_with_zarr(tmp_path / "refs.json")
    parts = [group[f"w/slice_{number}"][...] for number in range(3)]
    assert np.array_equal(np.concatenate(parts, axis=1), array)
    # We put them together again.
    read = ckptfmt.open_tensors(tmp_path / "refs.json")
    assert_same(read, {"w": array})
    assert np.array_equal(read.slice("w")[1:, 3:8], array[1:, 3:8])
    assert np.array_equal(read.slice("w")[0], array[0])
    ckptfmt.convert(tmp_path / "model", tmp_path / "again.json", verify=True)


@pytest.mark.parametrize(
    "attribute",
    [
        5,
        {"shape": [3, 10]},
        {"shape": [3, 10], "start": [0]},
        {"shape": [3, 10], "start": [0, "4"]},
        {"shape": [3, 10], "start": [0, 3]},
        {"shape": [3, 11], "start": [0, 4]},
        {"shape": [3, 1 << 62], "start": [0, 4]},
    ],
)
def test_slices_that_do_not_fit(tmp_path: Path, attribute: Any) -> None:
    array = np.arange(30, dtype=np.float32).reshape(3, 10)
    write_sliced(tmp_path, array, [(((0, 3), (0, 4)), array[:, :4]), (((0, 3), (4, 6)), array[:, 4:])])
    target = tmp_path / "refs.json"
    ckptfmt.convert(tmp_path / "model", target)
    content = json.loads(target.read_text())
    del content["refs"][".zmetadata"]
    attributes = json.loads(content["refs"]["w/slice_1/.zattrs"])
    attributes["ckptfmt_slice_of"] = attribute
    content["refs"]["w/slice_1/.zattrs"] = json.dumps(attributes)
    target.write_text(json.dumps(content))
    with pytest.raises(CorruptError, match="tensor 'w'"):
        ckptfmt.open_tensors(target)


def write_sliced(directory: Path, array: np.ndarray, slices: list[Any]) -> None:
    with ckptfmt.CheckpointWriter(directory / "model") as writer:
        for extents, part in slices:
            writer.add_slice("w", array.shape, extents, part)


def test_big_endian_checkpoints(tmp_path: Path) -> None:
    values: dict[str, np.ndarray] = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "n": np.arange(3),
        "b": np.array([True]),
    }
    entries, data = {}, b""
    for name, array in values.items():
        stored = array.astype(array.dtype.newbyteorder(">")).tobytes()
        entries[name] = encode_entry(
            dtype=DTYPE_CODES[array.dtype],
            shape=array.shape,
            offset=len(data),
            size=len(stored),
            crc=crc32c(stored),
        )
        data += stored
    index = encode_bundle_index(entries, encode_header(big_endian=True))
    (tmp_path / "model.index").write_bytes(index)
    (tmp_path / "model.data-00000-of-00001").write_bytes(data)
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    group = open_with_zarr(tmp_path / "refs.json")
    for name, array in values.items():
        assert np.array_equal(group[name][...], array)
    assert group["w"].dtype == np.dtype(">f4")
    assert_same(ckptfmt.open_tensors(tmp_path / "refs.json"), values)


# --- views ------------------------------------------------------------------------------------------------


def test_renamed_tensors_stay_in_place_and_changed_ones_are_put_into_the_file(
    tmp_path: Path, checkpoint: ckptfmt.Checkpoint
) -> None:
    view = checkpoint.select("dense/*").renamed({"k": "dense/kernel", "b": "dense/bias"})
    ckptfmt.convert(view.cast("float64"), tmp_path / "refs.json")
    refs = json.loads((tmp_path / "refs.json").read_text())["refs"]
    assert isinstance(refs["b/0"], list)
    assert refs["k/0.0"].startswith("base64:")
    group = open_with_zarr(tmp_path / "refs.json")
    assert np.array_equal(group["k"][...], ARRAYS["dense/kernel"].astype(np.float64))
    assert np.array_equal(group["b"][...], ARRAYS["dense/bias"])


def test_what_is_written_is_compared(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    converted = ckptfmt.convert(checkpoint, tmp_path / "refs.json", names="stored", verify=True)
    assert converted.is_verified


def test_the_command_line(tmp_path: Path, checkpoint: ckptfmt.Checkpoint) -> None:
    target = tmp_path / "refs.json"
    result = run("convert", checkpoint.prefix, target, "--to", "reference", "--select", "dense/*")
    assert result.exit_code == 0, result.stderr
    assert open_with_zarr(target)["dense/bias"][...].tolist() == [0, 1, 2, 3, 4]


def test_large_values_that_are_not_stored_are_refused(tmp_path: Path) -> None:
    values = {"w": np.zeros(20_000, np.float32), "s": np.full(10_000, b"0123456789", object)}
    ckptfmt.save(tmp_path / "model", values)
    with pytest.raises(ConversionError) as caught:
        ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json", cast="float64")
    assert caught.value.problems == {
        "w": "not bit by bit in the data files of a checkpoint, and larger than 64 KiB",
        "s": "strings, which no reference can point to, and larger than 64 KiB",
    }
    assert not (tmp_path / "refs.json").exists()
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json", exclude="s")


def test_a_data_file_that_is_cut_short(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "model", {"w": np.arange(100)})
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(CorruptError):
        ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    assert not (tmp_path / "refs.json").exists()


def test_relative_paths_and_another_working_directory(
    tmp_path: Path, checkpoint: ckptfmt.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ckptfmt.convert("model", "refs.json", select="dense/bias")
    monkeypatch.chdir(os.sep)
    assert open_with_zarr(tmp_path / "refs.json")["dense/bias"][...].tolist() == [0, 1, 2, 3, 4]


def test_a_directory_with_spaces_and_percent_signs(tmp_path: Path) -> None:
    directory = tmp_path / "a b%20c#d"
    directory.mkdir()
    ckptfmt.save(directory / "model", {"w": np.arange(3)})
    ckptfmt.convert(directory / "model", directory / "refs.json")
    assert open_with_zarr(directory / "refs.json")["w"][...].tolist() == [0, 1, 2]
    assert ckptfmt.open_tensors(directory / "refs.json")["w"].tolist() == [0, 1, 2]


@pytest.mark.scale
def test_a_million_tensors(tmp_path: Path) -> None:
    count = 1_000_000
    values = np.arange(count, dtype=np.float32)
    with ckptfmt.CheckpointWriter(tmp_path / "model") as writer:
        writer.add_all((f"layer_{n // 1000}/w_{n}", values[n : n + 1]) for n in range(count))
    ckptfmt.convert(tmp_path / "model", tmp_path / "refs.json")
    refs = json.loads((tmp_path / "refs.json").read_bytes())["refs"]
    assert refs["layer_999/w_999999/0"][2] == 4


@pytest.mark.corpus
def test_checkpoints_of_other_people(tmp_path: Path) -> None:
    if not CORPUS.exists():
        pytest.skip(f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
    seen = 0
    for index in sorted(CORPUS.rglob("*.index"))[:40]:
        try:
            checkpoint = ckptfmt.open(index)
            numbers = [n for n, e in checkpoint.entries.items() if e.dtype.itemsize and e.nbytes < 1 << 20]
            checkpoint.read(numbers[:50])
        except ckptfmt.errors.CkptfmtError:
            continue
        if not numbers:
            continue
        target = tmp_path / f"{seen}.json"
        ckptfmt.convert(checkpoint.select(*numbers[:50]), target, names="stored")
        read = ckptfmt.open_tensors(target)
        group = open_with_zarr(target)
        for name in numbers[:50]:
            wanted = checkpoint[name]
            assert np.array_equal(read[name].view(np.uint8), wanted.view(np.uint8)) if wanted.ndim else True
            if name in group:
                assert np.asarray(group[name][...]).tobytes() == wanted.tobytes()
        seen += 1
    assert seen
