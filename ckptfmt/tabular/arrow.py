"""Tables of Apache Arrow and pandas, and files in Arrow's formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ckptfmt.errors import MissingDependencyError
from ckptfmt.storage.output import Output, OutputStream
from ckptfmt.tabular.column_table import ColumnTable


def to_arrow(table: ColumnTable) -> Any:  # noqa: ANN401  (pyarrow.Table)
    """Return a table as a ``pyarrow.Table``, its texts as dictionaries; a missing value is null.

    Raises MissingDependencyError without pyarrow.
    """
    arrow = _pyarrow()
    schema = _schema(arrow, table)
    return arrow.Table.from_batches(_batches(arrow, schema, table), schema=schema).unify_dictionaries()


def to_pandas(table: ColumnTable) -> Any:  # noqa: ANN401  (pandas.DataFrame)
    """Return a table as a ``pandas.DataFrame``; MissingDependencyError without pandas."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise MissingDependencyError("pandas", "pandas") from None
    return pandas.DataFrame(table.to_columns())


def write_arrow(file: Output, table: ColumnTable) -> None:
    """Write a table in Arrow's streaming format; MissingDependencyError without pyarrow."""
    arrow = _pyarrow()
    schema = _schema(arrow, table)
    # A stream may change its dictionaries from batch to batch, unlike a file in Arrow's other format, so the
    # texts need not be known before the first row is written.
    with arrow.ipc.new_stream(OutputStream(file), schema) as writer:
        for batch in _batches(arrow, schema, table):
            writer.write_batch(batch)


def write_parquet(file: Output, table: ColumnTable) -> None:
    """Write a table as Parquet; MissingDependencyError without pyarrow."""
    arrow = _pyarrow()
    from pyarrow import parquet

    schema = _schema(arrow, table)
    with parquet.ParquetWriter(OutputStream(file), schema) as writer:
        for batch in _batches(arrow, schema, table):
            writer.write_batch(batch)


def _pyarrow() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "arrow") from None
    return pyarrow


def _schema(arrow: Any, table: ColumnTable) -> Any:  # noqa: ANN401
    text = arrow.dictionary(arrow.int32(), arrow.string())
    return arrow.schema(
        (_utf8(name), text if dtype.hasobject else arrow.from_numpy_dtype(dtype))
        for name, dtype in table.types.items()
    )


def _batches(arrow: Any, schema: Any, table: ColumnTable) -> Iterator[Any]:  # noqa: ANN401
    for chunk in table.chunks():
        arrays = []
        for field, column in zip(schema, chunk.values(), strict=True):
            if column.values.dtype == object:
                arrays.append(_dictionary(arrow, column.values))
            else:
                # NaN is a value; only what is missing is null.
                arrays.append(arrow.array(column.values, field.type, mask=column.missing, from_pandas=False))
        yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _dictionary(arrow: Any, texts: np.ndarray) -> Any:  # noqa: ANN401
    """Return texts, most of them repeated, as a dictionary and indices into it."""
    numbers: dict[str, int] = {}
    if texts.strides == (0,):
        # One text in all rows, so no need to look at each: see text_column().
        numbers[texts[0]] = 0
        rows = np.zeros(len(texts), np.int32)
    else:
        rows = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int32, len(texts))
    return arrow.DictionaryArray.from_arrays(
        arrow.array(rows), arrow.array([_utf8(text) for text in numbers])
    )


def _utf8(text: str) -> str:
    """Return a text with everything escaped that is not Unicode, as in CSV: a path may have any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()
