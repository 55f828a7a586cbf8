"""Files mapped or read through descriptors: the same checkpoints either way, small tensors and large."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import bulk
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.errors import ChecksumError, CkptfmtError, LimitError, NotReadableError, TruncatedError
from tests.support.golden import GOLDEN, load
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem, open_files
from tests.support.table_writer import write_bundle

Backend = Literal["mmap", "pread"]
BACKENDS = pytest.mark.parametrize("backend", ["mmap", "pread"])
CASES = [path.stem for path in sorted(GOLDEN.glob("*.json"))]


def readable(ckpt: ckptfmt.Checkpoint) -> dict[str, np.ndarray]:
    """The tensors that can be read, one by one."""
    found = {}
    for name in ckpt:
        try:
            found[name] = ckpt[name]
        except CkptfmtError:
            continue
    return found


def same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype == object:
        return a.shape == b.shape and [str(x) for x in a.flat] == [str(x) for x in b.flat]
    return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


@pytest.mark.parametrize("case", CASES)
def test_checkpoints_read_the_same_through_descriptors(case: str) -> None:
    path = load(case).path
    mapped = ckptfmt.open(path)
    with ckptfmt.open(path, backend="pread") as ckpt:
        assert list(ckpt) == list(mapped)
        wanted = readable(mapped)
        assert list(readable(ckpt)) == list(wanted)
        for fresh in (ckpt, ckptfmt.open(path, backend="pread"), pickle.loads(pickle.dumps(ckpt))):
            for copy in (False, True):
                found = fresh.read(wanted, copy=copy)
                assert list(found) == list(wanted)
                for name, array in found.items():
                    assert same(array, wanted[name]), name
                    assert array.flags.writeable is copy
        for name, array in wanted.items():
            for index in (..., (slice(None, None, 2), ...), ([0, -1], ...)):
                if (array.ndim and array.shape[0]) or index is ...:
                    assert same(ckpt.slice(name)[index], np.asarray(array[index])), (name, index)
        assert ckpt.verify().problems == mapped.verify().problems


def test_there_are_two_backends() -> None:
    with pytest.raises(ValueError, match="backend: got 'http', want 'mmap' or 'pread'"):
        ckptfmt.open(load("saver").path, backend="http")  # type: ignore[arg-type]


@BACKENDS
def test_data_files_are_found_from_another_working_directory(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    want = {"a": np.arange(6, dtype=np.float32), "b": np.arange(40_000, dtype=np.int32)}
    for prefix in ("run/ckpt", "run/lost"):
        write_bundle(tmp_path / prefix, want, num_shards=2)
    (tmp_path / "run" / "lost.data-00001-of-00002").unlink()
    monkeypatch.chdir(tmp_path)
    ckpt, lost = (ckptfmt.open(prefix, backend=backend) for prefix in ("run/ckpt", "run/lost"))
    sent = pickle.dumps(ckpt)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for each in (ckpt, pickle.loads(sent)):
        assert each.prefix == "run/ckpt"
        assert each.verify().problems == []
        for name, array in want.items():
            np.testing.assert_array_equal(each[name], array)
    # What is missing, too short or closed goes by the path that was given.
    with pytest.raises(CkptfmtError, match=r"^run/lost\.data-00001-of-00002: no such") as caught:
        lost["b"]
    assert isinstance(caught.value, ckptfmt.errors.CheckpointNotFoundError)
    assert caught.value.tried == ("run/lost.data-00001-of-00002",)
    fresh = pickle.loads(sent)
    os.truncate(tmp_path / "run/ckpt.data-00001-of-00002", 7)
    with pytest.raises(TruncatedError, match=r"^run/ckpt\.data-00001-of-00002 @0x0: "):
        fresh["b"]
    with pytest.raises(TruncatedError, match=r"^run/ckpt\.data-00001-of-00002 @0x0: "):
        ckpt.read(["b"], copy=True)


@BACKENDS
def test_arrays_outlive_the_checkpoint(backend: Backend, tmp_path: Path) -> None:
    want = np.arange(1_000_000, dtype=np.float32)
    write_bundle(tmp_path / "ckpt", {"large": want, "small": want[:3]})
    with ckptfmt.open(tmp_path / "ckpt", backend=backend) as ckpt:
        arrays = [*ckpt.read().values(), ckpt["large"], ckpt["small"], ckpt.slice("large")[5:]]
    for path in tmp_path.iterdir():
        path.unlink()
    for array, wanted in zip(arrays, (want, want[:3], want, want[:3], want[5:]), strict=True):
        np.testing.assert_array_equal(array, wanted)
    with pytest.raises(ValueError, match="closed"):
        ckpt["large"]


@pytest.fixture
def large(tmp_path: Path) -> dict[str, np.ndarray]:
    """A checkpoint with tensors that are read in pieces by several threads."""
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {
        "a": rng.normal(size=(3_000_000,)).astype(np.float32),
        "b": rng.integers(0, 9, (1 << 18, 3), np.int32),
        "c": rng.normal(size=(700, 1000)),
        "small": np.arange(5, dtype=np.int64),
    }
    write_bundle(tmp_path / "ckpt", arrays)
    return arrays


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


@BACKENDS
def test_a_file_cut_short_while_it_is_open(
    backend: Backend, large: dict[str, np.ndarray], tmp_path: Path
) -> None:
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    data = next(tmp_path.glob("*.data-*"))
    os.truncate(data, 5_000_000)
    for read in (lambda: ckpt["a"], ckpt.read, lambda: ckpt.read(copy=True)):
        with pytest.raises(TruncatedError, match="cut short") as caught:
            read()
        assert caught.value.file == str(data)


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


def test_what_is_read_again_is_verified_again(large: dict[str, np.ndarray], tmp_path: Path) -> None:
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend="pread")
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    np.testing.assert_array_equal(ckpt.read()["b"], large["b"])
    data = next(tmp_path.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    for name in ("small", "b"):
        content[content.index(large[name].tobytes()[:40])] ^= 1
    with data.open("r+b") as file:
        file.write(content)
    for name in ("small", "b"):
        with pytest.raises(ChecksumError):
            ckpt[name]
        with pytest.raises(ChecksumError):
            ckpt.read([name])


def test_a_cut_is_noticed_from_another_directory(
    large: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ckpt = ckptfmt.open("ckpt")
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    os.truncate(next(tmp_path.glob("*.data-*")), 5000)
    monkeypatch.chdir("/")
    with pytest.raises(TruncatedError, match="cut short"):
        ckpt["a"]


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
    assert sorted(size for _, size in file.reads) == [4000 - 40 * 51, 4000, 4000, 4000]
    with pytest.raises(ChecksumError):
        open_files({**files, file.name: bytes(20_000)}, prefix=str(tmp_path / "ckpt"), has_views=False).read()


WALK = """
import sys, ckptfmt
def resident():
    return int(next(line for line in open("/proc/self/smaps_rollup") if line.startswith("Rss")).split()[1])
