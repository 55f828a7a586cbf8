"""Files mapped or read through descriptors: the same checkpoints either way, small tensors and large."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import bulk
from ckptfmt.errors import CkptfmtError, LimitError, TruncatedError
from tests.support.checkpoints import same, write_large
from tests.support.golden import GOLDEN, load
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
    return write_large(tmp_path / "ckpt")


@BACKENDS
def test_a_file_cut_short_while_it_is_open(
    backend: Backend, large: dict[str, np.ndarray], tmp_path: Path
) -> None:
    ckpt = ckptfmt.open(tmp_path / "ckpt", backend=backend)
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    data = next(tmp_path.glob("*.data-*"))
    os.truncate(data, 5_000_000)
    for read in (lambda: ckpt["a"], ckpt.read, lambda: ckpt.read(copy=True)):
        with pytest.raises(TruncatedError, match="truncated") as caught:
            read()
        assert caught.value.file == str(data)


def test_a_cut_is_noticed_from_another_directory(
    large: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ckpt = ckptfmt.open("ckpt")
    np.testing.assert_array_equal(ckpt["small"], large["small"])
    os.truncate(next(tmp_path.glob("*.data-*")), 5000)
    monkeypatch.chdir("/")
    with pytest.raises(TruncatedError, match="truncated"):
        ckpt["a"]


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
    short = r"tensor '(w|large)': bytes of memory for .*: [0-9]+ not available"
    with pytest.raises(LimitError, match=short) as caught:
        READS[how](ckpt)
    assert str(caught.value.file).startswith(str(tmp_path / "ckpt"))
