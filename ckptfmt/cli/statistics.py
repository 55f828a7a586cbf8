"""Statistics of a numeric array, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ckptfmt.cli.render.values import builtin

_CHUNK = 1 << 18
"""Elements of a chunk, 2 MiB as float64. This bounds the memory."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the finite elements of an array, and how many of its elements are special."""

    minimum: float | int | None
    """None if no element is finite, and for complex numbers, which have no order."""
    maximum: float | int | None
    mean: float | complex | None
    std: float | None
    """Standard deviation of these elements as a population, not the estimate from a sample."""
    zeros: int
    nan: int
    """Elements that are not a number; complex ones if either part is not."""
    inf: int
    """Infinite elements of either sign."""


def statistics(array: np.ndarray[Any, Any]) -> Statistics | None:
    """Return the statistics of an array, or None if its elements are not numbers.

    One pass over chunks. Means and squared deviations of two parts combine exactly (Chan, Golub and LeVeque,
    1979), which loses no digits as sums of squares would:

        delta   = mean_b - mean_a
        mean    = mean_a + delta * n_b / n
        squares = squares_a + squares_b + delta² * n_a * n_b / n
    """
    if array.dtype.hasobject:
        return None
    count = zeros = nan = inf = 0
    mean: Any = 0.0
    squares = 0.0
    minimum: Any = None
    maximum: Any = None
    with np.errstate(all="ignore"):
        for chunk in np.nditer(array, ("external_loop", "buffered", "zerosize_ok"), buffersize=_CHUNK):
            # Booleans become 0 and 1, and dtypes of ml_dtypes wider ones that NumPy's functions take.
            values: np.ndarray[Any, Any] = builtin(np.asarray(chunk))
            zeros += values.size - int(np.count_nonzero(values))
            if values.dtype.kind in "fc":
                is_finite = np.isfinite(values)
                not_numbers = int(np.count_nonzero(np.isnan(values)))
                nan += not_numbers
                inf += values.size - not_numbers - int(np.count_nonzero(is_finite))
                values = values[is_finite]
            if not values.size:
                continue
            if values.dtype.kind != "c":
                least, greatest = values.min().item(), values.max().item()
                minimum = least if minimum is None else min(minimum, least)
                maximum = greatest if maximum is None else max(maximum, greatest)
            # In 64 bits: sums of float16 or int8 would overflow.
            wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
            chunk_mean = wide.mean().item()
            delta = chunk_mean - mean
            total = count + wide.size
            squares += float((np.abs(wide - chunk_mean) ** 2).sum())
            squares += abs(delta) ** 2 * count * wide.size / total
            mean += delta * wide.size / total
            count = total
    if not count:
        return Statistics(None, None, None, None, zeros, nan, inf)
    return Statistics(minimum, maximum, mean, (squares / count) ** 0.5, zeros, nan, inf)


def count_special(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Return how many elements of an array are not a number, and how many infinite."""
    if array.dtype.hasobject or array.dtype.kind in "biu":
        return 0, 0
    nan = inf = 0
    with np.errstate(all="ignore"):
        for chunk in np.nditer(array, ("external_loop", "buffered", "zerosize_ok"), buffersize=_CHUNK):
            values = builtin(np.asarray(chunk))
            if values.dtype.kind not in "fc":
                break
            # Nearly all chunks have none, and are looked at once.
            finite = int(np.count_nonzero(np.isfinite(values)))
            if finite < values.size:
                not_numbers = int(np.count_nonzero(np.isnan(values)))
                nan += not_numbers
                inf += values.size - finite - not_numbers
    return nan, inf
