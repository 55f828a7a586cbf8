"""Plots the curves with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Lines = Mapping[tuple[str, str], Mapping[int, Mapping[str, Any]]]


def plot(curves: Mapping[str, Lines], path: Path, labels: Mapping[str, list[str]]) -> None:
    """Draw a panel for each axis, seconds over what grows, and write an SVG.

    Points are medians; bars go from the fastest run to the slowest. ``labels`` are the tick labels by axis.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The salt makes ids deterministic: the same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "ckptfmt", "svg.fonttype": "none", "font.size": 8}):
        columns = min(2, len(curves))
        rows = -(-len(curves) // columns)
        figure = Figure(figsize=(6 * columns, 3.8 * rows), layout="constrained")
        for number, (axis, lines) in enumerate(curves.items()):
            panel = figure.add_subplot(rows, columns, number + 1)
            colours = {operation: f"C{i}" for i, operation in enumerate(dict.fromkeys(op for op, _ in lines))}
            for (operation, library), line in lines.items():
                _draw(panel, line, f"{operation}: {library}", colours[operation], library == "ckptfmt")
            xs = sorted({x for line in lines.values() for x in line})
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(xs, labels[axis], rotation=30 if len(xs) > 5 else 0)
            panel.set_xticks([], minor=True)
            panel.set_xlabel(axis)
            panel.set_ylabel("seconds")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _draw(panel: Any, line: Mapping[int, Mapping[str, Any]], label: str, colour: str, ours: bool) -> None:  # noqa: ANN401
    xs = sorted(line)
    medians = [line[x]["median"] for x in xs]
    below = [line[x]["median"] - line[x]["min"] for x in xs]
    above = [line[x]["max"] - line[x]["median"] for x in xs]
    panel.errorbar(
        xs,
        medians,
        yerr=[below, above],
        label=label,
        color=colour,
        linestyle="-" if ours else "--",
        marker="o" if ours else "x",
        markersize=4,
        capsize=2,
    )
