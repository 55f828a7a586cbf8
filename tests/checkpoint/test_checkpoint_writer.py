"""``CheckpointWriter``: what it writes is read again, and stands at its prefix whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import TensorSlice
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


PARTS: list[Any] = [
    "0,5:-",
    "0,5:0,4",
    [slice(5), slice(None)],
    [(0, 5), (0, 4)],
    [slice(0, 5, 1), (0, 4)],
]


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_slice_is_written_as_text_or_as_python_has_it(tmp_path: Path, part: Any) -> None:
    array = np.arange(40).reshape(10, 4)
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add_slice("p", (10, 4), TensorSlice(((5, 5), (0, -1))), array[5:])
        writer.add_slice("p", (10, 4), part, array[:5])
        writer.add_slice("whole", [10, 4], "0,10:-", array)
        writer.add_slice("scalar", (), "", 7)
    with ckptfmt.open(tmp_path / "ckpt") as ckpt:
        assert np.array_equal(ckpt["p"], array)
        assert len(ckpt.entries["p"].slices) == 2
        assert ckpt.entries["whole"].slices == ckpt.entries["scalar"].slices == ()
        assert (ckpt["whole"].tolist(), ckpt["scalar"]) == (array.tolist(), 7)


@pytest.mark.parametrize(
    ("shape", "part", "values", "message"),
    [
        ((4, 2), "0,5:-", np.zeros((5, 2)), "does not fit"),
        ((4, 2), "0,2", np.zeros((2, 2)), "ranks differ"),
        ((4, 2), "0,0:-", np.zeros((0, 2)), "does not fit"),
        ((4, 2), "a:b", np.zeros((2, 2)), "not a slice: 'a:b'"),
        ((4, 2), [slice(0, 4, 2), slice(None)], np.zeros((2, 2)), "got step 2, want 1"),
        ((4, 2), [slice(2)], np.zeros((2, 2)), "got 1 dimensions, want 2"),
        ((4, 2), "0,2:-", np.zeros((2, 3)), r"got values of shape \[2, 3\], want \[2, 2\]"),
        ((-4, 2), "0,2:-", np.zeros((2, 2)), "no negative size"),
        ((1,) * 255, [(0, 1)] * 255, 1, "at most 254"),
        ((2**32, 2**31), "0,1:0,1", [[1.0]], "more than 2"),
        ((2**62, 2), "0,1:0,1", [[1.0]], "more than 2"),
    ],
    ids=str,
)
def test_a_slice_that_does_not_fit_is_refused(
    tmp_path: Path, shape: Any, part: Any, values: Any, message: str
) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        with pytest.raises(ValueError, match=f"tensor 'p'.*{message}"):
            writer.add_slice("p", shape, part, values)
        writer.add("p", 1)
    assert ckptfmt.open(tmp_path / "ckpt")["p"] == 1


def test_slices_of_a_tensor_have_one_dtype_shape_and_place(tmp_path: Path) -> None:
    half = np.zeros((5, 4), np.float32)
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add_slice("p", (10, 4), "0,5:-", half)
        with pytest.raises(NameConflictError):
            writer.add_slice("p", (10, 4), "0,5:-", half)
        with pytest.raises(NameConflictError):
            writer.add("p", half)
        with pytest.raises(NameConflictError):
            writer.add_all({"q": half, "p": half})
        with pytest.raises(ValueError, match=r"got one of float64\[10, 4\], want float32\[10, 4\]"):
            writer.add_slice("p", (10, 4), "5,5:-", half.astype(np.float64))
        with pytest.raises(ValueError, match=r"got one of float32\[11, 4\], want float32\[10, 4\]"):
            writer.add_slice("p", (11, 4), "5,5:-", half)
        writer.add_slice("p", (10, 4), "5,5:-", half)
        writer.add("w", half)
        with pytest.raises(NameConflictError):
            writer.add_slice("w", (10, 4), "5,5:-", half)
    assert sorted(ckptfmt.open(tmp_path / "ckpt")) == ["p", "w"]


def test_slices_must_not_overlap(tmp_path: Path) -> None:
    writer = ckptfmt.CheckpointWriter(tmp_path / "ckpt")
    writer.add_slice("p", (10,), "0,6", np.zeros(6))
    writer.add_slice("p", (10,), "5,5", np.zeros(5))
    with pytest.raises(ValueError, match=r"tensor 'p': slices .* overlap"):
        writer.commit()
    assert names(tmp_path) == []


def test_a_tensor_of_one_dimension_may_have_a_slice_alone(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add_slice("p", (5,), slice(2), [1.0, 2.0])
        writer.add_slice("p", (5,), slice(2, None), [3.0, 4.0, 5.0])
        with pytest.raises(ValueError, match="tensor 'q': slice: got 1 dimensions, want 2"):
            writer.add_slice("q", (5, 2), slice(2), np.zeros((2, 2)))
    assert ckptfmt.open(tmp_path / "ckpt")["p"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("part", [0, ..., (1, 2, 3)], ids=str)
def test_what_is_no_slice_of_a_dimension_is_named(tmp_path: Path, part: Any) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        with pytest.raises(TypeError, match=r"tensor 'p': slice: got .* want a Python slice or a pair"):
            writer.add_slice("p", (5, 2), [part, slice(None)], np.zeros((1, 2)))
        writer.add("p", 1)


def test_slices_may_be_of_strings(tmp_path: Path) -> None:
    with ckptfmt.CheckpointWriter(tmp_path / "ckpt") as writer:
        writer.add_slice("s", (3,), "2,1", ["c"])
        writer.add_slice("s", (3,), "0,2", [b"a", "b"])
    assert ckptfmt.open(tmp_path / "ckpt")["s"].tolist() == [b"a", b"b", b"c"]
