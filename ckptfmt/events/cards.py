"""Cards: event logs, series, and what they hold, as notebooks show them."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ckptfmt.notebook.card import Card, Cell, Fact, Figure, Markup, Sentence, Table
from ckptfmt.notebook.figures import bars, curve
from ckptfmt.text.printing import size_text

MAX_GATHERED = 64 << 20
"""Bytes of event files that are gathered to show their tags. Larger ones are gathered on request only."""

MAX_MEDIA = 16 << 20
"""Bytes of an image or a clip that is put into a page; a notebook keeps a third more of it."""

KINDS = ("scalars", "histograms", "images", "audio", "text", "tensors")
"""The kinds of tags, as attributes of an event log."""

_CURVES = 20
"""Tags whose curves are drawn in a table of them."""

_BARS = 200
"""Bars of the picture of a histogram."""

_AUDIO = re.compile(r"audio/[A-Za-z0-9.+-]+")


class Shown(Protocol):
    """An event log."""

    @property
    def path(self) -> str:
        """The path that was opened."""

    @property
    def files(self) -> tuple[str, ...]:
        """The event files."""

    @property
    def num_events(self) -> int:
        """Number of events."""

    @property
    def writer(self) -> str:
        """The program that wrote them."""

    @property
    def damage(self) -> Sequence[object]:
        """The stretches that were skipped."""

    @property
    def tails(self) -> dict[str, int]:
        """Bytes of an incomplete last event, by file."""

    @property
    def others(self) -> dict[str, int]:
        """Number of events other than summaries, by what they hold."""


def log_card(log: Shown, ungathered: int) -> Card:
    """Return the card of an event log; ``ungathered`` bytes of its files have not been read yet."""
    files = Table("Files", ("file",), lambda: log.files, lambda file: (file,))
    if ungathered > MAX_GATHERED:
        how = f"not read yet: gather() reads the {size_text(ungathered)}"
        return Card("EventLog", log.path, [("files", len(log.files)), ("tags", how)], [files])
    kinds = [tags_table(kind.capitalize(), lambda kind=kind: getattr(log, kind)) for kind in KINDS]
    damage = Table("Damage", ("where",), lambda: log.damage, lambda each: (Sentence(each),), is_open=True)
    others = Table(
        "Other events", ("what", "events"), lambda: log.others, lambda what: (what, log.others[what])
    )
    facts: list[tuple[str, Fact]] = [
        ("files", len(log.files)),
        ("events", lambda: log.num_events),
        ("writer", lambda: log.writer or None),
        ("incomplete at the end", lambda: len(log.tails) or None),
    ]
    return Card("EventLog", log.path, facts, [damage, *kinds, others, files])


def tags_table(title: str, tags: Any) -> Table:  # noqa: ANN401  (a function that returns a mapping of series)
    """Return the table of the tags of one kind; ``tags`` returns their series by tag."""
    drawn: list[str] = []

    def cells(tag: str) -> list[Cell]:
        series = tags()[tag]
        row: list[Cell] = [tag, len(series), _steps(series.steps)]
        values = getattr(series, "values", None)
        if isinstance(values, np.ndarray) and len(values):
            row += [f"{values[-1]:.6g}"]
            if len(drawn) < _CURVES:
                drawn.append(tag)
                row += [curve(_spread(values), 120, 18)]
        return row

    columns = ["tag", "values", "steps"]
    columns += ["last", ""] if title == "Scalars" else []
    return Table(title, columns, tags, cells, is_open=title == "Scalars")


def series_card(series: Any, kind: str) -> Card:  # noqa: ANN401  (a Series)
    """Return the card of the values of one tag; scalars are drawn, other values are not read."""
    values = getattr(series, "values", None)
    metadata = series.metadata
    facts: list[tuple[str, Fact]] = [
        ("values", len(series)),
        ("steps", _steps(series.steps)),
        ("plugin", metadata.plugin or None),
        ("name", metadata.display_name or None),
        ("description", metadata.description or None),
    ]
    columns = ["number", "step", "time"]
    figures = []
    if isinstance(values, np.ndarray) and len(values):
        finite = values[np.isfinite(values)]
        if len(finite):
            facts += [("least", f"{finite.min():.6g}"), ("greatest", f"{finite.max():.6g}")]
        facts += [("last", f"{values[-1]:.6g}")]
        columns += ["value"]
        figures = [Figure(lambda: curve(_spread(values), 480, 90))]

    def cells(number: int) -> list[Cell]:
        row: list[Cell] = [number, int(series.steps[number]), time_text(float(series.wall_times[number]))]
        return row if not isinstance(values, np.ndarray) else [*row, f"{values[number]:.6g}"]

    table = Table("Values", columns, lambda: range(len(series)), cells)
    return Card(kind, series.tag, facts, [*figures, table])


def _steps(steps: np.ndarray) -> str:
    if not len(steps):
        return ""
    return str(steps[0]) if len(steps) == 1 else f"{steps.min()} to {steps.max()}"


def _spread(values: np.ndarray) -> list[float]:
    """Return at most 10,000 of many values, evenly spread, and always the last."""
    step = -(-len(values) // 10_000)
    spread: list[float] = values[(len(values) - 1) % step :: step].astype(np.float64).tolist()
    return spread


def time_text(seconds: float) -> str:
    """Return a time, given in seconds since 1970, in UTC; the number itself if no date has it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def histogram_card(
    left: np.ndarray, right: np.ndarray, counts: np.ndarray, facts: Sequence[tuple[str, Fact]]
) -> Card:
    """Return the card of a histogram, with its buckets as bars."""
    # Neighbours share a bar if there are more buckets than a picture can tell apart.
    firsts = np.arange(0, len(counts), -(-len(counts) // _BARS) or 1)
    lasts = np.append(firsts[1:], len(counts))[: len(firsts)] - 1
    edges = list(zip(left[firsts].tolist(), right[lasts].tolist(), strict=True))
    heights = np.add.reduceat(counts, firsts).tolist() if len(counts) else []
    buckets = Table(
        "Buckets",
        ("from", "to", "count"),
        lambda: range(len(counts)),
        lambda at: (f"{left[at]:.6g}", f"{right[at]:.6g}", f"{counts[at]:g}"),
    )
    return Card("Histogram", facts=facts, parts=[Figure(lambda: bars(edges, heights, 480, 90)), buckets])


def image_markup(data: bytes, media_type: str) -> Markup:
    """Return an encoded image as HTML that shows it."""
    return Markup(f'<img alt="" src="data:{media_type};base64,{base64.b64encode(data).decode()}"/>')


def audio_markup(data: bytes, content_type: str) -> Markup:
    """Return an encoded clip as HTML that plays it."""
    media_type = content_type if _AUDIO.fullmatch(content_type) else "audio/wav"
    encoded = base64.b64encode(data).decode()
    return Markup(f'<audio controls="controls" src="data:{media_type};base64,{encoded}"></audio>')


def media_card(kind: str, facts: Sequence[tuple[str, Fact]], markup: Markup | None) -> Card:
    """Return the card of an image or a clip; None in place of its HTML if it is too long for a page."""
    if markup is None:
        return Card(kind, facts=[*facts, ("", f"not shown: more than {size_text(MAX_MEDIA)}")])
    return Card(kind, facts=facts, parts=[Figure(lambda: markup)])
