"""Data files being written: which tensor goes where, by several threads, and what happens when one fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import NotWritableError
from tests.support.command_line import environment
from tests.support.memory_filesystem import MemoryFilesystem, MemoryOutput


def arrays(count: int, *, largest: int = 3000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"w{i:04d}": rng.random(int(rng.integers(largest)), np.float32) for i in range(count)}


def assert_stored(ckpt: ckptfmt.Checkpoint, want: dict[str, np.ndarray]) -> None:
    assert ckpt.verify().ok
    assert list(ckpt) == sorted(want)
    for name, array in want.items():
        assert np.array_equal(ckpt[name], array)


def shard_sizes(ckpt: ckptfmt.Checkpoint) -> list[int]:
    sizes = [0] * ckpt.num_shards
    for entry in ckpt.entries.values():
        assert entry.shard is not None
        sizes[entry.shard] += entry.nbytes
    return sizes


class WatchedFilesystem(MemoryFilesystem):
    """A file system in memory that calls a function before each write."""

    def __init__(self, before_write: Callable[[str, int], None]) -> None:
        super().__init__()
        self._before_write = before_write

    def create(self, path: str, **options: Any) -> MemoryOutput:
        output, write, before = super().create(path, **options), MemoryOutput.write, self._before_write

        class Watched(MemoryOutput):
            def write(self, data: bytes | bytearray | memoryview) -> None:
                before(self.name, len(data))
                write(self, data)

        output.__class__ = Watched
        return output


# --- which shard ---------------------------------------------------------------------------------------


def test_shards_are_filled_evenly(tmp_path: Path) -> None:
    tensors = arrays(500)
    for together in (False, True):
        prefix = tmp_path / f"ckpt-{together}"
        with ckptfmt.CheckpointWriter(prefix, num_shards=4) as writer:
            if together:
                writer.add_all(tensors)
            else:
                for name, array in tensors.items():
                    writer.add(name, array)
        with ckptfmt.open(prefix) as ckpt:
            assert_stored(ckpt, tensors)
            sizes = shard_sizes(ckpt)
            assert max(sizes) - min(sizes) <= max(array.nbytes for array in tensors.values())


def test_every_shard_exists_even_without_tensors(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", num_shards=3) as writer:
        writer.add("w", 1)
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert (ckpt.num_shards, len(list(tmp_path.iterdir()))) == (3, 4)
        assert ckpt["w"] == 1


def test_a_checkpoint_of_nothing_is_one(tmp_path: Path) -> None:
    for options in ({}, {"num_shards": 2}, {"max_shard_bytes": 10}):
        with ckptfmt.CheckpointWriter(tmp_path / "ckpt", overwrite=True, **options) as writer:  # type: ignore[arg-type]
            writer.add_all({})
        assert list(ckptfmt.open(tmp_path / "ckpt")) == []


@pytest.mark.parametrize("together", [False, True])
def test_a_shard_ends_before_it_has_too_many_bytes(tmp_path: Path, together: bool) -> None:
    tensors = {f"w{i}": np.zeros(size, np.uint8) for i, size in enumerate([60, 40, 1, 250, 99, 0, 1, 1])}
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", max_shard_bytes=100) as writer:
        if together:
            writer.add_all(tensors)
        else:
            for name, array in tensors.items():
                writer.add(name, array)
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert [ckpt.entries[name].shard for name in tensors] == [0, 0, 1, 2, 3, 3, 3, 4]
        assert_stored(ckpt, tensors)


@pytest.mark.parametrize(
    "options", [{}, {"num_shards": 3}, {"max_shard_bytes": 5000}, {"alignment": 64, "num_shards": 2}], ids=str
)
def test_many_at_once_are_written_as_one_by_one(tmp_path: Path, options: dict[str, Any]) -> None:
    tensors: dict[str, Any] = dict(arrays(700, largest=600))
    for i in range(0, 700, 60):  # with others between the small ones
        others = [b"text", np.float64(1), np.zeros((300, 300)).T, [1, 2], np.zeros(8, ">i4")]
        tensors[f"other{i}"] = others[i % len(others)]
    with ckptfmt.CheckpointWriter(tmp_path / "one", **options) as writer:
        for name, values in tensors.items():
            writer.add(name, values)
    with ckptfmt.CheckpointWriter(tmp_path / "dict", **options) as writer:
        writer.add_all(tensors)
    with ckptfmt.CheckpointWriter(tmp_path / "pairs", **options) as writer:
        writer.add_all((name, values) for name, values in tensors.items())
    one = {path.name.removeprefix("one"): path.read_bytes() for path in tmp_path.glob("one.*")}
    for way in ("dict", "pairs"):
        assert {path.name.removeprefix(way): path.read_bytes() for path in tmp_path.glob(f"{way}.*")} == one


def test_dtypes_of_many(tmp_path: Path) -> None:
    tensors = {f"w{i}": np.full(3, i, np.int8) for i in range(40)}
    dtypes = {f"w{i}": "qint8" for i in range(20)} | {"w30": "float32"}
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add_all(tensors, dtypes=dtypes)
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert {name: ckpt.entries[name].dtype.name for name in ckpt} == dict.fromkeys(
            tensors, "int8"
        ) | dtypes
        for name, array in tensors.items():
            assert ckpt[name].tolist() == array.tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"num_shards": 0},
        {"num_shards": 100_000},
        {"max_shard_bytes": 0},
        {"num_shards": 1, "max_shard_bytes": 1},
        {"alignment": 0},
        {"block_size": 0},
        {"compression": "zlib"},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ckptfmt.CheckpointWriter(tmp_path / "ckpt", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "shard"), [({}, 1), ({"num_shards": 2}, -1), ({"max_shard_bytes": 9}, 0)]
)
def test_a_shard_that_does_not_exist_is_refused(options: dict[str, Any], shard: int) -> None:
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs, **options) as writer:
        with pytest.raises(ValueError, match="shard: got"):
            writer.add("w", 1, shard=shard)
        writer.add("w", 2)
    assert ckptfmt.open("ckpt", fs=fs)["w"] == 2


# --- threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_shards": 4}, {"max_shard_bytes": 1 << 20}], ids=str)
def test_threads_add_tensors_at_the_same_time(tmp_path: Path, options: dict[str, Any]) -> None:
    tensors = arrays(400) | {f"large{i}": np.full(3 << 20, i, np.float32) for i in range(4)}
    slices = np.arange(80).reshape(40, 2)
    many = {f"many{i}": np.ones(3) for i in range(100)}
    with (
        ckptfmt.CheckpointWriter(tmp_path / "ckpt", sync=False, **options) as writer,
        ThreadPoolExecutor(8) as pool,
    ):
        jobs = [pool.submit(writer.add, name, array) for name, array in tensors.items()]
        jobs += [
            pool.submit(writer.add_slice, "p", (40, 2), f"{i},1:-", slices[i : i + 1]) for i in range(40)
        ]
        jobs.append(pool.submit(writer.add_all, many))
        for job in jobs:
            job.result()
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert_stored(ckpt, tensors | {"p": slices} | many)


def test_shards_are_written_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def wait_for_the_other(path: str, size: int) -> None:
        if size == 4_000:
            both.wait()  # passes only if the other shard is being written too

    fs = WatchedFilesystem(wait_for_the_other)
    with ckptfmt.CheckpointWriter("ckpt", num_shards=2, fs=fs) as writer, ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(writer.add, name, np.zeros(1000, np.float32)) for name in "ab"]:
            job.result()
    assert ckptfmt.open("ckpt", fs=fs).verify().ok


def test_one_of_several_threads_has_a_name() -> None:
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs) as writer, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(writer.add, "w", i) for i in range(50)]
        assert sum(job.exception() is None for job in jobs) == 1
    assert len(ckptfmt.open("ckpt", fs=fs)) == 1


# --- failures ------------------------------------------------------------------------------------------


def failing(*, after: int, error: BaseException) -> Callable[[str, int], None]:
    left = [after]

    def before_write(path: str, size: int) -> None:
        left[0] -= size
        if left[0] < 0:
            left[0] = 1 << 60  # once only
            raise error

    return before_write


VALUES = [np.zeros(1000), np.zeros((1000, 1000)), np.zeros((1000, 2000)).T, [b"x" * 500] * 4]
ERRORS = [NotWritableError("ckpt", "disk full"), MemoryError(), KeyboardInterrupt()]


@pytest.mark.parametrize("values", VALUES, ids=["small", "large", "transposed", "strings"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_tensor_that_is_not_written_whole_ends_the_writer(values: Any, error: BaseException) -> None:
    fs = WatchedFilesystem(failing(after=1200, error=error))
    writer = ckptfmt.CheckpointWriter("ckpt", fs=fs)
    writer.add("before", np.zeros(100))
    with pytest.raises(type(error)):
        writer.add("w", values)
    with pytest.raises(NotWritableError):
        writer.add("after", 1)
    with pytest.raises(NotWritableError):
        writer.add_all({"after": np.ones(1)})
    with pytest.raises(NotWritableError):
        writer.commit()
    assert fs.files == {}


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = ckptfmt.CheckpointWriter(tmp_path / "ckpt")
    writer.add("w", 1)
    writer.commit()
    writer.commit()
    writer.discard()
    for add in (
        lambda: writer.add("v", 1),
        lambda: writer.add_all({"v": np.ones(1)}),
        lambda: writer.add_slice("v", (2,), "0,1", [1]),
        lambda: writer.add_strings("v", "a"),
    ):
        with pytest.raises(ValueError, match="the writer is closed"):
            add()
    assert ckptfmt.open(tmp_path / "ckpt")["w"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files to set")
def test_a_checkpoint_may_have_more_files_than_a_process_may_have_open(tmp_path: Path) -> None:
    code = (
        "import resource, numpy, ckptfmt\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "tensors = {f'w{number}': numpy.full(25, number, numpy.float32) for number in range(150)}\n"
        "ckptfmt.save('a', tensors, num_shards=150)\n"
        "with ckptfmt.CheckpointWriter('b', max_shard_bytes=100) as writer:\n"
        "    writer.add_all(tensors)\n"
        "ckptfmt.save('c', ckptfmt.open('b'))\n"
        "for prefix in 'abc':\n"
        "    ckpt = ckptfmt.open(prefix)\n"
        "    assert ckpt.num_shards == 150 and ckpt.verify().ok\n"
        "    assert ckpt['w149'][0] == 149\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows needs no locks")
def test_another_process_leaves_the_whole_files_of_a_writer(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", max_shard_bytes=100) as writer:
        for number in range(3):
            writer.add(f"w{number}", np.full(25, number, np.float32))
        other = f"import ckptfmt; ckptfmt.save({str(tmp_path / 'other')!r}, {{'w': 1}})"
        subprocess.run([sys.executable, "-c", other], env=environment(), check=True)
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    assert (ckpt.num_shards, ckpt["w0"][0], ckpt.verify().ok) == (3, 0, True)


@pytest.mark.parametrize("option", ["num_shards", "max_shard_bytes"])
def test_sizes_are_numbers(tmp_path: Path, option: str) -> None:
    with pytest.raises(TypeError, match=f"{option}: got '1GB', want an int"):
        ckptfmt.save(tmp_path / "ckpt", {"w": 1}, **{option: "1GB"})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
