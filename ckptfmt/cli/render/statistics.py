"""Statistics of a numeric array, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ckptfmt.cli.render.values import builtin

_CHUNK = 1 << 18
"""Elements looked at together."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the elements of an array are like. All but the counts is of the finite elements."""

    minimum: float | int | None
    """None where there is no finite element, and of complex numbers, which have no order."""
    maximum: float | int | None
    mean: float | complex | None
    std: float | None
    """Standard deviation of all elements, not the estimate from a sample."""
    zeros: int
    nan: int
    """Elements that are not a number; of complex ones in either part."""
    inf: int
    """Infinite elements of either sign."""


def statistics(array: np.ndarray[Any, Any]) -> Statistics | None:
    """Return the statistics of an array; None where it holds no numbers."""
    if array.dtype.hasobject:
        return None
    count = zeros = nan = inf = 0
    mean: Any = 0.0
    squares = 0.0
    low: Any = None
    high: Any = None
    with np.errstate(all="ignore"):
        for chunk in np.nditer(array, ("external_loop", "buffered", "zerosize_ok"), buffersize=_CHUNK):
            values: np.ndarray[Any, Any] = builtin(np.asarray(chunk))
            zeros += values.size - int(np.count_nonzero(values))
            if values.dtype.kind in "fc":
                finite = np.isfinite(values)
                missing = int(np.count_nonzero(np.isnan(values)))
                nan += missing
                inf += values.size - missing - int(np.count_nonzero(finite))
                values = values[finite]
            if not values.size:
                continue
            if values.dtype.kind != "c":
                least, most = values.min().item(), values.max().item()
                low = least if low is None else min(low, least)
                high = most if high is None else max(high, most)
            # Means and squared deviations of chunks add up as Chan, Golub and LeVeque (1979) showed.
            wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
            part = wide.mean().item()
            delta = part - mean
            total = count + wide.size
            squares += float((np.abs(wide - part) ** 2).sum())
            squares += abs(delta) ** 2 * count * wide.size / total
            mean += delta * wide.size / total
            count = total
    if not count:
        return Statistics(None, None, None, None, zeros, nan, inf)
    return Statistics(low, high, mean, (squares / count) ** 0.5, zeros, nan, inf)
