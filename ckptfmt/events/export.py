"""Scalars as tables: columns, CSV, JSON Lines, Parquet, Arrow and pandas; long, or wide.

::

    long   (run)  tag  step  wall_time  value       a row for each scalar, tag by tag
    wide   (run)  step  TAG …                       a row for each step, a column for each tag

Of several scalars of one tag at one step, as a program writes that began again, the wide form has the last.
Tables are made and written some thousand rows at a time.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ckptfmt.errors import MissingDependencyError, NameNotFoundError
from ckptfmt.events.series import Scalars
from ckptfmt.storage.output import Output, OutputFile, OutputStream
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import matcher

ROWS_AT_ONCE = 1 << 16
"""Rows of a long table that are made at once."""

CELLS_AT_ONCE = 1 << 20
"""Cells of a wide table that are made at once."""

_HEADS = ("run", "step")
"""Columns of a wide table that are of no tag."""

Runs = Mapping[str | None, Mapping[str, Scalars]]
"""The scalars of runs by name; of a single one None, and there is no column for it."""


class Column(NamedTuple):
    """A stretch of a column."""

    values: np.ndarray
    missing: np.ndarray | None = None
    """Where there is no value (bool); None where there is one everywhere."""


Chunk = dict[str, Column]
"""Some rows of a table: columns by name."""


def select(scalars: Mapping[str, Scalars], patterns: Sequence[str]) -> dict[str, Scalars]:
    """Return the scalars whose tags match any pattern, a glob or a tag as it is; all where there are none.

    Raises NameNotFoundError where a pattern matches nothing.
    """
    # Asked for as a tag, a pattern that matches none raises, and tells which are alike.
    return {tag: scalars[tag] for tag in _unmatched(scalars, patterns)} or _matching(scalars, patterns)


def _unmatched(tags: Iterable[str], patterns: Sequence[str]) -> Iterator[str]:
    return (pattern for pattern in patterns if not any(map(matcher([pattern]), tags)))


def _matching(scalars: Mapping[str, Scalars], patterns: Sequence[str]) -> dict[str, Scalars]:
    tags = filter(matcher(patterns), scalars) if patterns else scalars
    return {tag: scalars[tag] for tag in tags}


def column_names(tags: Iterable[str]) -> dict[str, str]:
    """Return under which name each tag has its column: its own, unless another column is called so."""
    names = {tag: tag for tag in tags}
    for tag in _HEADS:
        if tag in names:
            name = f"{tag} (tag)"
            while name in names:
                name += " (tag)"
            names[tag] = name
    return names


def column_types(runs: Runs, *, wide: bool) -> dict[str, np.dtype]:
    """Return the columns of a table and their types: 64-bit numbers where any run has such."""
    numbers: dict[str, np.dtype] = {}
    for scalars in runs.values():
        for tag, series in scalars.items():
            numbers[tag] = np.promote_types(numbers.get(tag, np.float32), series.values.dtype)
    text, step = np.dtype(object), np.dtype(np.int64)
    types = {} if None in runs else {"run": text}
    if wide:
        names = column_names(numbers)
        return {**types, "step": step, **{names[tag]: dtype for tag, dtype in numbers.items()}}
    value = np.result_type(np.float32, *numbers.values())
    return {**types, "tag": text, "step": step, "wall_time": np.dtype(np.float64), "value": value}


def chunks_of(runs: Runs, *, wide: bool) -> Iterator[Chunk]:
    """Iterate over a table, some rows at a time; all have the columns that :func:`column_types` tells."""
    types = column_types(runs, wide=wide)
    names = column_names(dict.fromkeys(tag for scalars in runs.values() for tag in scalars))
    for run, scalars in runs.items():
        for chunk in _wide(scalars, names, types) if wide else _long(scalars):
            rows = len(chunk["step"].values)
            yield chunk if run is None else {"run": Column(_repeated(run, rows)), **chunk}


def _repeated(text: str, count: int) -> np.ndarray:
    column = np.empty(count, object)
    column[:] = text
    return column


def _long(scalars: Mapping[str, Scalars]) -> Iterator[Chunk]:
    for tag, series in scalars.items():
        for start in range(0, len(series), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            steps = series.steps[part]
            yield {
                "tag": Column(_repeated(tag, len(steps))),
                "step": Column(steps),
                "wall_time": Column(series.wall_times[part]),
                "value": Column(series.values[part]),
            }


def _wide(
    scalars: Mapping[str, Scalars], names: Mapping[str, str], types: Mapping[str, np.dtype]
) -> Iterator[Chunk]:
    last = {tag: _last_of_each_step(series) for tag, series in scalars.items()}
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(found[0] for found in last.values())]))
    rows = max(1, CELLS_AT_ONCE // max(1, len(names)))
    for start in range(0, len(steps), rows):
        block = steps[start : start + rows]
        chunk = {"step": Column(block)}
        for tag, name in names.items():
            values, missing = np.full(len(block), np.nan, types[name]), np.ones(len(block), bool)
            if tag in last:
                own, numbers = last[tag]
                begin, end = np.searchsorted(own, block[0]), np.searchsorted(own, block[-1], "right")
                at = np.searchsorted(block, own[begin:end])
                values[at], missing[at] = numbers[begin:end], False
            chunk[name] = Column(values, missing)
        yield chunk


def _last_of_each_step(series: Scalars) -> tuple[np.ndarray, np.ndarray]:
    """Steps in order, and of each the value that was written last."""
    steps, values = series.steps, series.values
    if (steps[1:] > steps[:-1]).all():
        return steps, values
    order = np.argsort(steps, kind="stable")
    steps = steps[order]
    is_last = np.append(steps[1:] != steps[:-1], True)
    return steps[is_last], values[order][is_last]


def to_columns(runs: Runs, *, wide: bool) -> dict[str, np.ndarray]:
    """Return a table as columns; a value that is missing in the wide form is NaN."""
    parts = {name: [np.empty(0, dtype)] for name, dtype in column_types(runs, wide=wide).items()}
    for chunk in chunks_of(runs, wide=wide):
        for name, column in chunk.items():
            parts[name].append(column.values)
    return {name: np.concatenate(found) for name, found in parts.items()}


# --- text --------------------------------------------------------------------------------------------------


def _lists(chunk: Chunk) -> list[list[Any]]:
    """The columns as Python objects, None where there is no value."""
    lists = []
    for column in chunk.values():
        items: list[Any] = column.values.tolist()
        if column.missing is not None:
            items = [
                None if gone else item for item, gone in zip(items, column.missing.tolist(), strict=True)
            ]
        lists.append(items)
    return lists


def _csv(runs: Runs, *, wide: bool) -> Iterator[bytes]:
    yield _csv_rows([column_types(runs, wide=wide)])
    for chunk in chunks_of(runs, wide=wide):
        yield _csv_rows(zip(*_lists(chunk), strict=True))


def _csv_rows(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _json_lines(runs: Runs, *, wide: bool) -> Iterator[bytes]:
    for chunk in chunks_of(runs, wide=wide):
        lines = []
        for row in zip(*_lists(chunk), strict=True):
            named = {name: _json(item) for name, item in zip(chunk, row, strict=True) if item is not None}
            lines.append(json.dumps(named, allow_nan=False) + "\n")
        yield "".join(lines).encode()


def _json(value: object) -> object:
    """A number that JSON has not as a string, as everywhere in this package."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


