"""Curves: scalars as a sparkline on a terminal, and as a picture in a file."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ckptfmt import Scalars, errors
from ckptfmt.cli.text import escape

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*#@"
"""The same where an output has only ASCII."""

GAP = " "
"""What stands where no value is finite."""

WIDTH = 60
"""Characters of a sparkline."""

MAX_POINTS = 20_000
"""Points that are drawn of a curve: of each stretch of a longer one the least and the greatest value."""

PLOTS = (".png", ".svg", ".html")
"""Ends of names of files that pictures are written to."""


def sparkline(values: np.ndarray[Any, Any], blocks: str = BLOCKS, width: int = WIDTH) -> str:
    """Return the curve of values as characters: of each stretch of them the mean."""
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
            # Halved first: the span of two finite numbers may not be one.
            share = (mean / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0
            line.append(blocks[min(int(share * len(blocks)), len(blocks) - 1)])
    return "".join(line)


def plot(path: str, curves: Mapping[str, Scalars], title: str, *, overwrite: bool = False) -> None:
    """Draw scalars over steps into a ``.png``, ``.svg`` or ``.html`` file.

    An ``.html`` file holds the picture itself, and needs nothing from elsewhere.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed: ``ckptfmt[plot]``.
    FileExistsError
        There is a file already, and not ``overwrite``.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise errors.MissingDependencyError("matplotlib", "plot") from None
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, series in curves.items():
        steps, values = thinned(series.steps, series.values)
        # Its mark-up would be that of formulas.
        axes.plot(steps, values, label=escape(name).replace("$", r"\$"), linewidth=1)
    axes.set_xlabel("step")
    axes.grid(visible=True, alpha=0.3)
    if curves:
        axes.legend(loc="best", fontsize="small")
    axes.set_title(escape(title).replace("$", r"\$"))
    picture = io.BytesIO()
    canvas: Any = FigureCanvasSVG(figure) if suffix == ".svg" else FigureCanvasAgg(figure)
    canvas.print_svg(picture) if suffix == ".svg" else canvas.print_png(picture)
    data = picture.getvalue()
    if suffix == ".html":
        source = base64.b64encode(data).decode("ascii")
        name = html.escape(escape(title))
        data = (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
            f'<body><img alt="{name}" src="data:image/png;base64,{source}"></body></html>\n'
        ).encode()
    with open(path, "wb" if overwrite else "xb") as file:  # noqa: PTH123
        file.write(data)


def thinned(
    steps: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the points of a curve that a picture can show."""
    if len(values) <= MAX_POINTS:
        return steps, values
    borders = np.linspace(0, len(values), MAX_POINTS // 2 + 1).astype(int)
    finite = np.where(np.isfinite(values), values, np.nan)
    rows = []
    for start, stop in pairwise(borders):
        part = finite[start:stop]
        if not np.isnan(part).all():
            rows += sorted({start + int(np.nanargmin(part)), start + int(np.nanargmax(part))})
    return steps[rows], values[rows]
