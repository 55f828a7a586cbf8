"""Curves of scalars: as a sparkline on a terminal, or as a picture in a file."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ckptfmt import Scalars, errors
from ckptfmt.cli.render.text import escape

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*#@"
"""The same for outputs that only have ASCII."""

GAP = " "
"""Drawn for a stretch without a finite value."""

WIDTH = 60
"""Characters of a sparkline."""

MAX_POINTS = 20_000
"""Points drawn of a curve. A longer one is drawn with the least and the greatest value of each stretch, and
one that is not finite."""

MAX_NAMED = 20
"""Curves named in the legend; more names would leave no room for the curves."""

MAX_LABEL = 60
"""Characters of the longest name that is shown whole."""

PLOTS = (".png", ".svg", ".html")
"""Endings of the names of files that pictures are written to."""


def sparkline(values: np.ndarray[Any, Any], blocks: str = BLOCKS, width: int = WIDTH) -> str:
    """Return a curve as text: a character for each stretch of values, as high as their mean."""
    line = []
    means = []
    for part in np.array_split(values.astype(np.float64), min(width, len(values))) if len(values) else ():
        finite = part[np.isfinite(part)]
        means.append(float(finite.mean()) if finite.size else None)
    known = [mean for mean in means if mean is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    for mean in means:
        if mean is None:
            line.append(GAP)
        else:
            # Halved first, because the distance between two finite numbers may be infinite.
            share = (mean / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0
            line.append(blocks[min(int(share * len(blocks)), len(blocks) - 1)])
    return "".join(line)


def picture(curves: Sequence[tuple[str, Scalars]], title: str, suffix: str) -> bytes:
    """Draw scalars over steps; return a file of the format that the suffix, one of :data:`PLOTS`, names.

    An ``.html`` file contains the picture, so it can be moved alone.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed: ``ckptfmt[plot]``.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise errors.MissingDependencyError("matplotlib", "plot") from None
    # Not through pyplot, which would choose a backend for the process and keep every figure.
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for _, series in curves:
        steps, values = thinned(series.steps, series.values)
        finite = np.isfinite(values)
        # A line needs two points next to each other; without any, a curve would not be seen.
        is_line = bool((finite[1:] & finite[:-1]).any())
        axes.plot(steps, values, linewidth=1, marker=None if is_line else ".")
    axes.set_xlabel("step")
    axes.grid(visible=True, alpha=0.3)
    if curves:
        _add_legend(axes, [name for name, _ in curves])
    axes.set_title(_label(title))
    drawn = io.BytesIO()
    canvas: Any = FigureCanvasSVG(figure) if suffix == ".svg" else FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # matplotlib warns of letters that its font lacks, and of numbers near the largest float.
        warnings.simplefilter("ignore")
        canvas.print_svg(drawn) if suffix == ".svg" else canvas.print_png(drawn)
    return _page(title, drawn.getvalue()) if suffix == ".html" else drawn.getvalue()


def _add_legend(axes: Any, names: Sequence[str]) -> None:  # noqa: ANN401  (matplotlib's Axes)
    labels = [_label(name) for name in names[:MAX_NAMED]]
    lines = axes.lines[: len(labels)]
    if len(names) > len(labels):
        labels.append(f"… {len(names) - len(labels):,} more")
        lines = [*lines, *axes.plot([], [], " ")]
    legend = axes.legend(lines, [" "] * len(labels), loc="best", fontsize="small")
    # Names passed to legend() would be left out if they begin with an underscore.
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def _label(name: str) -> str:
    """Return a name as the picture shows it: shortened, and with dollars that do not begin formulas."""
    shown = escape(name)
    if len(shown) > MAX_LABEL:
        shown = f"{shown[: MAX_LABEL // 2]}…{shown[-MAX_LABEL // 2 :]}"
    return shown.replace("$", r"\$")


def _page(title: str, picture: bytes) -> bytes:
    name = html.escape(escape(title))
    source = base64.b64encode(picture).decode("ascii")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
        f'<body><img alt="{name}" src="data:image/png;base64,{source}"></body></html>\n'
    ).encode()


def thinned(
    steps: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the points of a curve that a picture can show, among them some where it is broken.

    A picture has fewer columns than a long curve has points, so a stretch of a few points shows as a vertical
    line from its least to its greatest value, and these two are enough. A point that is not finite leaves a
    gap.
    """
    if len(values) <= MAX_POINTS:
        return steps, values
    # Up to three points are kept of each stretch.
    borders = np.linspace(0, len(values), MAX_POINTS // 3 + 1).astype(int)
    is_finite = np.isfinite(values)
    finite = np.where(is_finite, values, np.nan)
    rows = []
    for start, stop in pairwise(borders):
        known = is_finite[start:stop]
        kept = set() if known.all() else {start + int(np.argmin(known))}
        if known.any():
            part = finite[start:stop]
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
        rows += sorted(kept)
    return steps[rows], values[rows]
