"""Gathering: how little of a file is read for part of an array."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.checkpoint.gather import gather
from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import TruncatedError
from tests.support.memory_filesystem import BEFORE, MemoryFile, stored


def test_few_rows_are_few_bytes() -> None:
    array = np.arange(300_000 * 16, dtype=np.int32).reshape(300_000, 16)
    file = stored(array)
    rows = [299_999, 5, 70_000, 6, 70_002, 5]
    got = gather(file, len(BEFORE), as_dtype("int32"), array.shape, (np.array(rows), slice(None), ...))
    np.testing.assert_array_equal(got, array[rows])
    assert [size for _, size in file.reads] == [2 * 64, 3 * 64, 64]


def test_little_of_long_rows_is_little() -> None:
    array = np.arange(3 * 2_000_000, dtype=np.int32).reshape(3, 2_000_000)
    file = stored(array)
    part = (slice(0, 3, 2), slice(1_000_000, 1_000_010), ...)
    np.testing.assert_array_equal(
        gather(file, len(BEFORE), as_dtype("int32"), array.shape, part), array[part]
    )
    assert sum(size for _, size in file.reads) == 2 * 10 * 4


def test_a_column_of_long_rows_is_little() -> None:
    array = np.arange(50 * 100_000, dtype=np.int32).reshape(50, 100_000)
    file = stored(array)
    part = (slice(None), slice(5, 6), ...)
    got = gather(file, len(BEFORE), as_dtype("int32"), array.shape, part)
    np.testing.assert_array_equal(got, array[part])
    assert sum(size for _, size in file.reads) == 50 * 4


def test_a_file_that_is_too_short_is_an_error() -> None:
    file = MemoryFile("data", bytes(100), has_views=False)
    for rows in (slice(20, 30), slice(0, 30, 7), np.array([29, 1])):
        with pytest.raises(TruncatedError, match="data"):
            gather(file, 0, as_dtype("float32"), (30,), (rows, ...))
