"""HDF5 files that are written, read by h5py."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks.hdf5.sink import HDF5Sink
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output.scratch import Scratch
from tests.support.memory_filesystem import MemoryFilesystem

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

COMPRESSIONS = pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
NUMBERS: dict[str, Any] = {
    "bool": np.array([[True], [False]]),
    "c64": np.arange(2).astype(np.complex64),
    "c128": np.arange(2) + 2j,
    "none": np.zeros((0, 3), np.float32),
    "scalar": np.float64(3),
    "ünï/ker:0": np.arange(6.0).reshape(2, 3),
    "large": np.arange(300_000.0).reshape(3, 1000, 100),
    **{f"x/{kind}": np.arange(5).astype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")},
    **{f"x/{kind}": np.arange(5).astype(kind) for kind in ("f2", "f4", "f8")},
}
UNUSUAL: dict[str, Any] = {
    name: np.int64(number)
    for number, name in enumerate(
        [
            "w",
            "w/Adam",
            "w/Adam/x",
            "a/../b",
            ".",
            "..",
            "/lead",
            "trail/",
            "x//y",
            "n\0ul",
            "p%41",
            "%_",
            "\udcff",
        ]
    )
}


@COMPRESSIONS
def test_h5py_reads_numbers_of_every_dtype(tmp_path: Path, compression: str | None) -> None:
    ckptfmt.save(tmp_path / "model", NUMBERS)
    path = tmp_path / "w.h5"
    done = ckptfmt.convert(tmp_path / "model", path, compression=compression, verify=True)
    assert done.format == "hdf5"
    assert done.is_verified
    with h5py.File(path) as file:
        assert file.attrs["source"] == str(tmp_path / "model")
        for name, array in NUMBERS.items():
            dataset = file[name]
            assert (dataset.dtype, dataset.shape) == (array.dtype, array.shape)
            assert np.array_equal(dataset[()], array)
            assert dataset.compression == (compression if array.shape and array.size else None)
        assert file["large"].chunks == (None if compression is None else (1, 1000, 100))


@COMPRESSIONS
def test_strings(tmp_path: Path, compression: str | None) -> None:
    arrays = {
        "text": np.array([["a", ""], ["ü", "long" * 50]], object),
        "bytes": np.array([b"\xff\xfe", b""], object),
        "nul": np.array([b"a\0b", b"\0", b""], object),
        "one": np.array(b"one", object),
        "one_nul": np.array(b"o\0", object),
        "none": np.zeros((0, 2), object),
    }
    path = tmp_path / "w.h5"
    ckptfmt.convert(arrays, path, compression=compression, verify=True)
    with h5py.File(path) as file:
        assert file["text"].asstr()[1].tolist() == ["ü", "long" * 50]
        assert file["bytes"][()].tolist() == [b"\xff\xfe", b""]
        assert [value.tobytes() for value in file["nul"]] == [b"a\0b", b"\0", b""]
        assert file["one"][()] == b"one"
        assert file["one_nul"][()].tobytes() == b"o\0"
    tensors = ckptfmt.open_tensors(path)
    for name, array in arrays.items():
        expected = [each.encode() if isinstance(each, str) else each for each in array.ravel().tolist()]
        assert tensors[name].ravel().tolist() == expected
        assert tensors[name].shape == array.shape


def test_names_that_hdf5_cannot_have_come_back(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    ckptfmt.convert(UNUSUAL, path, verify=True)
    tensors = ckptfmt.open_tensors(path)
    assert {name: tensors[name].item() for name in tensors} == UNUSUAL
    with h5py.File(path) as file:
        assert file["w/Adam/x"][()] == 2
        assert file["w%_"][()] == 0


def test_names_are_not_escaped_without_need(tmp_path: Path) -> None:
    ckptfmt.convert({"p%41": 1, "a/b:0": 2, "a/b%_": 3}, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["p%41"][()] == 1
        assert set(file["a"]) == {"b:0", "b%_"}
        assert not file.attrs
    assert set(ckptfmt.open_tensors(tmp_path / "w.h5")) == {"p%41", "a/b:0", "a/b%_"}


def test_what_hdf5_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    arrays = {
        "bf16": np.zeros(2, ml_dtypes.bfloat16),
        "f8": np.zeros(2, ml_dtypes.float8_e5m2),
        "i4": np.zeros(2, ml_dtypes.int4),
        "half\ud800": np.zeros(2),
        "x" * 70_000: np.zeros(2),
        "good": np.zeros(2),
    }
    with pytest.raises(ckptfmt.errors.ConversionError) as caught:
        ckptfmt.convert(arrays, tmp_path / "w.h5")
    assert set(caught.value.problems) == set(arrays) - {"good"}
    assert caught.value.problems["bf16"] == "no dtype bfloat16"
    assert list(tmp_path.iterdir()) == []
    ckptfmt.convert(arrays, tmp_path / "w.h5", exclude=["half*", "xx*", "i4"], cast="float32", verify=True)


def test_an_unknown_compression_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"compression: got 'gzp', want one of none, gzip, lzf; did you mean 'gzip'"
    ):
        ckptfmt.convert({"w": np.zeros(2)}, tmp_path / "w.h5", compression="gzp")
    assert list(tmp_path.iterdir()) == []


@COMPRESSIONS
def test_the_same_tensors_make_the_same_bytes(
    tmp_path: Path, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        ckptfmt.convert(NUMBERS, tmp_path / f"{len(zone)}.h5", compression=compression)
        contents.append((tmp_path / f"{len(zone)}.h5").read_bytes())
    assert contents[0] == contents[1]
    with h5py.File(tmp_path / "3.h5") as file:
        assert h5py.h5o.get_info(file["large"].id).mtime == 0


@COMPRESSIONS
def test_file_systems_of_others(compression: str | None) -> None:
    fs = MemoryFilesystem({})
    ckptfmt.convert(NUMBERS, "w.h5", compression=compression, fs=fs, verify=True)
    tensors = ckptfmt.open_tensors("w.h5", fs=fs)
    assert all(np.array_equal(tensors[name], array) for name, array in NUMBERS.items())


def test_values_are_aligned(tmp_path: Path) -> None:
    ckptfmt.convert(NUMBERS, tmp_path / "w.h5")
    with ckptfmt.open_tensors(tmp_path / "w.h5") as tensors:
        assert tensors["large"].flags.aligned
        assert tensors["large"].ctypes.data % 64 == 0


def test_long_metadata(tmp_path: Path) -> None:
    """Attributes of a fixed size have at most 64 KiB."""
    text = "ü" * 50_000 + "\0\udcff"
    writing = Writing(LocalFilesystem(), str(tmp_path / "w.h5"), metadata={"plan": text})
    HDF5Sink().write([], writing)
    with h5py.File(tmp_path / "w.h5") as file:
        assert file.attrs["plan"] == "ü" * 50_000 + r"\0\udcff"


def test_an_interrupted_file_is_gone_on_with(tmp_path: Path) -> None:
    arrays = {f"w{number}": np.full(1 << 18, number, np.float64) for number in range(6)}
    ckptfmt.save(tmp_path / "model", arrays)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ckptfmt.convert(tmp_path / "model", tmp_path / "w.h5", resume=True, progress=stop)
    written: list[int] = []
    ckptfmt.convert(
        tmp_path / "model",
        tmp_path / "w.h5",
        resume=True,
        verify=True,
        progress=lambda done, _: written.append(done),
    )
    ckptfmt.convert(tmp_path / "model", tmp_path / "other.h5")
    assert (tmp_path / "w.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()


class FullDisk(io.FileIO):
    """A file on a disk that takes 100,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ckptfmt.converting.sinks.hdf5.sink.open_scratch",
        lambda fs, path: Scratch(FullDisk(tmp_path / "scratch", "w+"), path),
    )
    arrays = {"w": np.random.default_rng(0).normal(size=100_000)}
    (tmp_path / "w.h5").write_bytes(b"old")
    with pytest.raises(ckptfmt.errors.NotWritableError, match="No space left") as caught:
        ckptfmt.convert(arrays, tmp_path / "w.h5", compression="gzip", overwrite=True)
    assert caught.value.file == str(tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == b"old"


@pytest.mark.parametrize(
    "call", ["open_tensors('w.h5')", "open_tensors('w.keras')", "convert({'w': 1}, 'new.h5', overwrite=True)"]
)
def test_what_to_install_is_named(tmp_path: Path, call: str) -> None:
    ckptfmt.convert({"w": 1}, tmp_path / "w.h5")
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.write(tmp_path / "w.h5", "model.weights.h5")
    code = f"import sys; sys.modules['h5py'] = None; import ckptfmt; ckptfmt.{call}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "MissingDependencyError: this needs h5py: pip install 'ckptfmt[hdf5]'" in done.stderr
    assert not (tmp_path / "new.h5").exists()
