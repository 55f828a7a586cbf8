"""A table: names and dtypes of columns, and rows in chunks, only one of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np


class Column(NamedTuple):
    """A stretch of a column."""

    values: np.ndarray
    missing: np.ndarray | None = None
    """Which values are missing (bool), or None if all exist. A missing number is stored as NaN or 0."""

    def to_list(self) -> list[object]:
        """Return the values as Python objects, None for a missing one."""
        items: list[object] = self.values.tolist()
        if self.missing is None:
            return items
        missing = self.missing.tolist()
        return [None if is_missing else item for item, is_missing in zip(items, missing, strict=True)]


Chunk: TypeAlias = Mapping[str, Column]
"""Some rows of a table: columns of equal length, in the order of the table."""


@dataclass(frozen=True)
class ColumnTable:
    """Columns by name.

    Text columns have dtype ``object`` and hold ``str``; all others hold numbers.
    """

    types: Mapping[str, np.dtype]
    """Dtype of each column, in order."""
    chunks: Callable[[], Iterator[Chunk]]
    """Returns the rows from the first one on; can be called any number of times."""

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all rows; a missing value is NaN."""
        parts = {name: [np.empty(0, dtype)] for name, dtype in self.types.items()}
        for chunk in self.chunks():
            for name, column in chunk.items():
                parts[name].append(column.values)
        return {name: np.concatenate(values) for name, values in parts.items()}


def text_column(text: str, rows: int) -> Column:
    """Return a column of one text in all rows, without a copy for each row: its stride is 0."""
    # Writers tell this case by its stride.
    return Column(np.broadcast_to(np.array(text, object), rows))
