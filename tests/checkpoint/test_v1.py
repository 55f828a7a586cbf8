"""V1 checkpoints: missing files, and dtypes that they cannot store."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import encode_slice_key
from ckptfmt.errors import (
    CorruptError,
    UnsupportedError,
)
from tests.support.golden import copied
from tests.support.table_writer import (
    encode_field,
    encode_table,
)


def test_a_missing_v1_shard_is_named(tmp_path: Path) -> None:
    path = copied("v1_sharded", tmp_path)
    shards = sorted(path.parent.glob("*-00001-of-*"))
    assert len(shards) == 1
    names = list(ckptfmt.open(path))
    shards[0].unlink()
    ckpt = ckptfmt.open(path)
    report = ckpt.verify()
    assert not report.ok
    assert [problem.file for problem in report.problems if problem.kind == "missing"] == [str(shards[0])]
    cut = [name for name, entry in ckpt.entries.items() if entry.slices]
    assert cut
    for name in cut:
        with pytest.raises(CorruptError, match=f"elements uncovered.*missing: .*{shards[0].name}"):
            ckpt[name]
    assert set(ckpt) <= set(names)
    assert any(ckpt[name] is not None for name in ckpt if name not in cut)


@pytest.mark.parametrize(
    ("code", "values", "message"),
    [
        (20, encode_field(14, encode_field(3, b"handle")), "values of dtype resource"),
        (99, b"", "values of dtype unknown_99"),
        (0, b"", "values of dtype invalid"),
    ],
    ids=["resource", "unknown", "invalid"],
)
def test_v1_tensors_that_cannot_be_stored_are_listed_and_refused(
    code: int, values: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(v1_scalar(code, values))
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt.entries["t"].dtype.code == code
    with pytest.raises(UnsupportedError, match=f"tensor 't'.*{message}"):
        ckpt["t"]
    assert [problem.kind for problem in ckpt.verify().problems] == ["unsupported"]


def test_v1_variants_read(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(v1_scalar(21, encode_field(15, encode_field(1, b"T"))))
    ckpt = ckptfmt.open(tmp_path / "c")
    assert ckpt.entries["t"].nbytes == 0
    assert ckpt["t"].item().type_name == "T"
    assert ckpt.verify().ok


def v1_scalar(code: int, values: bytes) -> bytes:
    """A V1 file of one scalar "t" of any dtype."""
    meta = encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, code) + encode_field(4, b"")
    data = encode_field(1, b"t") + encode_field(2, b"") + encode_field(3, values)
    key = encode_slice_key(b"t", ckptfmt.TensorSlice(()))
    return encode_table([(b"", encode_field(1, encode_field(1, meta))), (key, encode_field(2, data))])
