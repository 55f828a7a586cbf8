"""Statistics agree with NumPy's."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from ckptfmt import as_dtype
from ckptfmt.cli.statistics import count_special, statistics


@pytest.mark.parametrize(
    "dtype",
    [
        np.float16,
        np.float32,
        np.float64,
        np.int8,
        np.uint64,
        bool,
        ml_dtypes.bfloat16,
        ml_dtypes.int4,
        np.complex64,
    ],
    ids=lambda dtype: np.dtype(dtype).name,
)
def test_statistics_agree_with_numpy(dtype: type) -> None:
    # More than fits into one chunk, so that chunks are combined; a view with gaps, which is not contiguous.
    array = (np.arange(700_000) % 7).astype(dtype)[::2]
    found = statistics(array)
    assert found is not None
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    assert (found.zeros, found.nan, found.inf) == (int((wide == 0).sum()), 0, 0)
    assert found.mean == pytest.approx(wide.mean())
    assert found.std == pytest.approx(wide.std())
    if array.dtype.kind != "c":
        assert (found.minimum, found.maximum) == (wide.min(), wide.max())


def test_statistics_cover_the_finite_elements() -> None:
    found = statistics(np.array([1, 3, np.nan, np.inf, -np.inf, 0, -0.0]))
    assert found is not None
    assert (found.minimum, found.maximum, found.mean, found.zeros, found.nan, found.inf) == (0, 3, 1, 2, 1, 2)


def test_large_integers_are_exact() -> None:
    found = statistics(np.array([2**63 - 1, -(2**63)], np.int64))
    assert found is not None
    assert (found.minimum, found.maximum) == (-(2**63), 2**63 - 1)


def test_without_finite_elements_there_is_no_mean() -> None:
    for array in (np.array([np.nan]), np.empty((0, 3), np.float32)):
        found = statistics(array)
        assert found is not None
        assert (found.minimum, found.maximum, found.mean, found.std) == (None, None, None, None)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "complex64", "float32"])
def test_special_numbers_of_every_dtype_are_counted(name: str) -> None:
    array = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], np.float32).astype(as_dtype(name).numpy)
    assert count_special(array) == (1, 2)
    assert count_special(array[:1]) == (0, 0)


def test_integers_and_strings_are_finite() -> None:
    assert count_special(np.arange(3)) == count_special(np.array([b"nan"], object)) == (0, 0)
