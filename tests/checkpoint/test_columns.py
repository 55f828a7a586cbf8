"""Columns: the entries of all tensors for tables of other libraries."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.entry import decode_entry
from ckptfmt.errors import CorruptError, LimitError
from tests.support.golden import GOLDEN
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import HEADER, encode_bundle_index, encode_entry, encode_table, write_bundle


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


def mixed_entries(count: int) -> dict[str, bytes]:
    """Entries in which dtypes, ranks, and unusual forms alternate, and long stretches are alike."""
    entries = {}
    for i in range(count):
        shape = ((4, 4), (4,), (), (300, 2, 1))[0 if 100 < i < 160 else i % 4]
        entry = encode_entry(dtype=(1, 3)[i % 3 == 0], shape=shape, size=i, offset=1000 * i, crc=i)
        # A field that the decoder of columns does not know.
        entries[f"n{i:04d}"] = entry + b"\x60\x01" if i % 17 == 5 else entry
    return entries


@pytest.mark.parametrize("count", [1, 16, 40, 41, 300, 3000])
def test_entries_are_those_decoded_one_by_one(count: int) -> None:
    stored = mixed_entries(count)
    ckpt = open_bundle(encode_bundle_index(stored), b"")
    wanted = {name: decode_entry(name, value) for name, value in stored.items()}
    assert dict(ckpt.entries.items()) == wanted
    assert list(ckpt.entries.values()) == list(wanted.values())
    assert {name: ckpt.entries[name] for name in ckpt} == wanted
    other = open_bundle(encode_bundle_index(stored), b"")
    assert {name: other.entries[name] for name in wanted} == wanted  # without listing them before
    assert len(other) == count
    assert "n" not in other


@pytest.mark.parametrize("count", [3, 300])
def test_names_with_bytes_that_separate_or_escape(count: int) -> None:
    names = [b"a\0b", b"a\xff", b"\xe2\x82", b"\xac", b"z\0", "\u20ac".encode()]
    keys = [*names, *(b"n%04d" % i for i in range(count))]
    items = [(key, encode_entry(size=4)) for key in sorted(keys)]
    ckpt = open_bundle(encode_table([(b"", HEADER), *items]), b"")
    wanted = [key.decode("utf-8", "surrogateescape") for key in sorted(keys)]
    assert list(ckpt) == wanted
    assert all(name in ckpt for name in wanted)


def test_a_small_index_with_a_damaged_entry_gives_the_others() -> None:
    entries = {f"t{i}": encode_entry(size=4, crc=0) for i in range(10)} | {"t7": b"\xff"}
    for listed in (False, True):
        ckpt = open_bundle(encode_bundle_index(entries), b"")
        assert not listed or len(list(ckpt)) == 10
        assert ckpt.entries["t8"].nbytes == 4
        assert "t7" in ckpt
        with pytest.raises(CorruptError, match="entry of tensor 't7'"):
            ckpt.entries["t7"]


def test_limits_hold_for_a_small_index_too(tmp_path: Path) -> None:
    write_bundle(tmp_path / "ckpt", {f"t{i}": np.zeros(1, np.float32) for i in range(10)})
    ckpt = ckptfmt.open(tmp_path / "ckpt", limits=ckptfmt.Limits(max_names=5))
    for each in (ckpt, pickle.loads(pickle.dumps(ckpt)), pickle.loads(pickle.dumps(ckpt.entries))):
        with pytest.raises(LimitError):
            list(each)
    assert ckpt["t3"].shape == (1,)
