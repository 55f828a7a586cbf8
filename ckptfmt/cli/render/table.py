"""Tables: drawn on a terminal, tab-separated lines everywhere else.

A drawn table shows every value at any width. If it is wider than the terminal, its texts are folded, the
longest first. If these would become too narrow to be read, each row becomes a block of lines, one for each
value. Numbers are never folded. With ``--wide`` each row is one line, however long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from ckptfmt.cli.render.fold import fold, num_columns, padded
from ckptfmt.cli.render.output import on_terminal, write_lines
from ckptfmt.cli.render.terminal import Styles, columns

RIGHT = ">"
"""The side of numbers."""
LEFT = "<"
"""The side of texts, which may be folded."""

GAP = "  "
"""Between two columns."""

MIN_TEXT = 20
"""Columns that a folded text has at least; in a narrower table each row is a block."""


def write_table(
    heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]], plain: Iterable[str]
) -> None:
    """Write a table to stdout: drawn on a terminal as by :func:`draw_table`, else the lines in ``plain``.

    The lines are written as they come.
    """
    if on_terminal():
        draw_table(heads, sides, rows)
    else:
        write_lines(plain)


def draw_table(heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to a terminal.

    Parameters
    ----------
    heads, sides, rows
        Titles, alignments (:data:`LEFT` for texts, :data:`RIGHT` for numbers) and cells, safe to print.
    """
    limit = columns()
    natural = [max(map(num_columns, column)) for column in zip(heads, *rows, strict=True)]
    widths = natural if limit is None else _fitted(natural, sides, limit)
    if widths is None:
        write_lines(_blocks(heads, sides, rows, limit or 0))
    else:
        write_lines(_lines(heads, sides, rows, widths))


def _fitted(natural: Sequence[int], sides: Sequence[str], limit: int) -> list[int] | None:
    """Return the widths of the columns in a table of ``limit`` columns; None if texts would be too narrow.

    The widest texts are folded, and all of these to one width, so that short columns stay as they are.
    """
    room = limit - len(GAP) * (len(natural) - 1)
    room -= sum(width for width, side in zip(natural, sides, strict=True) if side == RIGHT)
    texts = sorted(width for width, side in zip(natural, sides, strict=True) if side == LEFT)
    for place, width in enumerate(texts):
        share = room // (len(texts) - place)
        if width > share:
            if share < MIN_TEXT:
                return None
            return [
                min(each, share) if side == LEFT else each for each, side in zip(natural, sides, strict=True)
            ]
        room -= width
    return list(natural) if room >= 0 else None


# --- rows as lines -----------------------------------------------------------------------------------------


def _lines(
    heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> Iterator[str]:
    """Iterate over the lines of a table."""
    styles = Styles()
    titles = (
        " " * (width - num_columns(head)) + styles.bold(head)
        if side == RIGHT
        else styles.bold(head) + " " * (width - num_columns(head))
        for head, side, width in zip(heads, sides, widths, strict=True)
    )
    yield GAP.join(titles).rstrip()
    # Most rows have no wide characters, and fit: one format of all cells is several times faster.
    form = GAP.join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    length = sum(widths) + len(GAP) * (len(widths) - 1)
    for row in rows:
        line = form.format(*row)
        # A cell that is too long makes the line longer.
        if line.isascii() and len(line) == length:
            yield styles.with_dim_endings(line.rstrip())
        else:
            yield from map(styles.with_dim_endings, _folded(row, sides, widths, form))


def _folded(row: Sequence[str], sides: Sequence[str], widths: Sequence[int], form: str) -> Iterator[str]:
    """Iterate over the lines of one row of a table; ``form`` is the format of lines in ASCII."""
    parts = [
        fold(cell, width) if side == LEFT else [cell]
        for cell, side, width in zip(row, sides, widths, strict=True)
    ]
    for cells in zip_longest(*parts, fillvalue=""):
        line = form.format(*cells)
        if not line.isascii():
            line = GAP.join(map(padded, cells, widths, sides))
        yield line.rstrip()


# --- rows as blocks ----------------------------------------------------------------------------------------


def _blocks(
    heads: Sequence[str], sides: Sequence[str], rows: Sequence[Sequence[str]], limit: int
) -> Iterator[str]:
    """Iterate over the lines of blocks: each has the titles of a row's cells before them, and ends empty."""
    styles = Styles()
    label = max(map(num_columns, heads)) + len(GAP)
    titles = [styles.bold(head) + " " * (label - num_columns(head)) for head in heads]
    for row in rows:
        for title, side, cell in zip(titles, sides, row, strict=True):
            if not cell:
                continue
            first, *others = fold(cell, max(limit - label, MIN_TEXT)) if side == LEFT else [cell]
            yield styles.with_dim_endings(title + first)
            yield from (styles.with_dim_endings(" " * label + other) for other in others)
        yield ""
