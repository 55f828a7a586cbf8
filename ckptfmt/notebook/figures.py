"""Figures: curves and histograms as small inline SVG pictures in the colour of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ckptfmt.notebook.card import Markup

MAX_POINTS = 400
"""Points of a curve. Of more, the least and the greatest of each stretch are drawn, so that peaks stay."""

_MARGIN = 2
"""Pixels around what is drawn."""


def curve(values: Sequence[float], width: int, height: int) -> Markup:
    """Return numbers as a curve from left to right; numbers that are not finite leave gaps."""
    points = list(enumerate(values)) if len(values) <= MAX_POINTS else _thinned(values)
    finite = [value for _, value in points if math.isfinite(value)]
    if not finite:
        return Markup("")
    low, high = min(finite), max(finite)
    last = max(len(values) - 1, 1)
    parts = []
    is_drawing = False
    for at, value in points:
        if not math.isfinite(value):
            is_drawing = False
            continue
        x = _MARGIN + at / last * (width - 2 * _MARGIN)
        y = height - _MARGIN - _share(value, low, high) * (height - 2 * _MARGIN)
        parts.append(f"{'L' if is_drawing else 'M'}{x:.1f} {y:.1f}")
        is_drawing = True
    # A point of its own has no length: round ends make it visible.
    path = (
        f'<path d="{"".join(parts)}h.01" fill="none" stroke="currentColor" stroke-width="1.5" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )
    return _picture(path, width, height)


def bars(edges: Sequence[tuple[float, float]], heights: Sequence[float], width: int, height: int) -> Markup:
    """Return a histogram: a bar between two edges for each number. What is not finite is left out."""
    drawn = [
        (left, right, count)
        for (left, right), count in zip(edges, heights, strict=True)
        if math.isfinite(left) and math.isfinite(right) and math.isfinite(count) and count > 0
    ]
    if not drawn:
        return Markup("")
    low, high = min(left for left, _, _ in drawn), max(right for _, right, _ in drawn)
    most = max(count for _, _, count in drawn)
    parts = []
    for left, right, count in drawn:
        begin = _share(left, low, high) * (width - 2 * _MARGIN) if high > low else 0.0
        end = _share(right, low, high) * (width - 2 * _MARGIN) if high > low else width - 2.0 * _MARGIN
        tall = max(count / most * (height - 2 * _MARGIN), 1)
        wide = max(end - begin - 0.5, 0.5)
        parts.append(
            f'<rect x="{_MARGIN + begin:.1f}" y="{height - _MARGIN - tall:.1f}" '
            f'width="{wide:.1f}" height="{tall:.1f}"/>'
        )
    return _picture(f'<g fill="currentColor">{"".join(parts)}</g>', width, height)


def _share(value: float, low: float, high: float) -> float:
    """Return where a value is between two others, 0 to 1, and in the middle if these are equal."""
    # Halves first: the difference of two large floats may be infinite.
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span > 0 else 0.5


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return the least and the greatest of each stretch of values, with their positions."""
    step = -(-2 * len(values) // MAX_POINTS)
    points: list[tuple[int, float]] = []
    for start in range(0, len(values), step):
        stretch = [
            (at, values[at])
            for at in range(start, min(start + step, len(values)))
            if math.isfinite(values[at])
        ]
        if stretch:
            ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
            points += sorted(ends)
        else:
            points.append((start, math.nan))
    return points


def _picture(content: str, width: int, height: int) -> Markup:
    return Markup(f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{content}</svg>')