# --- Arrow -------------------------------------------------------------------------------------------------


def _pyarrow() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "arrow") from None
    return pyarrow


def _schema(arrow: Any, runs: Runs, *, wide: bool) -> Any:  # noqa: ANN401
    text = arrow.dictionary(arrow.int32(), arrow.string())
    return arrow.schema(
        (_utf8(name), text if dtype.hasobject else arrow.from_numpy_dtype(dtype))
        for name, dtype in column_types(runs, wide=wide).items()
    )


def _utf8(name: str) -> str:
    """A name as text; what a path has that is none is escaped, as in CSV."""
    return name.encode("utf-8", "backslashreplace").decode()


def _batches(arrow: Any, schema: Any, runs: Runs, *, wide: bool) -> Iterator[Any]:  # noqa: ANN401
    for chunk in chunks_of(runs, wide=wide):
        arrays = []
        for field, column in zip(schema, chunk.values(), strict=True):
            if column.values.dtype == object:
                # One text in all rows of a chunk.
                texts = arrow.array([_utf8(column.values[0])])
                numbers = arrow.array(np.zeros(len(column.values), np.int32))
                arrays.append(arrow.DictionaryArray.from_arrays(numbers, texts))
            else:
                # NaN is a value; what is missing is null.
                arrays.append(arrow.array(column.values, field.type, mask=column.missing, from_pandas=False))
        yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def to_arrow(runs: Runs, *, wide: bool) -> Any:  # noqa: ANN401  (pyarrow.Table)
    """Return a table as a ``pyarrow.Table``; MissingDependencyError without pyarrow."""
    arrow = _pyarrow()
    schema = _schema(arrow, runs, wide=wide)
    return arrow.Table.from_batches(
        _batches(arrow, schema, runs, wide=wide), schema=schema
    ).unify_dictionaries()


