"""Writers that are killed, or refused by the system, at any call: one whole checkpoint remains."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import prefix_claim
from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.temporary import sweep
from tests.support.faults import CHANGES, QUESTIONS, REFUSALS, Calls, in_fork, killed_at, refuse

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")


def tensors(value: int) -> dict[str, np.ndarray]:
    """Tensors of one save: all elements of all of them are of one value, so that a mixture is noticed."""
    return {
        "a": np.full(1000, value, np.int32),
        "b/c": np.full((2, 30_000), value, np.float32),
        "label": np.array([b"%d" % value] * 3, object),
    }


def value_of(prefix: Path) -> int:
    """The one value that a checkpoint holds, which is intact."""
    with ckptfmt.open(prefix) as ckpt:
        report = ckpt.verify()
        assert report.ok, report
        assert set(ckpt) == set(tensors(0))
        values = {int(each) for name in ckpt for each in np.unique(ckpt[name].astype(int))}
    assert len(values) == 1, values
    return values.pop()


def files_of(prefix: Path) -> set[str]:
    """The files that a checkpoint consists of, if there is one."""
    if not Path(f"{prefix}.index").exists():
        return set()
    with ckptfmt.open(prefix) as ckpt:
        count = ckpt.num_shards
        return {f"{prefix.name}.index"} | {
            f"{prefix.name}.data-{shard:05d}-of-{count:05d}" for shard in range(count)
        }


def save(prefix: Path, value: int, **options: int) -> None:
    ckptfmt.save(prefix, tensors(value), **options)  # type: ignore[arg-type]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, if there can be one: each try syncs a dozen files."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path / "directory"
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made, "directory")


class Case(NamedTuple):
    """What a writer does to a directory, and what is in it before."""

    before: Mapping[str, int]
    """Number of shards of the saves that come before, by what they are called."""
    options: Mapping[str, int]


CASES = {
    "fresh": Case({}, {}),
    "fresh, in three shards": Case({}, {"num_shards": 3}),
    "fresh, in shards as needed": Case({}, {"max_shard_bytes": 5000}),
    "over one": Case({"old": 1}, {"overwrite": True}),
    "over more shards": Case({"old": 3}, {"overwrite": True}),
    "over fewer shards": Case({"old": 1}, {"overwrite": True, "num_shards": 2}),
    "over as many shards": Case({"old": 2}, {"overwrite": True, "num_shards": 2}),
    "over one, unsynced": Case({"old": 1}, {"overwrite": True, "sync": False}),
}

OLD, NEW = 1, 2


def prepare(directory: Path, case: Case) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    prefix = directory / "ckpt"
    for num_shards in case.before.values():
        assert in_fork(lambda count=num_shards: save(prefix, OLD, overwrite=True, num_shards=count)) == 0  # type: ignore[misc]
    return prefix


def write(prefix: Path, case: Case) -> None:
    options = dict(case.options)
    with ckptfmt.CheckpointWriter(prefix, **options) as writer:  # type: ignore[arg-type]
        for name, values in tensors(NEW).items():
            writer.add(name, values)


def check(prefix: Path, case: Case) -> None:
    """One of both checkpoints is whole; the next writers remove all that the killed one has left."""
    directory = prefix.parent
    sweep.cache_clear()  # as in the processes of other programs
    prefix_claim._clean_local.cache_clear()
    exists = Path(f"{prefix}.index").exists()
    assert exists or not case.before
    value = value_of(prefix) if exists else None
    assert value in ((OLD, NEW) if case.before else (None, NEW))
    # A writer of another prefix removes what the first one left, and nothing else.
    assert in_fork(lambda: save(directory / "other", 5)) == 0
    assert set(os.listdir(directory)) == files_of(prefix) | files_of(directory / "other")
    assert (value_of(prefix) if exists else None) == value
    assert value_of(directory / "other") == 5
    # The next writer of the prefix is not hindered.
    assert in_fork(lambda: save(prefix, 6, overwrite=exists)) == 0
    assert value_of(prefix) == 6
    assert set(os.listdir(directory)) == files_of(prefix) | files_of(directory / "other")


@pytest.mark.parametrize("name", CASES)
def test_a_writer_killed_at_any_call_leaves_one_whole_checkpoint(directory: Path, name: str) -> None:
    case = CASES[name]
    for number in itertools.count(1):
        prefix = prepare(directory, case)
        is_killed = killed_at(number, lambda prefix=prefix: write(prefix, case))  # type: ignore[misc]
        check(prefix, case)
        if not is_killed:
            break
    assert number > 15


def test_a_writer_killed_at_any_moment_leaves_one_whole_checkpoint(directory: Path) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    case = CASES["over as many shards"]
    met = 0
    for _ in range(40):
        prefix = prepare(directory, case)
        begun, signals = os.pipe()
        process = os.fork()
        if not process:
            while True:
                write(prefix, case)
                os.write(signals, b".")
        os.read(begun, 1)
        time.sleep(rng.random() * 0.01)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(begun)
        os.close(signals)
        met += len(os.listdir(prefix.parent)) != 3
        check(prefix, case)
    assert met > 3, f"hardly any kill met a writer at work, seed {seed}"


def test_the_next_writer_of_the_prefix_removes_what_a_killed_one_left(directory: Path) -> None:
    case = CASES["over fewer shards"]
    for number in itertools.count(1):
        prefix = prepare(directory, case)
        is_killed = killed_at(number, lambda prefix=prefix: write(prefix, case))  # type: ignore[misc]
        assert in_fork(lambda prefix=prefix: save(prefix, 6, overwrite=True)) == 0  # type: ignore[misc]
        assert value_of(prefix) == 6
        assert set(os.listdir(prefix.parent)) == files_of(prefix)
        if not is_killed:
            break


def test_a_fresh_prefix_is_free_again_after_a_kill(directory: Path) -> None:
    case = CASES["fresh, in three shards"]
    for number in itertools.count(1):
        prefix = prepare(directory, case)
        is_killed = killed_at(number, lambda prefix=prefix: write(prefix, case))  # type: ignore[misc]
        if Path(f"{prefix}.index").exists():
            assert value_of(prefix) == NEW
        else:
            assert in_fork(lambda prefix=prefix: write(prefix, case)) == 0  # type: ignore[misc]
            assert sorted(os.listdir(prefix.parent)) == sorted(files_of(prefix))
            assert len(files_of(prefix)) == 4
        if not is_killed:
            break


def test_a_copy_over_its_own_source_that_is_killed_loses_nothing(directory: Path) -> None:
    def make(num_shards: int) -> None:
        with ckptfmt.CheckpointWriter(prefix, num_shards=num_shards, overwrite=True) as writer:
            for name, values in tensors(OLD).items():
                writer.add(name, values)
            writer.add("large", np.full(200_000, OLD, np.int32))  # the kernel copies it

    def copy() -> None:
        with ckptfmt.open(prefix) as ckpt:
            changed = ckpt.renamed(lambda name: name.replace("large", "big"))
            ckptfmt.save(prefix, changed, overwrite=True, num_shards=2)

    prefix = directory / "ckpt"
    for number in itertools.count(1):
        shutil.rmtree(directory, ignore_errors=True)
        assert in_fork(lambda: make(2)) == 0
        is_killed = killed_at(number, copy)
        with ckptfmt.open(prefix) as ckpt:
            assert ckpt.verify().ok
            assert set(ckpt) - {"large", "big"} == set(tensors(0))
            assert {int(each) for name in ckpt for each in np.unique(ckpt[name].astype(int))} == {OLD}
        assert in_fork(lambda: make(1)) == 0
        assert set(os.listdir(directory)) == files_of(prefix)
        if not is_killed:
            break
    assert number > 20


def manage(directory: Path, values: Iterable[int]) -> ckptfmt.CheckpointManager:
    manager = ckptfmt.CheckpointManager(directory, max_to_keep=2)
    for value in values:
        manager.save(tensors(value))
    return manager


def test_a_training_directory_always_has_its_latest_checkpoint(directory: Path) -> None:
    for number in itertools.count(1):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        assert in_fork(lambda: manage(directory, [1, 2, 3])) == 0
        is_killed = killed_at(number, lambda: manage(directory, [4]))
        latest = ckptfmt.latest_checkpoint(directory)
        assert latest is not None
        assert value_of(Path(latest)) == (3 if latest.endswith("ckpt-3") else 4)
        # The run goes on, and nothing is left of what was killed.
        assert in_fork(lambda: manage(directory, [5])) == 0
        kept = manage(directory, []).checkpoints
        assert value_of(Path(kept[-1])) == 5
        expected = set.union({"checkpoint"}, *(files_of(Path(each)) for each in kept))
        assert set(os.listdir(directory)) == expected
        if not is_killed:
            break
    assert number > 40


# --- refused ------------------------------------------------------------------------------------------------


def refused(
    directory: Path, case: Case, error: int, *, after: bool
) -> Iterator[tuple[int, Path, Calls, bool]]:
    """Yield what a writer leaves whose n-th call the system refuses, for every n, and whether it failed."""
    for number in itertools.count(1):
        prefix = prepare(directory, case)
        calls = Calls(number, refuse(error), after=after)
        failed = False
        with calls.counted(CHANGES + QUESTIONS):
            try:
                write(prefix, case)
            except CkptfmtError:
                failed = True
        yield number, prefix, calls, failed
        if not calls.has_happened:
            assert not failed
            return


@pytest.mark.parametrize("error", REFUSALS, ids=os.strerror)
@pytest.mark.parametrize("name", ["fresh, in three shards", "over as many shards", "over one, unsynced"])
def test_a_call_that_is_refused_is_an_error_and_loses_nothing(directory: Path, name: str, error: int) -> None:
    case = CASES[name]
    for number, prefix, calls, failed in refused(directory, case, error, after=False):
        what = f"call {number}, {calls.name}"
        exists = Path(f"{prefix}.index").exists()
        if not failed:
            assert value_of(prefix) == NEW, what
        elif exists:
            assert value_of(prefix) in (OLD, NEW), what
        else:
            assert not case.before, what
        if calls.name != "unlink":
            left = set(os.listdir(prefix.parent)) - files_of(prefix)
            assert not any(".data-" in each for each in left if ".tempstate" in each), what
        check(prefix, case)


@pytest.mark.parametrize("name", ["fresh", "over as many shards"])
def test_a_disk_that_fails_for_good_loses_nothing(directory: Path, name: str) -> None:
    case = CASES[name]
    for _, prefix, _, failed in refused(directory, case, errno.EIO, after=True):
        assert failed or value_of(prefix) == NEW
        check(prefix, case)
