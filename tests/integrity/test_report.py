"""Reports of more problems than anybody reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ckptfmt
from ckptfmt.errors import CorruptError
from ckptfmt.integrity.report import MAX_PROBLEMS, Report
from tests.support.command_line import run, run_json
from tests.support.table_writer import write_bundle


def test_a_report_lists_a_bounded_number_of_problems_and_counts_the_rest() -> None:
    report = Report()
    for number in range(MAX_PROBLEMS + 5):
        report.warn("orphan", "odd", "f")
        assert report.ok, number
    report.add("entry", CorruptError("damaged", file="f"), "w")
    assert not report.ok
    assert (len(report.problems), report.omitted, report.damaged) == (MAX_PROBLEMS, 6, {"w"})
    assert f"{MAX_PROBLEMS + 6} problems" in repr(report)


def test_the_command_line_tells_many_problems_in_a_few_lines(tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", {f"v{i:03d}": np.full(4, i, np.float32) for i in range(300)})
    data = tmp_path / "ckpt.data-00000-of-00001"
    data.write_bytes(bytes(byte ^ 1 for byte in data.read_bytes()))
    report = ckptfmt.open(tmp_path / "ckpt").verify()
    assert (len(report.problems), len(report.damaged), report.tensors_checked) == (300, 300, 0)
    result = run("verify", tmp_path / "ckpt")
    lines = result.stdout.splitlines()
    assert result.exit_code == 3
    assert len(lines) == 22
    assert all(line.startswith("error: checksum: ") for line in lines[:21])
    assert lines[20] == "error: checksum: and 280 more; --json lists them"
    assert lines[21].startswith("FAILED (damaged): 0 of 300 tensors intact")
    document = run_json("verify", tmp_path / "ckpt", code=3)
    assert (len(document["problems"]), document["problems_omitted"]) == (300, 0)
