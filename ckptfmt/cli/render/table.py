"""Tables: drawn on a terminal, by rich if it is installed; tab-separated lines everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec
from typing import Literal

from ckptfmt.cli.render.output import on_terminal, write, write_lines

MAX_DRAWN = 1000
"""Longer tables are aligned without rich, which takes a tenth of a millisecond for a cell."""

RIGHT = ">"
LEFT = "<"


def write_table(
    heads: Sequence[str],
    sides: Sequence[str],
    rows: Sequence[Sequence[str]],
    plain: Iterable[str],
    *,
    folding: Collection[int] = (0,),
) -> None:
    """Write a table to stdout: drawn on a terminal as by :func:`draw_table`, else the lines in ``plain``.

    The lines are written as they come.
    """
    if on_terminal():
        draw_table(heads, sides, rows, folding=folding)
    else:
        write_lines(plain)


def draw_table(
    heads: Sequence[str],
    sides: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    folding: Collection[int] = (0,),
) -> None:
    """Write a table to a terminal.

    Parameters
    ----------
    heads, sides, rows
        Titles, alignments (:data:`LEFT` or :data:`RIGHT`) and cells, safe to print.
    folding
        The columns that are folded if the table is too wide: as a rule the first, which has the names.
    """
    if len(rows) > MAX_DRAWN or find_spec("rich") is None:
        _align(heads, sides, rows)
    else:
        _draw(heads, sides, rows, folding)


def _align(heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    write("".join(f"{form.format(*row).rstrip()}\n" for row in (heads, *rows)))


def _draw(
    heads: Sequence[str],
    sides: Sequence[str],
    rows: Sequence[Sequence[str]],
    folding: Collection[int],
) -> None:
    # Imported here: it takes as long as reading a small checkpoint, and only a terminal needs it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, (head, side) in enumerate(zip(heads, sides, strict=True)):
        # Names and values may be longer than a line; the other columns stay whole.
        justify: Literal["left", "right"] = "right" if side == RIGHT else "left"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=number not in folding)
    for row in rows:
        # As Text: brackets in a name are not markup.
        table.add_row(*map(Text, row))
    # NO_COLOR asks for no colour; bold titles are left out with it.
    Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto").print(table)
