"""Tables: drawn by rich on a terminal, tab-separated everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from ckptfmt import errors
from ckptfmt.cli.render.output import on_terminal, write, write_lines

MAX_DRAWN = 1000
"""Rich takes a tenth of a millisecond for a cell; longer tables are aligned without it."""

RIGHT = ">"
LEFT = "<"


def write_table(
    heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]], plain: Iterable[str]
) -> None:
    """Write a table to stdout.

    Parameters
    ----------
    heads, sides, rows
        Titles, alignments (:data:`LEFT` or :data:`RIGHT`) and cells, safe to print, for a terminal.
    plain
        The lines to write where stdout is no terminal, one after the other as they come.
    """
    if not on_terminal():
        write_lines(plain)
    elif len(rows) > MAX_DRAWN:
        _align(heads, sides, rows)
    else:
        _draw(heads, sides, rows)


def _align(heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    write("".join(f"{form.format(*row).rstrip()}\n" for row in (heads, *rows)))


def _draw(heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Imported here: it takes as long as reading a small checkpoint, and only a terminal has a use for it.
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError:
        raise errors.MissingDependencyError("rich", "cli") from None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, (head, side) in enumerate(zip(heads, sides, strict=True)):
        table.add_column(
            head, justify="right" if side == RIGHT else "left", overflow="fold", no_wrap=number > 0
        )
    for row in rows:
        # As Text: brackets in a name are no markup.
        table.add_row(*map(Text, row))
    # NO_COLOR means no colour; take the bold titles for colour, too.
    Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto").print(table)
