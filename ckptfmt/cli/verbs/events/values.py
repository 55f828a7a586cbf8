"""The values of tags: all of them as lines, or on a terminal the last ones with a curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ckptfmt import Scalars
from ckptfmt.cli.failures import FAILURES, Problems
from ckptfmt.cli.render.curves import ASCII_BLOCKS, BLOCKS, sparkline
from ckptfmt.cli.render.output import on_terminal, printable, write, write_lines
from ckptfmt.cli.render.text import count_text, escape, shape_text
from ckptfmt.cli.verbs.events.overview import UNKNOWN
from ckptfmt.cli.verbs.events.runs import Runs, TagEntry

MAX_ROWS = 30
"""Values of a tag shown on a terminal."""

MAX_STRINGS = 1000
"""The most strings of a tensor that are shown; if it has more, only its shape is."""


def write_values(runs: Runs, entries: Sequence[TagEntry], problems: Problems) -> None:
    """Write the values of tags to stdout."""
    if not on_terminal():
        write_lines(_plain_lines(entries, problems))
        return
    blocks = printable(BLOCKS, ASCII_BLOCKS)
    for entry in entries:
        name = f"{entry.run}: {entry.tag}" if runs.are_several else entry.tag
        if entry.error is not None:
            write(f"{escape(name)} ({entry.kind}, {UNKNOWN})\n")
            continue
        write(f"{escape(name)} ({entry.kind}, {count_text(len(entry.series), 'value')})\n")
        if isinstance(entry.series, Scalars) and len(entry.series):
            values = entry.series.values
            finite = values[np.isfinite(values)]
            write(f"  {sparkline(values, blocks)}\n")
            if finite.size:
                write(f"  from {finite.min():.6g} to {finite.max():.6g}, last {values[-1]:.6g}\n")
        skipped = max(0, len(entry.series) - MAX_ROWS)
        if skipped:
            write(f"  … {skipped:,} before these\n")
        for line in _lines(entry, skipped, problems):
            write(f"  {line}\n")


def _plain_lines(entries: Sequence[TagEntry], problems: Problems) -> Iterator[str]:
    for entry in entries:
        if entry.error is None:
            for line in _lines(entry, 0, problems):
                yield f"{escape(entry.run)}\t{escape(entry.tag)}\t{line}"


def _lines(entry: TagEntry, start: int, problems: Problems) -> Iterator[str]:
    """Iterate over step, wall time and value from a row on, separated by tabs."""
    series = entry.series
    steps, wall_times = series.steps[start:].tolist(), series.wall_times[start:].tolist()
    if isinstance(series, Scalars):
        texts: Iterator[str] = map(repr, series.values[start:].tolist())
    else:
        values = readable_values(entry, start, problems)
        texts = (UNKNOWN if value is None else _text_of(value) for value in values)
    for step, wall_time, text in zip(steps, wall_times, texts, strict=True):
        yield f"{step}\t{wall_time!r}\t{text}"


def readable_values(entry: TagEntry, start: int, problems: Problems) -> Iterator[Any]:
    """Iterate over values from a row on; one that cannot be read is reported, and is None."""
    for row in range(start, len(entry.series)):
        try:
            value = entry.series[row]
        except FAILURES as error:
            problems.report(error, entry.source)
            value = None
        yield value


def _text_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        # One stored string may stand for any number of elements of a tensor. Texts are all stored.
        is_text = value.dtype.hasobject and value.size and isinstance(value.reshape(-1)[:1].item(), str)
        if is_text or (value.dtype.hasobject and value.size <= MAX_STRINGS):
            texts = [escape(item) if isinstance(item, str) else repr(item)[:200] for item in value.flat]
            return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        if value.size == 1:
            return str(value.reshape(-1)[0])
        return f"{value.dtype}{shape_text(value.shape)}"
    return escape(", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value))
