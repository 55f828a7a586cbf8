"""Conversions that are killed, or refused by the system, at any call: one whole target remains."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial as partial_
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import raw_copy
from ckptfmt.converting.sinks import byte_stream
from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.output import partial
from ckptfmt.storage.temporary import sweep
from tests.support.faults import CHANGES, QUESTIONS, REFUSALS, Calls, in_fork, killed_at, refuse

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")

OLD, NEW = 1, 2


def tensors(value: int) -> dict[str, np.ndarray[Any, Any]]:
    """All elements have one value, so that a mixture is noticed; the kernel copies the large one."""
    return {
        "a": np.full(1000, value, np.int32),
        "flag": np.full(30, True),
        "large": np.full((3, 100_000), value, np.float32),
        "z": np.full((5, 7), value, np.float16),
    }


class Case(NamedTuple):
    """What a conversion does, and whether a target exists before."""

    target: str
    is_replaced: bool
    options: dict[str, Any]


CASES = {
    "fresh": Case("new.safetensors", False, {}),
    "replaced": Case("new.safetensors", True, {"overwrite": True}),
    "in shards": Case("new.safetensors", False, {"max_shard_bytes": 10_000}),
    "shards replaced": Case("new.safetensors", True, {"max_shard_bytes": 10_000, "overwrite": True}),
    "resumed": Case("new.safetensors", False, {"resume": True}),
    "replaced, resumed": Case("new.safetensors", True, {"overwrite": True, "resume": True}),
    "in shards, resumed": Case("new.safetensors", False, {"max_shard_bytes": 10_000, "resume": True}),
    "cast, resumed": Case("new.safetensors", False, {"cast": "float64", "resume": True}),
    "checkpoint": Case("new.ckpt", False, {}),
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory in memory, if there can be one: each try syncs several files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes after every tensor, and after every piece of a large one."""
    monkeypatch.setattr(partial, "NOTED_EVERY", 1)
    monkeypatch.setattr(byte_stream, "BATCH", 1 << 10)
    monkeypatch.setattr(raw_copy, "BATCH", 1 << 10)


def prepare(directory: Path, case: Case) -> Path:
    """Return the target, in a directory with the sources and, perhaps, an old target."""
    shutil.rmtree(directory / "work", ignore_errors=True)
    (directory / "work").mkdir()
    target = directory / "work" / case.target
    if not (directory / "source").exists():
        (directory / "source").mkdir()
        for value in (OLD, NEW):
            ckptfmt.save(directory / "source" / str(value), tensors(value))
    if case.is_replaced:
        options = {**case.options, "resume": False}
        assert in_fork(lambda: convert(directory, target, OLD, options)) == 0
    return target


def convert(directory: Path, target: Path, value: int, options: dict[str, Any]) -> ckptfmt.Conversion:
    return ckptfmt.convert(directory / "source" / str(value), target, **options)


def path_of(target: Path) -> Path | None:
    """The file to open, if the target exists."""
    ends = (".index",) if target.suffix == ".ckpt" else (".index.json", "")
    return next((each for end in ends if (each := Path(f"{target}{end}")).exists()), None)


def value_of(path: Path) -> int:
    with ckptfmt.open_tensors(path) as read:
        assert set(read) == set(tensors(0))
        assert all(read.entries[name].shape == array.shape for name, array in tensors(0).items())
        values = {int(each) for name in read if name != "flag" for each in np.unique(read[name])}
    assert len(values) == 1, values
    return values.pop()


def check(target: Path, case: Case) -> None:
    """One of both targets is whole; shards that are replaced may also be without their index."""
    sweep.cache_clear()  # as in the processes of other programs
    path = path_of(target)
    if path is None:
        assert not case.is_replaced or "max_shard_bytes" in case.options
    else:
        assert value_of(path) in ((OLD, NEW) if case.is_replaced else (NEW,))


@pytest.mark.parametrize("name", CASES)
def test_a_conversion_killed_at_any_call_leaves_one_whole_target(directory: Path, name: str) -> None:
    case = CASES[name]
    for number in itertools.count(1):
        target = prepare(directory, case)
        is_killed = killed_at(number, lambda target=target: convert(directory, target, NEW, case.options))  # type: ignore[misc]
        check(target, case)
        if not is_killed:
            break
        # The next conversion is not hindered, and leaves nothing but its files.
        options = {**case.options, "overwrite": case.is_replaced or path_of(target) is not None}
        if path_of(target) is None and not case.options.get("resume"):
            options["overwrite"] = True  # shards that have their names already
        assert in_fork(partial_(convert, directory, target, NEW, options)) == 0
        path = path_of(target)
        assert path is not None
        assert value_of(path) == NEW
        left = [each for each in os.listdir(target.parent) if "partial" in each or each.startswith(".")]
        assert not left
    assert number > 10


@pytest.mark.parametrize("name", ["resumed", "in shards, resumed", "cast, resumed"])
def test_a_resumed_conversion_gives_the_same_bytes(directory: Path, name: str) -> None:
    case = CASES[name]
    target = prepare(directory, case)
    convert(directory, target, NEW, {**case.options, "resume": False})
    expected = {each.name: each.read_bytes() for each in target.parent.iterdir()}
    for number in itertools.count(1, 3):
        target = prepare(directory, case)
        is_killed = killed_at(number, lambda target=target: convert(directory, target, NEW, case.options))  # type: ignore[misc]
        if not is_killed:
            break
        # If the kill came after the rename, the journal tells that nothing is left to do.
        if path_of(target) is None or list(target.parent.glob("*.journal")):
            assert in_fork(lambda target=target: convert(directory, target, NEW, case.options)) == 0  # type: ignore[misc]
        # The index may have kept its temporary name, a second one, which the next writer removes.
        left = {each.name: each.read_bytes() for each in target.parent.iterdir() if each.name[0] != "."}
        assert left == expected


@pytest.mark.parametrize("error", REFUSALS, ids=os.strerror)
@pytest.mark.parametrize("name", ["replaced", "shards replaced", "replaced, resumed", "in shards, resumed"])
def test_a_call_that_is_refused_is_an_error_and_loses_nothing(directory: Path, name: str, error: int) -> None:
    case = CASES[name]
    for number in itertools.count(1):
        target = prepare(directory, case)
        calls = Calls(number, refuse(error))
        failed = False
        with calls.counted(CHANGES + QUESTIONS):
            try:
                convert(directory, target, NEW, case.options)
            except CkptfmtError:
                failed = True
        check(target, case)
        if not failed:
            path = path_of(target)
            assert path is not None
            assert value_of(path) == NEW
        if not calls.has_happened:
            assert not failed
            break


def test_a_full_disk_is_resumed_when_there_is_space(directory: Path) -> None:
    case = CASES["resumed"]
    target = prepare(directory, case)
    calls = Calls(25, refuse(errno.ENOSPC), after=True)
    with calls.counted(CHANGES), pytest.raises(CkptfmtError, match="No space left"):
        convert(directory, target, NEW, case.options)
    assert sorted(os.listdir(target.parent)) == ["new.safetensors.partial", "new.safetensors.partial.journal"]
    read: list[int] = []
    ckptfmt.convert(
        directory / "source" / str(NEW),
        target,
        resume=True,
        progress=lambda done, total: read.append(done),
    )
    assert read[0] > 0  # what was written counts at once
    assert os.listdir(target.parent) == ["new.safetensors"]
    assert value_of(target) == NEW
