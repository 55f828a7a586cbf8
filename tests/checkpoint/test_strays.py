"""Data files and indexes under other names than theirs, in errors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.strays import MAX_HINTS
from ckptfmt.errors import CheckpointNotFoundError
from tests.support.checkpoints import not_found
from tests.support.table_writer import write_bundle

DATA = "m.data-00000-of-00001"


def message() -> str:
    with pytest.raises(CheckpointNotFoundError) as caught:
        ckptfmt.open("m")["w"]
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("m.data", "m (1).data-00000-of-00001", "m(1).data-00000-of-00001", f"{DATA} (1)", f"{DATA}(2)"),
        *(f"{DATA}.{added}" for added in ("txt", "download", "crdownload", "part", "bak", "tempstate12")),
        *("other.data-00000-of-00001", "m_data-00000-of-00001", "M.data-00000-of-00001"),
        *("m - Copy.data-00000-of-00001", "m.data-0000-of-0001"),
    ],
)
def test_a_file_that_may_be_the_missing_one_is_named(name: str) -> None:
    write_bundle("m")
    os.rename(DATA, name)
    assert message() == (
        f"{DATA}: no such file: shard 0 of 1 of m.index, which holds tensor 'w'; "
        f"{name} exists: rename it to {DATA} if it is this file"
    )
    assert f"{name} exists: rename it to {DATA}" in str(ckptfmt.open("m").verify().problems[0])


def test_what_cannot_be_the_file_is_not_named() -> None:
    write_bundle("m")
    os.unlink(DATA)
    write_bundle("other")  # it has an index of its own
    Path("lonely.data-00000-of-00001").write_bytes(b"short")
    Path("m.txt").write_bytes(b"x" * 100)
    Path("x.data-00001-of-00002").write_bytes(b"x" * 100)
    assert message().endswith("which holds tensor 'w'")


def test_a_few_of_many_missing_files_are_looked_for() -> None:
    arrays = {f"w{i:02d}": np.zeros(1, np.float32) for i in range(30)}
    write_bundle("m", arrays, num_shards=30)
    for i in range(30):
        os.rename(f"m.data-{i:05d}-of-00030", f"x.data-{i:05d}-of-00030")
    problems = ckptfmt.open("m").verify().problems
    assert len(problems) == 30
    assert sum("rename it to" in str(problem) for problem in problems) == MAX_HINTS


def test_packed_files_are_to_be_unpacked() -> None:
    write_bundle("m")
    os.rename(DATA, f"{DATA}.gz")
    Path(f"{DATA}.gz").write_bytes(b"x" * 100)
    assert f"{DATA}.gz exists: unpack it to {DATA}" in message()


def test_several_candidates_are_listed() -> None:
    write_bundle("m")
    content = Path(DATA).read_bytes()
    os.unlink(DATA)
    for name in ("a", "b"):
        Path(f"{name}.data-00000-of-00001").write_bytes(content)
    assert "a.data-00000-of-00001, b.data-00000-of-00001 exist: rename one to" in message()


def test_data_files_of_another_save_are_called_that() -> None:
    write_bundle("m")
    os.rename(DATA, "m.data-00000-of-00002")
    assert message().endswith("the data files beside it are of another save: m.data-00000-of-00002")


@pytest.mark.parametrize("name", ["m.index (1)", "m.index.txt", "m.index.crdownload", "m.idx"])
def test_an_index_with_something_added_is_named(name: str) -> None:
    write_bundle("m")
    write_bundle("good")
    os.rename("m.index", name)
    for path in ("m", "m.index", DATA):
        assert str(not_found(path)).endswith(
            f"{DATA} exists, but m.index does not; {name} is its index: rename it to m.index"
        )


@pytest.mark.parametrize("name", ["m (1).index", "M.index", "other.index", "m(1).index"])
def test_an_index_without_data_files_is_named(name: str) -> None:
    write_bundle("m")
    os.rename("m.index", name)
    assert str(not_found("m")).endswith(
        f"{name} has no data files: rename it to m.index if it belongs to these"
    )
