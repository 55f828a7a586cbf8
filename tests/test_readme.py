"""What README shows is what a user gets: the picture, the table of tasks, the output and the numbers."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment
from tests.support.journeys import ROOT, beside_examples
from tests.support.make_readme_numbers import EVENT_READERS, MILLION_SCALARS, ratio, with_numbers
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


def test_there_is_one_command_for_each_task() -> None:
    assert len(TASKS) == 14
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


def test_numbers_are_those_of_the_recorded_results() -> None:
    again = "run python -m tests.support.make_readme_numbers"
    assert with_numbers(README) == README, again


def test_readers_of_events_without_tensorflow_are_as_slow_as_it_says() -> None:
    text = " ".join(section("How fast").split())
    reader, tbparse = (ratio(MILLION_SCALARS, peer) for peer in EVENT_READERS)
    assert f"takes {reader:.0f} times as long, `tbparse` {tbparse:.0f} times" in text
