"""Irregular steps of a tag: gaps, and steps at which a program began again."""

from __future__ import annotations

from typing import Any

import numpy as np

GAP = 1.5
"""A distance between steps of more than this many times the usual one, the median, is a gap."""

MAX_GAPS = 20
"""Gaps listed for a tag."""


def gaps(steps: np.ndarray[Any, Any]) -> list[list[int]]:
    """Return the pairs of neighbouring steps that are further apart than usual."""
    known = np.unique(steps)
    # Unsigned, because steps may be further apart than an int64 can say.
    distances = np.diff(known.astype(np.uint64)).astype(np.float64)
    if len(distances) < 2:
        return []
    wide = np.flatnonzero(distances > GAP * float(np.median(distances)))
    return [[int(known[i]), int(known[i + 1])] for i in wide[:MAX_GAPS].tolist()]


def restarts(steps: np.ndarray[Any, Any]) -> int:
    """Return how often a step is smaller than the one before it, as after a restart of the program."""
    return int((steps[1:] < steps[:-1]).sum())
