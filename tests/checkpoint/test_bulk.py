"""Reading many tensors at once: large ones in pieces, small ones with their neighbours, in threads or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import bulk
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.errors import ChecksumError, NotReadableError
from tests.support.checkpoints import same
from tests.support.golden import flip, load
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem, open_files
from tests.support.table_writer import write_bundle

Backend = Literal["mmap", "pread"]
BACKENDS = pytest.mark.parametrize("backend", ["mmap", "pread"])


@BACKENDS
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_large_tensors_are_read_in_pieces(
    backend: Backend, threads: int | None, large: dict[str, np.ndarray], tmp_path: Path
) -> None:
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    views = ckpt.read(threads=threads)
    copies = ckpt.read(threads=threads, copy=True)
    fresh = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    fortran = np.asfortranarray(np.zeros((700, 1000)))
    given: dict[str, np.ndarray] = {"a": np.zeros(3_000_000, np.float32), "c": fortran}
    filled = fresh.read(["c", "b", "a"], threads=threads, out=given)
    assert list(filled) == ["c", "b", "a"]
    assert filled["a"] is given["a"]
    assert filled["c"] is fortran
    for found in (views, copies, filled):
        for name, array in found.items():
            np.testing.assert_array_equal(array, large[name])
    assert not any(array.flags.writeable for array in views.values())
    assert all(array.flags.writeable for array in copies.values())
    assert all(array.flags.owndata or array.base is not None for array in copies.values())


@BACKENDS
@pytest.mark.parametrize("how", [{}, {"copy": True}, {"out": True}, {"threads": 1}], ids=str)
def test_one_wrong_byte_of_a_large_tensor_is_found(
    backend: Backend, how: dict[str, Any], large: dict[str, np.ndarray], tmp_path: Path
) -> None:
    data = next(tmp_path.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    at = content.index(large["a"].tobytes()[:64]) + 11_000_001
    content[at] ^= 1
    data.write_bytes(content)
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    options = {"out": {name: np.empty_like(a) for name, a in large.items()}} if "out" in how else how
    with pytest.raises(ChecksumError, match="tensor 'a'") as caught:
        ckpt.read(**options)
    assert caught.value.file == str(data)
    with pytest.raises(ChecksumError, match="tensor 'a'"):
        ckpt["a"]
    assert not ckpt.verify().ok
    # The others are as they were, and without verifying so is this one.
    for name in ("b", "c", "small"):
        np.testing.assert_array_equal(ckpt.read([name])[name], large[name])
    unverified = ckptfmt.open(tmp_path / "ckpt", backend=backend, verify=False).read(**options)
    assert np.flatnonzero(unverified["a"].view(np.uint8) != large["a"].view(np.uint8)).size == 1


def test_only_small_tensors_asked_for_are_read_into_given_memory(tmp_path: Path) -> None:
    arrays = {"a": np.zeros(1_000_000, np.float32), "b": np.arange(4, dtype=np.float32)}
    write_bundle(tmp_path / "ckpt", arrays)
    files = {str(path): path.read_bytes() for path in tmp_path.iterdir()}
    ckpt = open_files(files, prefix=str(tmp_path / "ckpt"), has_views=False)
    out = np.zeros(4, np.float32)
    assert ckpt.read(out={"b": out})["b"] is out
    np.testing.assert_array_equal(out, arrays["b"])
    file = ckpt._store.shard(0, ckpt.entries["b"])
    assert isinstance(file, MemoryFile)
    assert [size for _, size in file.reads] == [16]


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_any_array_of_the_right_form_can_be_given(large: dict[str, np.ndarray], tmp_path: Path) -> None:
    out = np.asmatrix(np.zeros((700, 1000)))
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert ckpt.read(out={"c": out})["c"] is out
    np.testing.assert_array_equal(out, large["c"])


def test_neighbouring_small_tensors_are_read_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrays = {f"t{i:03}": np.full(10, i, np.int32) for i in range(500)}
    write_bundle(tmp_path / "ckpt", arrays)
    files = {str(path): path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(bulk, "RUN_BYTES", 4000)
    ckpt = open_files(files, prefix=str(tmp_path / "ckpt"), has_views=False)
    names = [name for name in arrays if name < "t100" or name > "t250"]
    found = ckpt.read(names[::-1])
    assert list(found) == names[::-1]
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name])
    file = ckpt._store.shard(0, ckpt.entries["t000"])
    assert isinstance(file, MemoryFile)
    # 100 and 249 tensors of 40 bytes, a hundred to a read, and nothing twice.
    assert sorted(size for _, size in file.reads[1:]) == [4000 - 40 * 51, 4000, 4000, 4000]
    with pytest.raises(ChecksumError):
        open_files({**files, file.name: bytes(20_000)}, prefix=str(tmp_path / "ckpt"), has_views=False).read()


@BACKENDS
def test_however_many_tensors_come_back_in_the_order_of_their_names(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 4)
    # Small and large ones in turn, bools, and tensors without elements among them; one string.
    kinds = (
        np.arange(6, dtype=np.int32),
        np.zeros((2, 0), np.float32),
        np.array([True, False]),
        np.arange(bulk.LARGE // 8, dtype=np.int64),
    )
    want = {f"n{number:02}": kinds[number % len(kinds)] for number in range(33)}
    write_bundle(tmp_path / "ckpt", want, strings={"n40": b"text"})
    want["n40"] = np.array(b"text", object)
    with ckptfmt.open(tmp_path / "ckpt", backend=backend) as ckpt:
        for names in (None, list(want)[::-1], list(want)[::2]):
            for copy in (False, True):
                found = ckpt.read(names, copy=copy)
                assert list(found) == (names or list(want))
                for name, array in found.items():
                    assert same(array, want[name]), name
                    assert array.flags.writeable is copy


def test_bytes_between_two_tensors_need_not_be_readable(tmp_path: Path) -> None:
    class Refusing(MemoryFile):
        def read(self, offset: int, size: int) -> memoryview:
            if offset < 40 < offset + size:
                raise NotReadableError(self.name, "Input/output error")
            return super().read(offset, size)

    want = {name: np.arange(4, dtype=np.int64) for name in "abc"}
    write_bundle(tmp_path / "ckpt", want)
    files = {str(path): path.read_bytes() for path in tmp_path.iterdir()}

    fs = MemoryFilesystem(files, has_views=False)
    for path, content in files.items():
        if ".data" in path:
            fs.files[path] = Refusing(path, content, has_views=False)
    prefix = str(tmp_path / "ckpt")
    ckpt = ckptfmt.Checkpoint(Bundle(CheckpointFiles(prefix, "v2", (f"{prefix}.index",)), fs))
    found = ckpt.read(["a", "c"])
    np.testing.assert_array_equal([found["a"], found["c"]], [want["a"], want["c"]])
    with pytest.raises(NotReadableError, match="Input/output error"):
        ckpt.read()


def test_large_tensors_are_read_by_threads_and_in_the_order_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    arrays = {f"t{i}": rng.standard_normal(300_000).astype(np.float32) for i in range(6)} | {
        "small": np.arange(3, dtype=np.int32)
    }
    write_bundle(tmp_path / "ckpt", arrays)
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    names = ["t5", "small", "t0", "t3"]
    for threads in (None, 1, 4):
        for copy in (False, True):
            got = ckpt.read(names, threads=threads, copy=copy)
            assert list(got) == names
            for name in names:
                np.testing.assert_array_equal(got[name], arrays[name])
    flip(tmp_path / "ckpt.data-00000-of-00001", 1_000_000)
    with pytest.raises(ChecksumError):
        ckptfmt.open(tmp_path / "ckpt").read()


def test_out_takes_arrays_of_any_memory_order() -> None:
    golden = load("keras3")
    ckpt = ckptfmt.open(golden.path)
    name, entry = next((n, e) for n, e in ckpt.entries.items() if len(e.shape) == 2)
    rows, columns = entry.shape
    for out in (
        np.empty(entry.shape, entry.dtype.numpy, order="F"),
        np.empty((rows, 2 * columns), entry.dtype.numpy)[:, ::2],
    ):
        assert ckpt.read(out={name: out})[name] is out
        np.testing.assert_array_equal(out, ckpt[name])
    for wrong in ([[0.0]], np.ma.masked_all(entry.shape, entry.dtype.numpy)):
        with pytest.raises(TypeError, match="want a plain ndarray"):
            ckpt.read(out={name: wrong})  # type: ignore[dict-item]
