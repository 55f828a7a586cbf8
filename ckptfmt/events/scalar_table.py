"""Scalars as tables, long or wide.

::

    long   (run)  tag  step  wall_time  value       a row for each scalar, tag by tag
    wide   (run)  step  TAG …                       a row for each step, a column for each tag

A program that resumes writes some steps of a tag again. The long form has all of these scalars, the wide form
the one written last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from ckptfmt.errors import LimitError, NameNotFoundError
from ckptfmt.events.classify import noun_of
from ckptfmt.events.series import Scalars
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tabular.column_table import Chunk, Column, ColumnTable, text_column
from ckptfmt.tabular.write import write_table
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import matcher

ROWS_AT_ONCE = 1 << 16
"""Rows of a long table in a chunk."""

MAX_KEPT = 10_000
"""Tags whose series are kept while a table is made. A series takes a kilobyte, which is much for one with few
scalars, so those of more tags are made again when they are needed."""

ROWS_JOINED = 1 << 12
"""A chunk of a long table that has this many rows takes no further tag."""

CELLS_AT_ONCE = 1 << 20
"""Cells of a wide table in a chunk."""

MIN_ROWS = 8
"""The fewest rows of a wide table in a chunk, even if they have more cells than CELLS_AT_ONCE."""

MAX_CELLS = 1 << 26
"""The most cells of a wide table, however few scalars it has."""

MAX_CELLS_PER_SCALAR = 256
"""The most cells for each scalar in a larger table. If every tag is logged at steps of its own, the number of
cells is the square of that of the scalars, and nearly all of them are empty."""

_NO_VALUES = np.empty(0, np.int64), np.empty(0, np.float32)

_INDEX = ("run", "step")
"""Columns of a wide table that are not tags."""

Runs: TypeAlias = Mapping[str | None, Mapping[str, Scalars]]
"""The scalars of runs by name. A table of the single run None has no column ``run``."""


class HasScalars(Protocol):
    """An object with scalars, such as an :class:`~ckptfmt.events.event_log.EventLog`."""

    @property
    def scalars(self) -> Mapping[str, Scalars]:
        """Scalars by tag."""


def write_runs(
    runs: Mapping[str, HasScalars],
    path: str | os.PathLike[str],
    *patterns: str,
    wide: bool = False,
    overwrite: bool = False,
    fs: Filesystem | None = None,
) -> None:
    """Write the scalars of runs to one file, as :meth:`EventLog.write_scalars` does, with a column ``run``.

    Each pattern must match a tag of at least one run. Errors are those of
    :func:`ckptfmt.tabular.write.write_table`, and NameNotFoundError if a pattern matches nothing.
    """
    scalars = {name: run.scalars for name, run in runs.items()}
    tags = dict.fromkeys(tag for by_tag in scalars.values() for tag in by_tag)
    for pattern in _unmatched(tags, patterns):
        close = closest_names(pattern, tags)
        raise NameNotFoundError(
            pattern, file=f"{len(runs)} runs", close_matches=close, noun=noun_of("scalars")
        )
    selected: Runs = {name: _matching(by_tag, patterns) for name, by_tag in scalars.items()}
    write_table(scalar_table(selected, wide=wide), os.fspath(path), overwrite=overwrite, fs=fs)


def select(scalars: Mapping[str, Scalars], patterns: Sequence[str]) -> Mapping[str, Scalars]:
    """Return the scalars whose tags equal or match a pattern; all of them without patterns.

    Raises NameNotFoundError if a pattern matches nothing.
    """
    for pattern in _unmatched(scalars, patterns):
        # Looking it up as a tag raises the error, which suggests similar tags.
        scalars[pattern]
    return _matching(scalars, patterns)


def _unmatched(tags: Iterable[str], patterns: Sequence[str]) -> Iterator[str]:
    return (pattern for pattern in patterns if not any(map(matcher([pattern]), tags)))


def _matching(scalars: Mapping[str, Scalars], patterns: Sequence[str]) -> Mapping[str, Scalars]:
    tags = list(filter(matcher(patterns), scalars) if patterns else scalars)
    return {tag: scalars[tag] for tag in tags} if len(tags) <= MAX_KEPT else _Selection(scalars, tags)


class _Selection(Mapping[str, Scalars]):
    """The scalars of some tags, made each time they are asked for."""

    def __init__(self, scalars: Mapping[str, Scalars], tags: list[str]) -> None:
        self._scalars = scalars
        self._tags = dict.fromkeys(tags)

    def __getitem__(self, tag: str) -> Scalars:
        return self._scalars[tag]

    def __contains__(self, tag: object) -> bool:
        return tag in self._tags

    def __iter__(self) -> Iterator[str]:
        return iter(self._tags)

    def __len__(self) -> int:
        return len(self._tags)


def scalar_table(runs: Runs, *, wide: bool) -> ColumnTable:
    """Return the scalars of runs as a table."""
    dtypes: dict[str, np.dtype] = {}
    for scalars in runs.values():
        for tag, series in scalars.items():
            # One run may store a tag as float32 and another as float64.
            dtypes[tag] = np.promote_types(dtypes.get(tag, np.float32), series.values.dtype)
    names = _column_names(dtypes)
    types = {} if None in runs else {"run": np.dtype(object)}
    if wide:
        types |= {"step": np.dtype(np.int64), **{names[tag]: dtype for tag, dtype in dtypes.items()}}
    else:
        types |= {
            "tag": np.dtype(object),
            "step": np.dtype(np.int64),
            "wall_time": np.dtype(np.float64),
            "value": np.result_type(np.float32, *dtypes.values()),
        }

    def chunks() -> Iterator[Chunk]:
        for run, scalars in runs.items():
            for chunk in _wide_chunks(scalars, names, types) if wide else _long_chunks(scalars):
                rows = len(chunk["step"].values)
                yield chunk if run is None else {"run": text_column(run, rows), **chunk}

    return ColumnTable(types, chunks)


def _column_names(tags: Iterable[str]) -> dict[str, str]:
    """Return the name of each tag's column: the tag, unless an index column has that name."""
    names = {tag: tag for tag in tags}
    for tag in _INDEX:
        if tag in names:
            name = f"{tag} (tag)"
            while name in names:
                name += " (tag)"
            names[tag] = name
    return names


