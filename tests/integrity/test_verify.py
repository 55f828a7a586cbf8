"""Verification: what it finds, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import (
    CorruptError,
)
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.golden import copied, flip, load
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    encode_block,
    encode_blocks,
    encode_bundle_index,
    encode_entry,
)


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


def test_verify_streams_and_reports_progress(saver: ckptfmt.Checkpoint) -> None:
    seen: list[tuple[int, int]] = []
    report = saver.verify(progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert seen[-1][0] == seen[-1][1] == report.bytes_checked
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_verify_finds_orphan_bytes_and_stale_shards(tmp_path: Path) -> None:
    path = copied("sharded", tmp_path)
    shard = next(path.parent.glob("*.data-00000-of-*"))
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes() + b"left over")
    stale = path.parent / f"{path.name}.data-00000-of-00009"
    stale.write_bytes(b"x")
    report = ckptfmt.open(path).verify()
    assert report.ok
    assert [(p.severity, p.kind, p.file, p.offset) for p in report.problems] == [
        ("warning", "orphan", str(shard), size),
        ("warning", "stale", str(stale), None),
    ]


def test_verify_goes_on_after_a_damaged_block(tmp_path: Path) -> None:
    path = copied("many", tmp_path)
    index = path.with_name(f"{path.name}.index")
    flip(index, 1000)
    with pytest.raises(CorruptError):
        list(ckptfmt.open(path, verify=False))
    flip(index, 1000)
    flip(index, index.stat().st_size // 2)
    report = ckptfmt.open(path).verify()
    assert not report.ok
    assert {problem.kind for problem in report.problems if problem.severity == "error"} == {"block"}
    assert report.tensors_checked > 100


def test_a_shard_that_the_system_refuses_is_not_reported_as_damaged(tmp_path: Path) -> None:
    path = copied("saver", tmp_path)
    shard = next(path.parent.glob(f"{path.name}.data-*"))
    shard.unlink()
    shard.mkdir()
    report = ckptfmt.open(path).verify()
    assert not report.ok
    assert {problem.kind for problem in report.problems} == {"unreadable"}


MEASURED = """
import resource, sys, ckptfmt
ckpt = ckptfmt.open(sys.argv[1])
list(ckpt)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = ckpt.verify()
assert report.ok, report.problems
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: ru_maxrss in KiB, and pages given back")
def test_verify_takes_little_memory_however_large_the_shards(tmp_path: Path) -> None:
    size, strings = 256 << 20, 3_000_000
    zeros = bytes(1 << 20)
    crc = 0
    with (tmp_path / "c.data-00000-of-00001").open("wb") as file:
        for _ in range(size >> 20):
            crc = crc32c(zeros, crc)
        file.truncate(size)
        # A great many empty strings: a byte each.
        lengths = crc32c(bytes(4 * strings))
        stored = mask(lengths).to_bytes(4, "little")
        file.seek(size + strings)
        file.write(stored)
    entries = {
        "w": encode_entry(dtype=4, shape=(size,), size=size, crc=crc),
        "s": encode_entry(
            dtype=7, shape=(strings,), offset=size, size=strings + 4, crc=crc32c(stored, lengths)
        ),
    }
    (tmp_path / "c.index").write_bytes(encode_bundle_index(entries))
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 << 10, "KiB"


def test_verify_finds_a_separator_that_hides_keys_from_look_ups() -> None:
    data = np.arange(4, dtype=np.float32).tobytes()
    entry = encode_entry(shape=(4,), size=16, crc=crc32c(data))
    for blocks in (
        [RawBlock(b"", encode_block([(b"", HEADER), (b"w", entry)]))],
        [RawBlock(b"w", encode_block([(b"", HEADER)])), RawBlock(b"x", encode_block([(b"w", entry)]))],
    ):
        ckpt = open_bundle(encode_blocks(blocks), data)
        report = ckpt.verify()
        assert [(problem.severity, problem.kind) for problem in report.problems] == [("error", "block")]
        for look in (lambda c=ckpt: "w" in c, lambda c=ckpt: c["w"], lambda c=ckpt: list(c), ckpt.read):
            with pytest.raises(CorruptError, match="of the block: got b'w', want"):
                look()
