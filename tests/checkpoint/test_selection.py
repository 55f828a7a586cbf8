"""Selections: the indices that are accepted, and what they take."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.selection import select
from tests.support.golden import load
from tests.support.table_writer import write_bundle


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


def test_an_ellipsis_that_stands_for_no_dimension_parts_a_list_from_an_integer(tmp_path: Path) -> None:
    # NumPy puts the list's dimension first then; of shape (3, 3, 1) the result has the same shape either way.
    for shape in ((2, 4, 6), (3, 3, 1)):
        array = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
        write_bundle(tmp_path / f"w{shape[0]}", {"w": array})
        with ckptfmt.open(tmp_path / f"w{shape[0]}") as ckpt:
            for index in ((slice(None), [2, 0, 1], ..., 0), ([1, 0], ..., 0, 0), ([1, 0], 0, 0, ...)):
                got = ckpt.slice("w")[index]
                assert got.shape == array[index].shape
                np.testing.assert_array_equal(got, array[index])


def test_slices_refuse_what_numpy_refuses(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    rows = reader.shape[0]
    with pytest.raises(IndexError, match="out of bounds"):
        reader[rows]
    with pytest.raises(IndexError, match="3 indices for a tensor of 2"):
        reader[0, 0, 0]
    with pytest.raises(TypeError, match="neither an integer"):
        reader["a"]
    with pytest.raises(TypeError, match="axis 0: got an array of float64, want integers or bools"):
        reader[[0.5]]
    with pytest.raises(IndexError, match=f"axis 0: {rows} is out of bounds for size {rows}"):
        reader[[0, rows]]
    with pytest.raises(IndexError, match=f"got a mask of {rows + 1}, want {rows}"):
        reader[[True] * (rows + 1)]
    with pytest.raises(IndexError, match="several lists or masks"):
        reader[[0], [0]]
    with pytest.raises(IndexError, match="got an array of 2 dimensions, want one"):
        reader[np.ones(reader.shape, bool)]


def test_a_selection_is_turned_into_what_numpy_returns() -> None:
    array = np.arange(24).reshape(4, 6)
    selection, local = select((slice(None, None, -2), 3), array.shape, "t")
    assert selection.positions == (range(1, 4, 2), range(3, 4))
    assert (selection.shape, selection.region) == ((2, 1), ((1, 4), (3, 4)))
    np.testing.assert_array_equal(array[1:4:2, 3:4][local], array[::-2, 3])


def test_a_selection_meets_a_region_in_part_in_whole_or_not_at_all() -> None:
    selection, _ = select(slice(2, 8, 3), (10,), "t")  # 2 and 5
    part = selection.within(((4, 9),))
    assert part is not None
    assert np.arange(4, 9)[part.source].tolist() == [5]
    assert np.arange(2)[part.target].tolist() == [1]
    assert not part.is_whole
    assert selection.within(((6, 9),)) is None
    whole = selection.within(((5, 6),))
    assert whole is not None
    assert whole.is_whole
