"""Trees: drawn with lines on a terminal, in ASCII everywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptfmt.cli.render.fold import fold
from ckptfmt.cli.render.output import on_terminal, printable, write_lines
from ckptfmt.cli.render.table import MIN_TEXT
from ckptfmt.cli.render.terminal import Styles, columns

LINES = ("├── ", "└── ", "│   ", "    ")
"""What lines begin with: a child, the last child, and what is below each of them."""
ASCII_LINES = ("|-- ", "`-- ", "|   ", "    ")
"""The same for outputs that only have ASCII."""


class Branch(NamedTuple):
    """One line of a tree. Its parent is the last line before it that is one level higher."""

    depth: int
    """Level, 0 for the root."""
    name: str
    """Safe to print."""
    details: str
    """The text after the name, safe to print."""


def write_branches(branches: Sequence[Branch]) -> None:
    """Write a tree to stdout; its lines are given from top to bottom, the root first."""
    if on_terminal():
        guides = LINES if printable("".join(LINES), "") else ASCII_LINES
        write_lines(_drawn(branches, guides, columns()))
    else:
        for_each = zip(branches, _guides(branches, ASCII_LINES), strict=True)
        write_lines(f"{guide}{branch.name}  {branch.details}".rstrip() for branch, (guide, _) in for_each)


def _drawn(branches: Sequence[Branch], guides: Sequence[str], limit: int | None) -> Iterator[str]:
    """Iterate over the lines on a terminal; none that can be folded is longer than ``limit``."""
    styles = Styles()
    for branch, (guide, below) in zip(branches, _guides(branches, guides), strict=True):
        text = f"{branch.name}  {branch.details}".rstrip()
        # The deepest lines begin so far to the right that there is no room to fold them.
        is_folded = limit is not None and limit - len(guide) >= MIN_TEXT
        parts = fold(text, limit - len(guide)) if limit is not None and is_folded else [text]
        left = len(branch.name)  # characters of the name that are still to come
        for part in parts:
            name, details = part[:left], part[left:].rstrip()
            yield styles.dim(guide) + styles.bold(name) + styles.dim(details)
            guide, left = below, max(left - len(part), 0)


def _guides(branches: Sequence[Branch], guides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Iterate over what each line begins with, and what comes below that if the line is folded."""
    child, last_child, below_child, below_last = guides
    open_levels = [""]  # for each level down to the current one, what the lines of its children begin with
    for branch, is_last in zip(branches, _last_ones(branches), strict=True):
        depth = branch.depth
        if not depth:
            yield "", ""
            continue
        del open_levels[depth:]
        above = open_levels[-1]
        open_levels.append(above + (below_last if is_last else below_child))
        yield above + (last_child if is_last else child), open_levels[-1]


def _last_ones(branches: Sequence[Branch]) -> list[bool]:
    """Return for each branch whether it is the last child of its parent.

    One pass from the bottom up: a branch is the last child of its parent if no branch of its level has come
    since the last branch of a higher level.
    """
    is_last = []
    has_later: list[bool] = []  # for each level, whether a branch further down has the same parent
    for branch in reversed(branches):
        depth = branch.depth
        del has_later[depth + 1 :]
        has_later += [False] * (depth + 1 - len(has_later))
        is_last.append(not has_later[depth])
        has_later[depth] = True
    is_last.reverse()
    return is_last
