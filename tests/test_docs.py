"""Every example in README and docs runs as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ckptfmt import shipped_plans
from tests.support.command_line import environment
from tests.support.corpus import CORPUS
from tests.support.journeys import ROOT, beside_examples

PAGES = [
    ROOT / "README.md",
    ROOT / "examples" / "digits" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
RUN = [
    page for page in PAGES if page.name != "cookbook.md"
]  # its recipes run one by one, in test_cookbook.py


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced code blocks in a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def programs(page: Path) -> list[str]:
    """Return the blocks of Python, without those after ``<!-- needs: package -->`` if it is not installed."""
    return [
        code
        for needed, code in re.findall(
            r"^(?:<!-- needs: ([\w.]+) -->\n\n)?```python\n(.*?)^```$",
            page.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
        if not needed or is_installed(needed)
    ]


def is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def run(command: list[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment(), encoding="utf-8"
    )


def folder_for(page: Path, folder: Path) -> Path:
    """Return where a page's code runs: here, or next to the checkpoint it names and the plan it shows.

    README's code may also write files, and so may that of a page that says so.
    """
    text = page.read_text(encoding="utf-8")
    if page == ROOT / "README.md" or "<!-- writes files -->" in text:
        return beside_examples(folder)
    named = re.search("<!-- runs beside: ([a-z_]+) -->", text)
    if named is None:
        return ROOT
    if not (CORPUS / named[1]).is_dir():
        pytest.skip(f"{page.name} is about a checkpoint of the corpus, which is not at {CORPUS}")
    (folder / named[1]).symlink_to(CORPUS / named[1])
    (folder / "plan.toml").write_text("".join(blocks(page, "toml")), encoding="utf-8")
    return folder


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    # One process for each page: later blocks may use what earlier ones define.
    code = "\n".join(programs(page))
    done = run([sys.executable, "-W", "error", "-c", code], folder_for(page, tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_shell_examples_run(page: Path) -> None:
    for line in "".join(blocks(page, "sh")).splitlines():
        command = shlex.split(line, comments=True)
        if command:
            assert command[0] == "ckptfmt", line
            done = run([sys.executable, "-m", *command])
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert done.stdout


def test_readme_has_two_commands_and_the_first_lists_a_shipped_model() -> None:
    commands = [line[2:] for block in blocks(ROOT / "README.md", "console") for line in block.splitlines()]
    assert len(commands) == 2
    install, listing = commands[0].split(" && ")
    assert install.startswith("pip install '.")
    assert commands[1].endswith("pytest")  # running it here would run this test again
    done = run([sys.executable, "-m", *shlex.split(listing)])
    assert done.returncode == 0
    assert "_trainable_variables" in done.stdout


def test_converting_lists_every_plan_that_ships() -> None:
    table = (ROOT / "docs" / "converting.md").read_text(encoding="utf-8").partition("## Plans that ship")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \| ", table, re.MULTILINE)) == set(shipped_plans())


def anchors(page: Path) -> set[str]:
    """Return the names under which the headings of a page can be linked to."""
    heads = re.findall("^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_links_within_the_project_lead_to_files_and_headings() -> None:
    for page in {*PAGES, *ROOT.glob("*.md")}:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            if "://" not in path:
                linked = page.parent / path if path else page
                assert linked.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in anchors(linked), f"{page.name}: {target}"
