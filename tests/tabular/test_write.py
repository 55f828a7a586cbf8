"""Tables of columns as files and in other libraries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.errors import AlreadyExistsError, NotWritableError
from ckptfmt.tabular.arrow import to_arrow, to_pandas
from ckptfmt.tabular.column_table import Chunk, Column, ColumnTable, text_column
from ckptfmt.tabular.write import FORMATS, write_table


def chunks() -> Iterator[Chunk]:
    yield {
        "name": text_column("a,b", 2),
        "size": Column(np.array([1, 2])),
        "mean": Column(np.array([0.5, np.inf])),
    }
    yield {
        "name": Column(np.array(['"c"', "ü"], object)),
        "size": Column(np.array([3, 0]), np.array([False, True])),
        "mean": Column(np.array([np.nan, np.nan]), np.array([False, True])),
    }


TABLE = ColumnTable(
    {"name": np.dtype(object), "size": np.dtype(np.int64), "mean": np.dtype(np.float64)}, chunks
)
EMPTY = ColumnTable(TABLE.types, lambda: iter(()))


def test_a_table_becomes_columns() -> None:
    columns = TABLE.to_columns()
    assert columns["name"].tolist() == ["a,b", "a,b", '"c"', "ü"]
    assert columns["size"].dtype == np.int64
    np.testing.assert_equal(columns["mean"].tolist(), [0.5, np.inf, np.nan, np.nan])
    assert {name: column.dtype for name, column in EMPTY.to_columns().items()} == TABLE.types


def test_csv_leaves_missing_values_empty(tmp_path: Path) -> None:
    write_table(TABLE, str(tmp_path / "t.csv"), overwrite=False)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines() == [
        "name,size,mean",
        '"a,b",1,0.5',
        '"a,b",2,inf',
        '"""c""",3,nan',
        "ü,,",
    ]


def test_json_lines_leave_missing_values_out(tmp_path: Path) -> None:
    write_table(TABLE, str(tmp_path / "t.jsonl"), overwrite=False)
    rows = list(map(json.loads, (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()))
    assert rows[1] == {"name": "a,b", "size": 2, "mean": "Infinity"}
    assert rows[2:] == [{"name": '"c"', "size": 3, "mean": "NaN"}, {"name": "ü"}]


def test_arrow_and_parquet_have_nulls_for_missing_values(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in (".parquet", ".arrow"):
        write_table(TABLE, str(tmp_path / f"t{suffix}"), overwrite=False)
    with pyarrow.ipc.open_stream(str(tmp_path / "t.arrow")) as reader:
        streamed = reader.read_all()
    for table in (to_arrow(TABLE), parquet.read_table(tmp_path / "t.parquet"), streamed):
        found = table.to_pydict()
        assert found["name"] == ["a,b", "a,b", '"c"', "ü"]
        assert found["size"] == [1, 2, 3, None]
        np.testing.assert_equal(found["mean"], [0.5, np.inf, np.nan, None])


def test_pandas_has_the_columns() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = to_pandas(TABLE)
    assert frame["name"].tolist() == ["a,b", "a,b", '"c"', "ü"]
    assert list(to_pandas(EMPTY).columns) == ["name", "size", "mean"]


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[Chunk]:
        yield from chunks()
        raise KeyError("a chunk")

    table = ColumnTable(TABLE.types, broken)
    for suffix in FORMATS:
        if suffix in (".parquet", ".arrow"):
            pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        path = tmp_path / f"t{suffix}"
        with pytest.raises(KeyError):
            write_table(table, str(path), overwrite=False)
        assert list(tmp_path.iterdir()) == []
        path.write_text("mine")
        with pytest.raises(AlreadyExistsError):
            write_table(TABLE, str(path), overwrite=False)
        assert path.read_text() == "mine"
        write_table(TABLE, str(path), overwrite=True)
        assert path.read_bytes() != b"mine"
        path.unlink()
    with pytest.raises(NotWritableError):
        write_table(TABLE, str(tmp_path / "no" / "t.csv"), overwrite=False)


def test_the_ending_of_the_name_says_the_format(tmp_path: Path) -> None:
    write_table(TABLE, str(tmp_path / "t.CSV"), overwrite=False)
    assert (tmp_path / "t.CSV").read_text(encoding="utf-8").startswith("name,")
    with pytest.raises(ValueError, match=r"got a name ending in '.xlsx', want one of .csv, .jsonl"):
        write_table(TABLE, str(tmp_path / "t.xlsx"), overwrite=False)
