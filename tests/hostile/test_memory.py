"""Files that ask for more memory than exists: an error of this package that names the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ckptfmt.wire.coding import encode_varint
from tests.support.bundles import GOOD
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    encode_block,
    encode_blocks,
    encode_field,
    encode_table,
)

pytest.importorskip("resource", reason="this system cannot limit the memory of a process")

ROOT = Path(__file__).parents[2]


def run_limited(*arguments: str) -> str:
    """Run ``tests.support.limited_memory`` and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.limited_memory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        # The threads of OpenBLAS would take address space, which is what is limited.
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_claims_of_gigabytes_are_refused_without_allocating_them() -> None:
    assert run_limited("claims").startswith("refused")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux: the memory of a process")
def test_running_out_of_memory_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    # Snappy: 64 zeros in 3 bytes. One byte is stored as it is, and the rest copied from one byte back.
    copies = (128 << 20) // 64
    zeros = encode_varint(1 + 64 * copies) + b"\0\0" + b"\xfe\1\0" * copies
    header = RawBlock(b"\0", encode_block([(b"", HEADER)]))
    long_names = [(b"%06d" % i + b"n" * 2_000, GOOD) for i in range(60_000)]
    many_entries = [(b"%07d" % i, GOOD) for i in range(400_000)]
    metas = encode_field(1, encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, 1)) * 10
    files = {
        "block.index": encode_blocks([header, RawBlock(b"z", zeros, 1)]),
        "names.index": encode_table([(b"", HEADER), *long_names], compression="snappy"),
        "entries.index": encode_table([(b"", HEADER), *many_entries], compression="snappy"),
        "v1": encode_blocks(
            [RawBlock(b"\0", encode_block([(b"", encode_field(1, metas))])), RawBlock(b"z", zeros, 1)]
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    lines = run_limited("bombs", str(tmp_path)).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["block", "Report"],
        ["names", "LimitError"],
        ["entries", "LimitError"],
        ["v1", "Report"],
    ]
