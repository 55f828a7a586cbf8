"""The benchmarks run; what they measure is for people to judge, on a machine that is theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.tensorflow
def test_a_small_run_has_every_library_and_its_ratio(tensorflow: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    output = tmp_path / "run"
    command = [sys.executable, "-m", "benchmarks", "--small", "--rounds", "1", "--runs", "1"]
    command += ["--case", "large: read as verified views", "--output", str(output)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["environment"]["device"] == "CPU"
    (libraries,) = document["cases"].values()
    assert set(libraries) == {"ckptfmt", "ckptfmt, one thread", "tensorflow", "safetensors"}
    assert all(times["median"] > 0 for times in libraries.values())
    table = [line for line in done.stdout.splitlines() if "tensorflow" in line and line.startswith("|")]
    assert len(table) == 1
    assert float(table[0].split("|")[-2]) > 0
