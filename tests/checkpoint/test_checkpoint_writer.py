"""``CheckpointWriter``: what it writes is read again, and stands at its prefix whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import AlreadyExistsError, NameConflictError, NotWritableError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_checkpoint_appears_when_the_block_ends(tmp_path: Path) -> None:
    prefix = tmp_path / "new" / "model.ckpt-7"
    with ckptfmt.CheckpointWriter(prefix) as writer:
        writer.add("w", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.add("labels", ["a", "bc"])
        assert not (tmp_path / "new" / "model.ckpt-7.index").exists()
    assert names(tmp_path / "new") == ["model.ckpt-7.data-00000-of-00001", "model.ckpt-7.index"]
    with ckptfmt.open(prefix) as ckpt:
        assert ckpt["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert ckpt["labels"].tolist() == [b"a", b"bc"]


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "ckpt", {"w": np.ones(3)})
    writer = ckptfmt.CheckpointWriter(tmp_path / "ckpt", overwrite=True)
    with pytest.raises(ValueError, match="shapes"), writer:
        writer.add("w", np.zeros(3) + np.zeros(2))
    assert ckptfmt.open(tmp_path / "ckpt")["w"].tolist() == [1, 1, 1]
    assert names(tmp_path) == ["ckpt.data-00000-of-00001", "ckpt.index"]


def test_an_existing_checkpoint_is_replaced_only_on_request(tmp_path: Path) -> None:
    ckptfmt.save(tmp_path / "ckpt", {"w": np.ones(3)})
    with pytest.raises(AlreadyExistsError):
        ckptfmt.save(tmp_path / "ckpt", {"w": np.zeros(3)})
    for value in (2, 3):
        ckptfmt.save(tmp_path / "ckpt", {"w": np.full(3, value)}, overwrite=True)
        assert ckptfmt.open(tmp_path / "ckpt")["w"].tolist() == [value] * 3
        # As many files as the index promises.
        assert len(names(tmp_path)) == 1 + ckptfmt.open(tmp_path / "ckpt").num_shards
        assert ckptfmt.open(tmp_path / "ckpt").verify().ok


def test_one_writer_has_a_prefix(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add("w", 1.5)
        with pytest.raises(NotWritableError, match="another program"):
            ckptfmt.CheckpointWriter(tmp_path / "ckpt")
    assert ckptfmt.open(tmp_path / "ckpt")["w"] == np.float32(1.5)


def test_slices_make_the_tensor(tmp_path: Path) -> None:
    array = np.arange(40).reshape(10, 4)
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt", num_shards=2) as writer:
        writer.add_slice("p", (10, 4), "0,5:-", array[:5])
        writer.add_slice("p", (10, 4), [slice(5, 10), slice(None)], array[5:])
    ckpt = ckptfmt.open(tmp_path / "ckpt")
    assert ckpt.num_shards == 2
    assert np.array_equal(ckpt["p"], array)


def test_slices_must_not_leave_a_gap(tmp_path: Path) -> None:
    writer = ckptfmt.CheckpointWriter(tmp_path / "ckpt")
    writer.add_slice("p", (10, 4), "0,5:-", np.zeros((5, 4)))
    with pytest.raises(ValueError, match="leave a gap"):
        writer.commit()
    assert names(tmp_path) == []


def test_a_name_is_written_once(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add("w", 1)
        with pytest.raises(NameConflictError):
            writer.add("w", 2)
