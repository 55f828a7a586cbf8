"""Hostile V1 files: an error of this package, and other tensors are still read."""

from __future__ import annotations

import pytest

from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from tests.support.bundles import encode_extents
from tests.support.memory_filesystem import open_tables
from tests.support.table_writer import encode_field, encode_table
from tests.support.v1_files import TWO_FLOATS, V1_KEY, WHOLE, v1_data, v1_meta, v1_table

BAD_V1: dict[str, tuple[bytes, str]] = {
    "dim -5": (v1_table(v1_meta(shape=(-5,))), "dimension 0 of a shape: got -5, want at least 0"),
    "dim 2**62": (v1_table(v1_meta(shape=(2**62,))), "got 2 values, want 4611686018427387904"),
    "2**80 elements": (v1_table(v1_meta(shape=(2**40, 2**40))), "more than 2..63 - 1 elements"),
    "slice out of the shape": (
        v1_table(v1_meta(slices=(encode_extents((1, 5)),))),
        "slice 1,5 does not fit shape",
    ),
    "slice of another rank": (v1_table(v1_meta(slices=(encode_extents((0, 1), (0, 1)),))), "ranks differ"),
    "too few values": (v1_table(data=v1_data(TWO_FLOATS[:1] + b"\x04" + bytes(4))), "got 1 values, want 2"),
    "too many values": (v1_table(data=v1_data(TWO_FLOATS * 2)), "got 4 values, want 2"),
    "no values": (v1_table(data=v1_data(b"")), "got 0 values, want 2"),
    "values of another dtype": (v1_table(v1_meta(dtype=3)), "got 0 values, want 2 for int32"),
    "half a float": (
        v1_table(data=v1_data(encode_field(5, b"1234567"))),
        "got 7 bytes, want a multiple of 4",
    ),
    "values of another tensor": (v1_table(data=v1_data(TWO_FLOATS, b"x")), "holds the values of 'x'"),
    "values of another slice": (
        v1_table(data=v1_data(TWO_FLOATS, part=encode_extents((0, 2)))),
        "holds the values of",
    ),
    "slice key missing": (v1_table(key=V1_KEY + b"x"), "the values of slice - are not in the file"),
    "data that is not a message": (v1_table(data=b"\x12\x7f"), "field 2: got 0 bytes, want 127"),
    "data that is metadata": (v1_table(data=encode_field(1, b"")), "holds the values of ''"),
    "overlapping slices": (v1_table(v1_meta(slices=(WHOLE, WHOLE))), "slices - and - overlap"),
    "incomplete slices": (
        v1_table(v1_meta(slices=(encode_extents((0, 1)),))),
        "leave 1 of 2 elements uncovered",
    ),
    "variants": (v1_table(v1_meta(dtype=21)), "got 0 values, want 2 for variant"),
}


@pytest.mark.parametrize(("table", "message"), BAD_V1.values(), ids=BAD_V1)
def test_a_bad_tensor_of_a_v1_file_affects_only_itself(table: bytes, message: str) -> None:
    ckpt = open_tables(table)
    with pytest.raises(CorruptError, match=message) as caught:
        ckpt["t"]
    assert "'t'" in str(caught.value)
    assert caught.value.file == "nowhere/ckpt-00000-of-00001"
    assert list(ckpt) == ["t", "u"]
    assert ckpt["u"].tolist() == [1, 2]
    report = ckpt.verify()
    assert {problem.name for problem in report.problems if problem.severity == "error"} == {"t"}
    assert report.tensors_checked == 1


BAD_V1_FILES: dict[str, tuple[bytes, type[CkptfmtError], str]] = {
    "no metadata": (encode_table([(V1_KEY, v1_data(TWO_FLOATS))]), CorruptError, "no metadata"),
    "metadata that is not a message": (
        encode_table([(b"", b"\x0a\x7f")]),
        CorruptError,
        "field 1: got 0 bytes, want 127",
    ),
    "metadata of a bad tensor": (
        encode_table([(b"", encode_field(1, b"\x0a\x02\x0a\x7f"))]),
        CorruptError,
        "field 1",
    ),
    "min_consumer 9": (v1_table(version=b"\x10\x09"), UnsupportedError, "needs readers of version 9"),
    "bad_consumers 1": (v1_table(version=b"\x1a\x01\x01"), UnsupportedError, "excludes readers of version 1"),
    "not a table": (b"x" * 100, CorruptError, "not a table"),
}


@pytest.mark.parametrize(("table", "error", "message"), BAD_V1_FILES.values(), ids=BAD_V1_FILES)
def test_a_bad_v1_file_is_refused_with_its_name(
    table: bytes, error: type[CkptfmtError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        list(open_tables(table))
    assert "nowhere/ckpt-00000-of-00001" in str(caught.value)


def test_shards_of_a_v1_checkpoint_must_agree_on_a_tensor() -> None:
    one = v1_table(v1_meta(slices=(encode_extents((0, 1)),)))
    other = v1_table(v1_meta(shape=(3,), slices=(encode_extents((1, 1)),)))
    with pytest.raises(
        CorruptError, match=r"'t': got float32\[3\] in this file, want float32\[2\]"
    ) as caught:
        open_tables(one, other)["t"]
    assert caught.value.file == "nowhere/ckpt-00001-of-00002"


def test_v1_files_made_by_tests_can_be_read() -> None:
    ckpt = open_tables(v1_table())
    assert {name: array.tolist() for name, array in ckpt.items()} == {"t": [1, 2], "u": [1, 2]}
    assert ckpt.verify().problems == []
