"""Bundles: data files that are missing, short or many, and tensors that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CheckpointNotFoundError, TruncatedError
from tests.support.command_line import environment
from tests.support.golden import copied
from tests.support.table_writer import encode_bundle_index, encode_entry, write_bundle


def test_opening_reads_no_data_file(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    for shard in path.parent.glob("*.data-*"):
        shard.unlink()
    ckpt = ckptfmt.open(path)
    assert ckpt.entries["global_step"].dtype.name == "int64"
    with pytest.raises(CheckpointNotFoundError, match=r"shard 0 of 1.*'global_step'") as caught:
        ckpt["global_step"]
    assert caught.value.tried == (f"{path}.data-00000-of-00001",)


def test_a_missing_shard_spoils_only_its_own_tensors(tmp_path: Path) -> None:
    path = copied("sharded", tmp_path)
    whole = ckptfmt.open(path)
    lost = {name for name, entry in whole.entries.items() if entry.shard == 1 or entry.slices}
    values = {name: whole[name].tobytes() for name in whole}
    assert 0 < len(lost) < len(values)
    next(path.parent.glob("*.data-00001-of-*")).unlink()
    ckpt = ckptfmt.open(path)
    assert list(ckpt) == list(values)
    for name in ckpt:
        if name in lost:
            with pytest.raises(CheckpointNotFoundError, match="shard 1 of"):
                ckpt[name]
        else:
            assert ckpt[name].tobytes() == values[name]
    report = ckpt.verify()
    assert [problem.kind for problem in report.problems] == ["missing"]
    assert report.tensors_checked == len(values) - len(lost)


def test_a_short_shard_spoils_only_what_is_past_its_end(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    entries = ckptfmt.open(path).entries
    last = max(entries.values(), key=lambda entry: entry.offset or 0)
    data = next(path.parent.glob(f"{path.name}.data-*"))
    data.write_bytes(data.read_bytes()[:-1])
    ckpt = ckptfmt.open(path)
    with pytest.raises(TruncatedError) as caught:
        ckpt[last.name]
    error = caught.value
    assert (error.file, error.offset) == (str(data), last.offset)
    assert (error.wanted, error.available) == (last.nbytes, last.nbytes - 1)
    assert sum(1 for name in ckpt if name != last.name and ckpt[name] is not None) == len(entries) - 1


def test_resources_are_refused_with_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ckpt.index").write_bytes(encode_bundle_index({"handle": encode_entry(dtype=20)}))
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    assert ckpt.entries["handle"].dtype.name == "resource"
    with pytest.raises(ckptfmt.errors.UnsupportedError, match=r"'handle'.*dtype resource"):
        ckpt["handle"]


MANY_SHARDS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
import ckptfmt
ckpt = ckptfmt.open(sys.argv[1])
assert ckpt.verify().ok
assert len(ckpt.read(copy=True)) == 300
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the process")
def test_more_shards_than_files_that_may_be_open(tmp_path: Path) -> None:
    tensors = {f"t{i:03}": np.full(3, i, np.int32) for i in range(300)}
    write_bundle(tmp_path / "c", tensors, num_shards=300)
    command = [sys.executable, "-c", MANY_SHARDS, str(tmp_path / "c")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
