"""The bins of a Discretization: Keras 2 stores what the layer has counted, Keras 3 the boundaries.

Source: ``layers/preprocessing/discretization.py`` of Keras 2, ``get_bin_boundaries``.
"""

from __future__ import annotations

import numpy as np

from ckptfmt.arrays.array import Array


def bin_boundaries(summary: Array, count: int) -> list[float]:
    """Return the boundaries of ``count`` bins; ``summary`` has sorted values, and how often each was met."""
    values, weights = summary
    if summary.shape[1] >= count:
        # Where the sum of weights reaches each n-th part of the whole.
        share = np.cumsum(weights)
        share = share / share[-1]
        step = 1.0 / count
        values = np.interp(step + np.arange(0.0, 1.0, step), share, values)
    boundaries: list[float] = values.astype(np.float32)[:-1].tolist()
    return boundaries
