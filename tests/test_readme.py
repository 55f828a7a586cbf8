"""What README shows is what a user gets: the picture, the table of tasks, the output and the numbers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.command_line import environment
from tests.support.journeys import ROOT, beside_examples
from tests.support.make_terminal_picture import PICTURE, picture

README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return what is under a heading."""
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    """Return the rows of the table in a text, without its head."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def run(args: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *args]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", cwd=folder, env=environment(), check=False
    )


def test_the_picture_is_what_the_commands_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    again = "run python -m tests.support.make_terminal_picture"
    assert PICTURE.read_text(encoding="utf-8") == picture(), again
    assert "digits/conv1/kernel" in picture()
    assert PICTURE.relative_to(ROOT).as_posix() in README


# --- I have ..., I want ... -------------------------------------------------------------------------------

TASKS = [re.sub("`", "", row[-1]) for row in cells(section("I have …, I want …"))]


def test_there_is_one_command_for_each_of_ten_tasks() -> None:
    assert len(TASKS) == 10
    assert all(task.startswith("ckptfmt ") for task in TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_done_by_its_command(task: str, tmp_path: Path) -> None:
    done = run(["-m", *shlex.split(task)], beside_examples(tmp_path))
    assert done.returncode == 0, done.stderr
    written = [path for path in tmp_path.iterdir() if not path.is_symlink()]
    assert done.stdout or all(path.stat().st_size for path in written)


# --- Python -----------------------------------------------------------------------------------------------


def test_the_output_of_the_python_example_is_shown(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", section("In Python"), re.DOTALL)
    assert found is not None
    done = run(["-c", found[1]], beside_examples(tmp_path))
    assert (done.stdout, done.stderr) == (found[2], "")


# --- numbers ----------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where a row of the numbers is measured: a file of results, a case, and each peer's best way."""

    file: str
    case: str
    tensorflow: str
    safetensors: str | None = None


GET, LOAD = "tensorflow: get_tensor", "safetensors: load_file"
SAFE_OPEN = "safetensors: safe_open"
ALL, SMALL, EVENTS = "cpu-2-processors", "small-cpu-2-processors", "events-cpu-2-processors"

SOURCES = [
    Source(ALL, "large: read all, verified, as views", GET, SAFE_OPEN),
    Source(ALL, "large: read all, verified, as copies", GET, LOAD),
    Source(ALL, "many: open and look one up", GET, SAFE_OPEN),
    Source(
        SMALL,
        "many: open and list names, dtypes, shapes",
        "tensorflow: load_checkpoint, both maps",
        SAFE_OPEN,
    ),
    Source(SMALL, "many: read all small tensors, verified", f"{GET}, in order", LOAD),
    Source(SMALL, "many: read all small tensors, verified", GET, LOAD),
    Source(ALL, "million: open", "tensorflow: load_checkpoint"),
    Source(SMALL, "million: open and list names, dtypes, shapes", "tensorflow: load_checkpoint, both maps"),
    Source(SMALL, "training: open and read every small checkpoint", GET),
    Source(ALL, "embedding: open and read 10 rows", f"{GET}, whole", "safetensors: get_slice"),
    Source(SMALL, "partitions: open and read the whole variable", GET),
    Source(ALL, "v1: open and read all", GET),
    Source(ALL, "model: freeze and write", "tensorflow: session"),
    Source(EVENTS, "events: 1,000,000 scalars into columns", "tensorflow: summary_iterator"),
    Source(SMALL, "events: open a directory of runs and list tags", "tensorflow: summary_iterator"),
    Source(ALL, "model: show a SavedModel", "saved_model_cli: show --all"),
    Source(SMALL, "process: start to first tensor of a small checkpoint", "tensorflow: load_checkpoint"),
    Source(ALL, "process: list a small checkpoint", "tensorflow: list_variables"),
]
"""The rows of the numbers in their order."""


def figures(source: Source) -> list[str]:
    """Return the cells of a row: a time, and the times of the peers with their ratios to it."""
    path = ROOT / "benchmarks" / "results" / f"{source.file}.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    libraries: dict[str, Any] = results["cases"][source.case]["libraries"]
    ours = libraries["ckptfmt"]["warm"]["median"]
    row = [time_text(ours)]
    for peer in source[2:]:
        theirs = libraries[peer]["warm"]["median"] if peer else None
        row.append("" if theirs is None else f"{time_text(theirs)} ({ratio_text(theirs / ours)})")
    return row


def time_text(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds >= 1000:
        return f"{seconds:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def ratio_text(ratio: float) -> str:
    return f"{ratio:.1f} \N{MULTIPLICATION SIGN}" if ratio < 10 else f"{ratio:,.0f} \N{MULTIPLICATION SIGN}"


def test_numbers_are_those_of_the_recorded_results() -> None:
    rows = cells(section("How fast"))
    assert [row[1:] for row in rows] == [figures(source) for source in SOURCES]
