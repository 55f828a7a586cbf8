"""A tool with strict types on top of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment
from tests.support.journeys import ROOT

TOOL = '''
"""Print the norm of each weight matrix of a checkpoint, and their mean."""

import sys

import numpy as np
import numpy.typing as npt

import ckptfmt


def norm(weight: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt((weight * weight).sum()))


def norms(weights: ckptfmt.Tensors) -> dict[str, float]:
    return {name: norm(array) for name, array in weights.items() if array.ndim == 2}


def main(path: str) -> int:
    try:
        with ckptfmt.open(path) as ckpt:
            found = norms(ckpt.weights)
    except ckptfmt.errors.CkptfmtError as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in found.items():
        print(f"{name}\\t{value:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
'''


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool.py"
    path.write_text(TOOL, encoding="utf-8")
    return path


def test_it_passes_strict_mypy(tool: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tool.parent}"]
    output, errors, _ = mypy.run([*options, str(tool)])
    assert (output, errors) == ("Success: no issues found in 1 source file\n", "")


def test_it_runs(tool: Path) -> None:
    def run(path: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", str(tool), str(path)]
        return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)

    done = run(ROOT / "examples" / "digits")
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["digits/logits/kernel"]
    failed = run(tool)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert len(failed.stderr.splitlines()) == 1