def to_pandas(runs: Runs, *, wide: bool) -> Any:  # noqa: ANN401  (pandas.DataFrame)
    """Return a table as a ``pandas.DataFrame``, the wide one by step; MissingDependencyError without it."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise MissingDependencyError("pandas", "pandas") from None
    columns = to_columns(runs, wide=wide)
    frame = pandas.DataFrame(columns)
    if wide:
        return frame.set_index(["run", "step"] if "run" in columns else "step")
    return frame.astype({name: "category" for name in ("run", "tag") if name in columns})


def _write_arrow(file: Output, runs: Runs, *, wide: bool) -> None:
    arrow = _pyarrow()
    schema = _schema(arrow, runs, wide=wide)
    # A stream, which may change its dictionaries as it goes.
    with arrow.ipc.new_stream(OutputStream(file), schema) as writer:
        for batch in _batches(arrow, schema, runs, wide=wide):
            writer.write_batch(batch)


def _write_parquet(file: Output, runs: Runs, *, wide: bool) -> None:
    arrow = _pyarrow()
    from pyarrow import parquet

    schema = _schema(arrow, runs, wide=wide)
    with parquet.ParquetWriter(OutputStream(file), schema) as writer:
        for batch in _batches(arrow, schema, runs, wide=wide):
            writer.write_batch(batch)


def _write_csv(file: Output, runs: Runs, *, wide: bool) -> None:
    file.write_all(_csv(runs, wide=wide))


def _write_json_lines(file: Output, runs: Runs, *, wide: bool) -> None:
    file.write_all(_json_lines(runs, wide=wide))


_WRITERS: Mapping[str, Callable[..., None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
}

FORMATS = tuple(_WRITERS)
"""The ends of names of files that tables can be written to."""


def write(runs: Runs, path: str | os.PathLike[str], *, wide: bool, overwrite: bool) -> None:
    """Write a table to a file, whole or not at all; its form is told by the end of its name.

    Raises
    ------
    ValueError
        The end of the name is none of :data:`FORMATS`.
    AlreadyExistsError
        There is a file already, and not ``overwrite``.
    MissingDependencyError
        The format needs pyarrow.
    NotWritableError
        The system refuses.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{path}: got a name with the end {suffix!r}, want one of {', '.join(FORMATS)}")
    with OutputFile(path, overwrite=overwrite) as file:
        _WRITERS[suffix](file, runs, wide=wide)


class HasScalars(Protocol):
    """What has scalars: an event file, or those of a run."""

    @property
    def scalars(self) -> Mapping[str, Scalars]:
        """Scalars by tag."""


def write_runs(
    runs: Mapping[str, HasScalars],
    path: str | os.PathLike[str],
    *patterns: str,
    wide: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the scalars of runs to one file, as :meth:`EventLog.write` does, with a column ``run``.

    A pattern need not match anything in each of the runs, only in one.
    """
    table = {name: run.scalars for name, run in runs.items()}
    tags = dict.fromkeys(tag for scalars in table.values() for tag in scalars)
    for pattern in _unmatched(tags, patterns):
        close = closest_names(pattern, tags)
        raise NameNotFoundError(pattern, file=f"{len(runs)} runs", close_matches=close, noun="scalars")
    chosen: Runs = {name: _matching(scalars, patterns) for name, scalars in table.items()}
    write(chosen, path, wide=wide, overwrite=overwrite)
