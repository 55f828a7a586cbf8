"""Columns: the entries of all tensors for tables of other libraries."""

from __future__ import annotations

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError
from tests.support.golden import GOLDEN
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import encode_bundle_index, encode_entry


def test_columns_say_what_entries_say() -> None:
    for name in ("dtypes", "sliced_shapes", "strings", "v1_sliced", "sharded"):
        with ckptfmt.open(GOLDEN / name) as ckpt:
            for tensors in (ckpt, ckpt.select("*")):
                columns = tensors.entries.to_columns()
                entries = list(tensors.entries.values())
                assert columns["name"].tolist() == [entry.name for entry in entries]
                assert columns["dtype"].tolist() == [entry.dtype.name for entry in entries]
                assert columns["shape"].tolist() == [entry.shape for entry in entries]
                for field in ("nbytes", "shard", "offset", "crc32c"):
                    known = [getattr(entry, field) for entry in entries]
                    assert columns[field].dtype == np.int64
                    assert columns[field].tolist() == [-1 if value is None else value for value in known]


def test_tables_of_other_libraries_take_columns() -> None:
    with ckptfmt.open(GOLDEN / "dtypes") as ckpt:
        columns, entries = ckpt.entries.to_columns(), list(ckpt.entries.values())
    wanted = {"name": [e.name for e in entries], "nbytes": [e.nbytes for e in entries]}
    shapes = [e.shape for e in entries]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(columns)
    assert {name: frame[name].tolist() for name in wanted} == wanted
    assert frame["shape"].tolist() == shapes
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table(columns)
    assert {name: table[name].to_pylist() for name in wanted} == wanted
    assert list(map(tuple, table["shape"].to_pylist())) == shapes


def test_columns_of_a_damaged_entry_are_an_error() -> None:
    entries = {f"t{i}": encode_entry(size=4, crc=0) for i in range(200)}
    ckpt = open_bundle(encode_bundle_index(entries | {"t7": b"\xff"}), b"")
    with pytest.raises(CorruptError, match="entry of tensor 't7'"):
        ckpt.entries.to_columns()
    assert ckpt.entries["t8"].nbytes == 4
