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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.errors import MissingDependencyError, NotReadableError
from ckptfmt.events.series import Scalars
from ckptfmt.wire.file import write_file

ROWS_AT_ONCE = 1 << 16
"""Rows of a long table that are made at once."""

CELLS_AT_ONCE = 1 << 20
"""Cells of a wide table that are made at once."""

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
    """Return the scalars whose tags match any of the globs; all where there are none."""
    tags = [tag for tag in scalars if not patterns or any(fnmatchcase(tag, each) for each in patterns)]
    return {tag: scalars[tag] for tag in tags}


def chunks_of(runs: Runs, *, wide: bool) -> Iterator[Chunk]:
    """Iterate over a table, some rows at a time; all have the same columns."""
    tags = list(dict.fromkeys(tag for scalars in runs.values() for tag in scalars))
    for run, scalars in runs.items():
        for chunk in _wide(scalars, tags) if wide else _long(scalars):
            rows = len(next(iter(chunk.values())).values)
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


def _wide(scalars: Mapping[str, Scalars], tags: Sequence[str]) -> Iterator[Chunk]:
    last = {tag: _last_of_each_step(series) for tag, series in scalars.items()}
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(found[0] for found in last.values())]))
    rows = max(1, CELLS_AT_ONCE // max(1, len(tags)))
    for start in range(0, len(steps), rows):
        block = steps[start : start + rows]
        chunk = {"step": Column(block)}
        for tag in tags:
            values, missing = np.full(len(block), np.nan), np.ones(len(block), bool)
            if tag in last:
                own, numbers = last[tag]
                begin, end = np.searchsorted(own, [block[0], block[-1] + 1])
                at = np.searchsorted(block, own[begin:end])
                values = values.astype(numbers.dtype)
                values[at], missing[at] = numbers[begin:end], False
            # A tag may be called as one of the columns.
            chunk[tag if tag not in ("run", "step") else f"{tag} (tag)"] = Column(values, missing)
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
    parts = list(chunks_of(runs, wide=wide))
    if not parts:
        heads = ("step",) if wide else ("tag", "step", "wall_time", "value")
        dtypes = {"tag": object, "step": np.int64, "wall_time": np.float64, "value": np.float32}
        return {name: np.empty(0, dtypes[name]) for name in heads}
    return {name: np.concatenate([part[name].values for part in parts]) for name in parts[0]}


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


def _csv(chunks: Iterator[Chunk]) -> Iterator[bytes]:
    first = True
    for chunk in chunks:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if first:
            writer.writerow(chunk)
            first = False
        writer.writerows(zip(*_lists(chunk), strict=True))
        yield text.getvalue().encode("utf-8", "backslashreplace")


def _json_lines(chunks: Iterator[Chunk]) -> Iterator[bytes]:
    for chunk in chunks:
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
    """The types of all columns: 64-bit numbers where any run has such."""
    dtypes: dict[str, Any] = {}
    for scalars in runs.values():
        for tag, series in scalars.items():
            dtypes[tag] = np.promote_types(dtypes.get(tag, np.float32), series.values.dtype)
    text = arrow.dictionary(arrow.int32(), arrow.string())
    fields = [("run", text)] if None not in runs else []
    if wide:
        fields.append(("step", arrow.int64()))
        for tag, dtype in dtypes.items():
            name = tag if tag not in ("run", "step") else f"{tag} (tag)"
            fields.append((name, arrow.from_numpy_dtype(dtype)))
    else:
        value = np.result_type(np.float32, *dtypes.values())
        fields += [("tag", text), ("step", arrow.int64()), ("wall_time", arrow.float64())]
        fields.append(("value", arrow.from_numpy_dtype(value)))
    return arrow.schema(fields)


def _batches(arrow: Any, schema: Any, runs: Runs, *, wide: bool) -> Iterator[Any]:  # noqa: ANN401
    for chunk in chunks_of(runs, wide=wide):
        arrays = []
        for field, column in zip(schema, chunk.values(), strict=True):
            if column.values.dtype == object:
                texts = arrow.array(column.values[:1])
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


def _write_arrow(path: str, runs: Runs, *, wide: bool) -> None:
    arrow = _pyarrow()
    schema = _schema(arrow, runs, wide=wide)
    with arrow.OSFile(path, "wb") as sink, arrow.ipc.new_stream(sink, schema) as writer:
        # A stream, which may change its dictionaries as it goes.
        for batch in _batches(arrow, schema, runs, wide=wide):
            writer.write_batch(batch)


def _write_parquet(path: str, runs: Runs, *, wide: bool) -> None:
    arrow = _pyarrow()
    from pyarrow import parquet

    schema = _schema(arrow, runs, wide=wide)
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(arrow, schema, runs, wide=wide):
            writer.write_batch(batch)


_TEXTS: Mapping[str, Callable[[Iterator[Chunk]], Iterator[bytes]]] = {".csv": _csv, ".jsonl": _json_lines}
_BINARIES = {".parquet": _write_parquet, ".arrow": _write_arrow}

FORMATS = (*_TEXTS, *_BINARIES)
"""The ends of names of files that tables can be written to."""


def write(runs: Runs, path: str | os.PathLike[str], *, wide: bool, overwrite: bool) -> None:
    """Write a table to a file, whole or not at all; its form is told by the end of its name.

    Raises
    ------
    ValueError
        The end of the name is none of :data:`FORMATS`.
    FileExistsError
        There is a file already, and not ``overwrite``.
    MissingDependencyError
        The format needs pyarrow.
    NotReadableError
        The system refuses.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    if suffix in _TEXTS:
        write_file(path, _TEXTS[suffix](chunks_of(runs, wide=wide)), overwrite=overwrite)
        return
    if suffix not in _BINARIES:
        raise ValueError(f"{path}: got a name with the end {suffix!r}, want one of {', '.join(FORMATS)}")
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path}: got a file that is there already, want a new one")
    beside = f"{path}.{os.urandom(4).hex()}.tmp"
    try:
        _BINARIES[suffix](beside, runs, wide=wide)
        os.replace(beside, path)  # noqa: PTH105
    except OSError as error:
        raise NotReadableError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
