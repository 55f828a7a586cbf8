"""Scalars shown while a program writes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ckptfmt import EventLog
from ckptfmt.cli.damage import DamageReport
from ckptfmt.cli.failures import Problems
from ckptfmt.cli.render.output import on_terminal, write, write_json
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.render.times import number_text, time_text
from ckptfmt.cli.render.values import number_json
from ckptfmt.events.classify import scalar_of, tag_of
from ckptfmt.text.patterns import matcher


def follow(
    events: EventLog,
    patterns: Sequence[str],
    problems: Problems,
    *,
    poll: float,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show the scalars of a run, and then those that are being written; damage is reported as it is found."""
    matches = matcher(patterns) if patterns else None
    plugins: dict[str, str] = {}
    report = DamageReport(problems)
    try:
        for event in events.follow(poll=poll, timeout=timeout, on_damage=report.add):
            for value in event.summary.value:
                tag = tag_of(value)
                # Most values name no plugin. They belong to the first one named under their tag.
                if plugin := value.metadata.plugin_data.plugin_name:
                    plugins.setdefault(tag, plugin)
                if matches is None or matches(tag):
                    number = scalar_of(value, plugins.get(tag, ""))
                    if number is not None:
                        _write(tag, event, number, as_json=as_json)
            sys.stdout.flush()
    finally:
        report.close()


def _write(tag: str, event: Any, number: float, *, as_json: bool) -> None:  # noqa: ANN401  (an Event)
    if as_json:
        wall_time = number_json(event.wall_time)
        write_json({"tag": tag, "step": event.step, "wall_time": wall_time, "value": number_json(number)})
    elif on_terminal():
        # Lines come one by one, so that no column can be as wide as its longest value.
        write(f"{time_text(event.wall_time)}  step {event.step}  {escape(tag)}  {number_text(number)}\n")
    else:
        write(f"{escape(tag)}\t{event.step}\t{event.wall_time!r}\t{number!r}\n")
