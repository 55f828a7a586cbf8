"""Trees: drawn by rich on a terminal, in ASCII everywhere else and if rich is not installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from ckptfmt.cli.render.output import on_terminal, write_lines
from ckptfmt.cli.render.table import MAX_DRAWN

if TYPE_CHECKING:
    from rich.console import Console

INDENT = 4
"""Columns by which each level is moved to the right."""


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
    if not on_terminal() or len(branches) > MAX_DRAWN or find_spec("rich") is None:
        write_lines(_plain(branches))
        return
    # Imported here: it takes as long as reading a small checkpoint, and only a terminal needs it.
    from rich.console import Console

    # NO_COLOR asks for no colour; bold and dim are left out with it.
    console = Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if INDENT * max(branch.depth for branch in branches) > console.width // 2:
        write_lines(_plain(branches))  # rich would have no room left for the names
    else:
        _draw(branches, console)


def _plain(branches: Sequence[Branch]) -> Iterator[str]:
    """Iterate over the lines in ASCII."""
    guides = [""]  # for each level down to the current one, what its lines begin with
    for branch, is_last in zip(branches, _last_ones(branches), strict=True):
        depth = branch.depth
        text = f"{branch.name}  {branch.details}".rstrip()
        if not depth:
            yield text
            continue
        del guides[depth:]
        yield f"{guides[-1]}{'`-- ' if is_last else '|-- '}{text}"
        guides.append(f"{guides[-1]}{'    ' if is_last else '|   '}")


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


def _draw(branches: Sequence[Branch], console: Console) -> None:
    from rich.text import Text
    from rich.tree import Tree

    trail: list[Tree] = []
    for branch in branches:
        # As Text: brackets in a name are not markup.
        text = Text.assemble((branch.name, "bold"), "  ", (branch.details, "dim"), overflow="fold")
        text.rstrip()
        del trail[branch.depth :]
        trail.append(trail[-1].add(text) if trail else Tree(text, guide_style="dim"))
    console.print(trail[0], highlight=False)
