"""Tables as they appear on a terminal, read back into cells."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def read_table(shown: str, heads: Sequence[str], width: int, key: int) -> list[tuple[str, ...]]:
    """Return the rows of the table in a text, whether it has columns, folded or not, or blocks.

    The table ends at an empty line or at the end; nothing else may begin with the first title. No line of it
    may be wider than ``width``. ``key`` is the number of a column without empty and without folded cells.
    """
    lines = shown.splitlines()
    start = next(at for at, line in enumerate(lines) if re.match(rf" *{re.escape(heads[0])}( |$)", line))
    if lines[start].split() == [word for head in heads for word in head.split()]:
        end = next((at for at in range(start, len(lines)) if not lines[at]), len(lines))
        assert max(map(num_columns, lines[start:end])) <= width
        return _read_columns(lines[start:end], heads, key)
    return _read_blocks(lines[start:], heads)


def num_columns(text: str) -> int:
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _spread(line: str) -> list[str]:
    """Return a line as one text for each of its columns; a wide character is followed by an empty one."""
    cells: list[str] = []
    for char in line:
        if _columns_of(char):
            cells += [char, ""][: _columns_of(char)]
        else:
            cells[-1] += char
    return cells


def _read_columns(lines: Sequence[str], heads: Sequence[str], key: int) -> list[tuple[str, ...]]:
    grid = [_spread(line) for line in lines]
    width = max(map(len, grid))
    grid = [[*cells, *[" "] * (width - len(cells))] for cells in grid]
    # Two columns of the table are kept apart by columns of the terminal that are blank in every line.
    is_blank = "".join("." if all(cells[at] == " " for cells in grid) else "x" for at in range(width))
    spans = [match.span() for match in re.finditer(r"x(?:\.?x)*", is_blank)]
    assert len(spans) == len(heads), (spans, lines)
    rows: list[list[str]] = []
    for cells in grid[1:]:
        row = ["".join(cells[start:end]).strip() for start, end in spans]
        if row[key]:
            rows.append(row)
        else:
            rows[-1] = [before + after for before, after in zip(rows[-1], row, strict=True)]
    return [tuple(row) for row in rows]


def _read_blocks(lines: Sequence[str], heads: Sequence[str]) -> list[tuple[str, ...]]:
    label = max(map(len, heads)) + 2
    rows: list[dict[str, str]] = []
    is_new = True
    for line in lines:
        head = line[:label].strip()
        if not line:
            is_new = True
        elif head in heads:
            if is_new:
                rows.append({})
            rows[-1][head] = line[label:]
            is_new = False
        elif not head and not is_new:
            rows[-1][[*rows[-1]][-1]] += line[label:]
        else:
            break
    return [tuple(row.get(head, "") for head in heads) for row in rows]