def _long_chunks(scalars: Mapping[str, Scalars]) -> Iterator[Chunk]:
    """Iterate over the rows tag by tag. Short tags share a chunk: an array costs more than a few rows."""
    short: list[Chunk] = []
    rows = 0
    for tag, series in scalars.items():
        for start in range(0, len(series), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            steps = series.steps[part]
            short.append(
                {
                    "tag": text_column(tag, len(steps)),
                    "step": Column(steps),
                    "wall_time": Column(series.wall_times[part]),
                    "value": Column(series.values[part]),
                }
            )
            rows += len(steps)
            if rows >= ROWS_JOINED:
                yield from _joined(short)
                short, rows = [], 0
    yield from _joined(short)


def _joined(chunks: list[Chunk]) -> Iterator[Chunk]:
    """Yield chunks as one, a single one as it is."""
    if len(chunks) <= 1:
        yield from chunks
        return
    yield {name: Column(np.concatenate([chunk[name].values for chunk in chunks])) for name in chunks[0]}


def _wide_chunks(
    scalars: Mapping[str, Scalars], names: Mapping[str, str], types: Mapping[str, np.dtype]
) -> Iterator[Chunk]:
    """Iterate over blocks of steps; each tag's values are scattered to the rows of their steps.

    A block has as many rows as fit into CELLS_AT_ONCE, so that a run of many tags does not need a matrix of
    all steps by all tags.
    """
    # Two columns for each tag, sorted by step, so that a block is a slice of each.
    last = {tag: _last_of_each_step(series) for tag, series in scalars.items()}
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(tag_steps for tag_steps, _ in last.values())]))
    _check_cells(len(steps), len(names), sum(len(tag_steps) for tag_steps, _ in last.values()))
    rows = max(MIN_ROWS, CELLS_AT_ONCE // max(1, len(names)))
    for start in range(0, len(steps), rows):
        block = steps[start : start + rows]
        chunk = {"step": Column(block)}
        all_missing = np.ones(len(block), bool)
        nothing = {
            dtype: Column(np.full(len(block), np.nan, dtype), all_missing)
            for dtype in {types[name] for name in names.values()}
        }
        for tag, name in names.items():
            tag_steps, values = last.get(tag, _NO_VALUES)
            begin = np.searchsorted(tag_steps, block[0])
            end = np.searchsorted(tag_steps, block[-1], "right")
            if begin == end:
                chunk[name] = nothing[types[name]]
                continue
            column, missing = np.full(len(block), np.nan, types[name]), all_missing.copy()
            # Every step of a tag is a step of the table, so each is found exactly.
            rows_of_tag = np.searchsorted(block, tag_steps[begin:end])
            column[rows_of_tag], missing[rows_of_tag] = values[begin:end], False
            chunk[name] = Column(column, missing)
        yield chunk


def _check_cells(steps: int, tags: int, scalars: int) -> None:
    """Raise LimitError if a wide table is too large for the scalars in it."""
    limit = max(MAX_CELLS, MAX_CELLS_PER_SCALAR * scalars)
    if steps * tags > limit:
        what = f"cells of a wide table of {steps} steps and {tags} tags with {scalars} scalars"
        raise LimitError(
            f"{what} (select fewer tags, or take the long form)", limit=limit, asked=steps * tags
        )


def _last_of_each_step(series: Scalars) -> tuple[np.ndarray, np.ndarray]:
    """Return the different steps in order, and the value written last at each."""
    steps, values = series.steps, series.values
    # A run without restarts, which is the usual one, needs no sort.
    if (steps[1:] > steps[:-1]).all():
        return steps, values
    # The sort is stable: values of one step stay in the order in which they were written.
    order = np.argsort(steps, kind="stable")
    steps = steps[order]
    is_last = np.append(steps[1:] != steps[:-1], True)
    return steps[is_last], values[order][is_last]