ckpt = ckptfmt.open(sys.argv[1], backend=sys.argv[2])
before = resident()
most = 0
for name, array in (ckpt if sys.argv[3] == "checkpoint" else ckpt.renamed([("^", "new/")])).items():
    assert array.nbytes == 8 << 20 and not array.any()
    most = max(most, resident() - before)
print(most)
"""


@BACKENDS
@pytest.mark.parametrize("what", ["checkpoint", "view"])
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not tell")
def test_walking_through_a_checkpoint_keeps_nothing(backend: Backend, what: str, tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", {f"t{i:02}": np.zeros(2 << 20, np.float32) for i in range(24)})
    arguments = [sys.executable, "-c", WALK, str(tmp_path / "ckpt"), backend, what]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000  # of 192 MiB, and each tensor has 8


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


class _NoMemory:
    """NumPy, except that it has no memory for new arrays."""

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)

    def empty(self, *arguments: object) -> np.ndarray:
        raise MemoryError


READS: dict[str, Callable[[ckptfmt.Checkpoint], object]] = {
    "part": lambda ckpt: ckpt.slice("w")[[0]],
    "nothing": lambda ckpt: ckpt.slice("w")[[]],
    "copy": lambda ckpt: ckpt.read(["large"], copy=True),
    "plan": lambda ckpt: ckpt.apply(JOINED)["w"],
    "plan, several": lambda ckpt: ckpt.apply(JOINED).read(),
}
JOINED = ckptfmt.Plan.parse(
    "version = 1\n[[step]]\ndrop = 'large'\n[[step]]\nconcat = ['^w$', '^x$']\ninto = 'w'\naxis = 0\n"
)


@BACKENDS
@pytest.mark.parametrize("how", READS)
def test_short_memory_is_an_error_that_names_file_and_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, backend: Backend
) -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_bundle(tmp_path / "ckpt", {"large": np.zeros(bulk.LARGE, np.float32), "w": w, "x": w})
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    monkeypatch.setattr("ckptfmt.arrays.array.np", _NoMemory())
    if (how, backend) == ("part", "mmap"):  # a mapped file needs none of this memory
        assert READS[how](ckpt) is not None
        return
    with pytest.raises(LimitError, match=r"tensor '(w|large)': memory for") as caught:
        READS[how](ckpt)
    assert str(caught.value.file).startswith(str(tmp_path / "ckpt"))
