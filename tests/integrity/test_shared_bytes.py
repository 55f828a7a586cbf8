"""Tensors that share bytes are verified, and each byte is read about once."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.integrity.report import Report
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import encode_strings
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.table_writer import HEADER, encode_entry, encode_table

DATA = np.random.default_rng(0).integers(0, 256, 1 << 16, np.uint8).tobytes()


def verify(entries: dict[bytes, bytes], data: bytes = DATA) -> tuple[Report, int]:
    """Return the report on a checkpoint of these entries, and the bytes read of its data file."""
    ckpt = open_bundle(encode_table([(b"", HEADER), *sorted(entries.items())]), data)
    report = ckpt.verify()
    file = ckpt._store.shard(0, ckpt.entries[next(iter(ckpt))])  # type: ignore[attr-defined]
    assert isinstance(file, MemoryFile)
    return report, sum(size for _, size in file.reads)


def numbers(start: int, stop: int, crc: int | None = None) -> bytes:
    size = stop - start
    crc = crc32c(DATA[start:stop]) if crc is None else crc
    return encode_entry(dtype=4, shape=(size,), offset=start, size=size, crc=crc)


@pytest.mark.parametrize("step", [0, 7])
def test_each_byte_is_read_once_however_many_tensors_share_it(step: int) -> None:
    count = 500
    entries = {b"%03d" % i: numbers(i * step, len(DATA) - i * step // 2) for i in range(count)}
    report, read = verify(entries)
    assert report.ok
    assert report.tensors == report.tensors_checked == count
    assert {problem.kind for problem in report.problems} == {"overlap"}
    assert read < 3 * len(DATA)


def test_damage_is_told_of_the_tensors_that_have_it() -> None:
    entries = {b"%03d" % i: numbers(i * 100, i * 100 + 1000) for i in range(600)}
    damaged = bytearray(DATA)
    damaged[30_050] ^= 1
    report, _ = verify(entries, bytes(damaged))
    errors = [problem for problem in report.problems if problem.severity == "error"]
    assert {problem.kind for problem in errors} == {"checksum"}
    assert [problem.name for problem in errors] == [f"{i:03}" for i in range(291, 301)]
    entries[b"beyond"] = numbers(60_500, 70_000, crc=1)
    report, _ = verify(entries)
    assert [(p.kind, p.name) for p in report.problems if p.severity == "error"] == [("truncated", "beyond")]


def test_strings_that_share_bytes_are_decoded_once_or_refused() -> None:
    content = encode_strings([40_000], b"x" * 40_000)
    crc = crc32c(b"x" * 40_000, crc32c(content[3:7], crc32c((40_000).to_bytes(4, "little"))))

    def strings(name: int, size: int, crc: int) -> tuple[bytes, bytes]:
        return b"%03d" % name, encode_entry(dtype=7, shape=(1,), size=size, crc=crc)

    report, read = verify(dict(strings(i, len(content), crc) for i in range(200)), content)
    assert report.ok
    assert read < 10 * len(content)
    report, read = verify(dict(strings(i, len(content) - i, crc) for i in range(200)), content)
    assert not report.ok
    assert read < 40 * len(content)
