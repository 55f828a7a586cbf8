"""Tables as text: CSV, and JSON Lines, an object for each row."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator

from ckptfmt.tabular.column_table import Chunk, ColumnTable


def encode_csv(table: ColumnTable) -> Iterator[bytes]:
    """Iterate over a table as CSV with a row of names; a missing value is empty."""
    yield _csv_rows([table.types])
    for chunk in table.chunks():
        yield _csv_rows(_rows(chunk))


def _csv_rows(rows: Iterable[Iterable[object]]) -> bytes:
    # A lone surrogate, which a path may have for a byte that is not UTF-8, is escaped instead of failing.
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def encode_json_lines(table: ColumnTable) -> Iterator[bytes]:
    """Iterate over a table as JSON Lines; a missing value has no key in the object of its row."""
    for chunk in table.chunks():
        lines = []
        for row in _rows(chunk):
            items = {name: _json(item) for name, item in zip(chunk, row, strict=True) if item is not None}
            lines.append(json.dumps(items, allow_nan=False) + "\n")
        yield "".join(lines).encode()


def _rows(chunk: Chunk) -> Iterator[tuple[object, ...]]:
    return zip(*(column.to_list() for column in chunk.values()), strict=True)


def _json(value: object) -> object:
    """Return a number that JSON does not have as a string, as everywhere in this package."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
