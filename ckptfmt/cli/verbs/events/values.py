"""The values of tags: all of them as lines, or on a terminal the last ones with a curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ckptfmt import Scalars
from ckptfmt.cli.failures import FAILURES, Problems
from ckptfmt.cli.render.curves import ASCII_BLOCKS, BLOCKS, sparkline
from ckptfmt.cli.render.output import on_terminal, printable, write, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, draw_table
from ckptfmt.cli.render.text import count_text, escape, shape_text
from ckptfmt.cli.render.times import number_text, time_text
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
                low, high, last = (
                    number_text(float(value)) for value in (finite.min(), finite.max(), values[-1])
                )
                write(f"  from {low} to {high}, last {last}\n")
        skipped = max(0, len(entry.series) - MAX_ROWS)
        if skipped:
            write(f"  … {skipped:,} before these; off a terminal, as with | cat, all are shown\n")
        write("\n")
        _draw_values(entry, skipped, problems)
        write("\n")


def _draw_values(entry: TagEntry, start: int, problems: Problems) -> None:
    """Write values from a row on as a table."""
    rows = []
    side = RIGHT if isinstance(entry.series, Scalars) else LEFT
    for step, wall_time, value in _rows(entry, start, problems):
        text = number_text(value) if isinstance(value, float) else value
        rows.append((str(step), time_text(wall_time), text))
    draw_table(("step", "time", "value"), (RIGHT, RIGHT, side), rows)


def _plain_lines(entries: Sequence[TagEntry], problems: Problems) -> Iterator[str]:
    for entry in entries:
        if entry.error is None:
            for step, wall_time, value in _rows(entry, 0, problems):
                text = repr(value) if isinstance(value, float) else value
                yield f"{escape(entry.run)}\t{escape(entry.tag)}\t{step}\t{wall_time!r}\t{text}"


def _rows(entry: TagEntry, start: int, problems: Problems) -> Iterator[tuple[int, float, float | str]]:
    """Iterate over step, wall time and value from a row on; a value that is not a number is text."""
    series = entry.series
    steps, wall_times = series.steps[start:].tolist(), series.wall_times[start:].tolist()
    if isinstance(series, Scalars):
        values: Iterator[float | str] = map(float, series.values[start:].tolist())
    else:
        readable = readable_values(entry, start, problems)
        values = (UNKNOWN if value is None else _text_of(value) for value in readable)
    return zip(steps, wall_times, values, strict=True)


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
