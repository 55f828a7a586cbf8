"""Trees: drawn by rich on a terminal, in ASCII everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ckptfmt import errors
from ckptfmt.cli.render.output import on_terminal, write_lines
from ckptfmt.cli.render.table import MAX_DRAWN

if TYPE_CHECKING:
    from rich.console import Console

GUIDE = 4
"""Columns that each level is moved to the right."""


class Branch(NamedTuple):
    """One line of a tree, below the last one before it that is one level higher."""

    depth: int
    """Level, 0 for the root."""
    name: str
    """Safe to print, as the details."""
    details: str


def write_branches(branches: Sequence[Branch]) -> None:
    """Write a tree to stdout, its lines given from top to bottom, the root first."""
    if not on_terminal() or len(branches) > MAX_DRAWN:
        write_lines(_plain(branches))
        return
    # Imported here: it takes as long as reading a small checkpoint, and only a terminal has a use for it.
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        raise errors.MissingDependencyError("rich", "cli") from None
    # NO_COLOR means no colour; take bold and dim for colour, too.
    console = Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if GUIDE * max(branch.depth for branch in branches) > console.width // 2:
        write_lines(_plain(branches))  # rich would have no room left to put names in
    else:
        _draw(branches, console)


def _plain(branches: Sequence[Branch]) -> Iterator[str]:
    """The lines in ASCII."""
    guides = [""]
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
    """For each branch whether it is the last one of those it hangs with."""
    answers = []
    follows: list[bool] = []  # for each level whether another one comes below
    for branch in reversed(branches):
        depth = branch.depth
        del follows[depth + 1 :]
        follows += [False] * (depth + 1 - len(follows))
        answers.append(not follows[depth])
        follows[depth] = True
    answers.reverse()
    return answers


def _draw(branches: Sequence[Branch], console: Console) -> None:
    from rich.text import Text
    from rich.tree import Tree

    trail: list[Tree] = []
    for branch in branches:
        # As Text: brackets in a name are no markup.
        text = Text.assemble((branch.name, "bold"), "  ", (branch.details, "dim"), overflow="fold")
        text.rstrip()
        del trail[branch.depth :]
        trail.append(trail[-1].add(text) if trail else Tree(text, guide_style="dim"))
    console.print(trail[0], highlight=False)
