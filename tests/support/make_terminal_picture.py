"""The picture of README, from real output: ``python -m tests.support.make_terminal_picture``."""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

from tests.support.command_line import run, shown_on_terminal

ROOT = Path(__file__).parent.parent.parent
PICTURE = ROOT / "docs" / "terminal.svg"

COMMANDS = (
    "ckptfmt examples/digits",
    "ckptfmt ls examples/digits --weights",
    "ckptfmt verify examples/digits --finite",
    "ckptfmt ls tests/data/records/train-00000-of-00002",
)

COLUMNS = 84
CHARACTER, LINE, MARGIN = 7.8, 18, 16
"""Pixels: the width of a character, the height of a line, and what is kept free around the text."""

STYLE = """
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.b { font-weight: bold }
.d { fill: #6e7781 }
.p { fill: #1a7f37; font-weight: bold }
@media (prefers-color-scheme: dark) {
rect { fill: #0d1117; stroke: #30363d }
text { fill: #e6edf3 }
.d { fill: #8b949e }
.p { fill: #3fb950 }
}
"""

CLASSES = {"\x1b[1m": "b", "\x1b[2m": "d"}


def picture() -> str:
    """Return the SVG of a terminal, which is as light or dark as its viewer's screen."""
    lines = []
    for command in COMMANDS:
        lines += [(f"$ {command}", f'<tspan class="p">$</tspan> {html.escape(command)}')]
        lines += [(_plain(line), _marked_up(line)) for line in _shown(command)]
        lines += [("", "")]
    lines.pop()
    assert max(len(plain) for plain, _ in lines) <= COLUMNS
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    texts = [
        # The length keeps the columns where they are, whatever font the viewer has.
        f'<text x="{MARGIN}" y="{MARGIN + number * LINE + 13}" textLength="{len(plain) * CHARACTER:.1f}"'
        f' xml:space="preserve">{marked_up}</text>\n'
        for number, (plain, marked_up) in enumerate(lines)
        if plain
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{"".join(texts)}</svg>\n'
    )


def _shown(command: str) -> list[str]:
    """Return the lines that a terminal shows for a command, or the message if it fails."""
    args = shlex.split(command)[1:]
    result = run(*args)
    if result.exit_code:
        message = result.stderr.rstrip("\n")
        # Terminals break lines anywhere.
        return [message[start : start + COLUMNS] for start in range(0, len(message), COLUMNS)]
    _, shown = shown_on_terminal(*args, columns=COLUMNS, styles=True)
    return shown.splitlines()


def _plain(line: str) -> str:
    return re.sub("\x1b\\[[0-9]*m", "", line)


def _marked_up(line: str) -> str:
    """Return a line with its bold and dim parts as elements."""
    return re.sub(
        "(\x1b\\[[12]m)(.*?)\x1b\\[0m",
        lambda match: f'<tspan class="{CLASSES[match[1]]}">{match[2]}</tspan>',
        html.escape(line, quote=False),
    )


if __name__ == "__main__":
    os.chdir(ROOT)
    PICTURE.write_text(picture(), encoding="utf-8")
