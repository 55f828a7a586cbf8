"""The part of docs/command-line.md that explains each verb, written from the help of the verbs.

python -m tests.support.make_command_line_page
"""

from __future__ import annotations

from pathlib import Path

from ckptfmt.cli.app import VERBS
from tests.support.command_line import run

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"

MARK = "<!-- From here on written by tests/support/make_command_line_page.py. -->\n"


def page() -> str:
    """Return the text of the page: what is before the mark as it is, and the help of everything after it."""
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    sections = [_section("The whole command", "help")]
    sections += [_section(f"ckptfmt {verb}", "help", verb) for verb in VERBS if verb != "help"]
    return "\n".join([written + MARK, *sections])


def _section(title: str, *command: str) -> str:
    return f"## {title}\n\n```text\n{run(*command).stdout}```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
