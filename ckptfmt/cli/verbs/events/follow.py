"""Scalars shown while a program writes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import ckptfmt
from ckptfmt import EventLog, errors
from ckptfmt.cli.failures import Problems
from ckptfmt.cli.render.output import write, write_json
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.render.values import number_json
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
    """Show the scalars of a run, and then those that are being written; damage is reported as it is met."""
    matches = matcher(patterns) if patterns else None
    plugins: dict[str, str] = {}
    for event in events.follow(
        poll=poll, timeout=timeout, on_damage=lambda damage: problems.tell_damage(str(damage))
    ):
        for value in event.summary.value:
            # Most values do not name their plugin: the first value of the tag does.
            own = value.metadata.plugin_data.plugin_name
            first = plugins.setdefault(value.tag, own) if own else plugins.get(value.tag, "")
            if matches is None or matches(value.tag):
                number = _scalar_of(value, own or first)
                if number is not None:
                    _write(value.tag, event, number, as_json=as_json)
        sys.stdout.flush()


def _write(tag: str, event: Any, number: float, *, as_json: bool) -> None:  # noqa: ANN401  (an Event)
    if as_json:
        wall_time = number_json(event.wall_time)
        write_json({"tag": tag, "step": event.step, "wall_time": wall_time, "value": number_json(number)})
    else:
        write(f"{escape(tag)}\t{event.step}\t{event.wall_time!r}\t{number!r}\n")


def _scalar_of(value: Any, plugin: str) -> float | None:  # noqa: ANN401  (a Summary.Value)
    """Return the scalar in a value of a plugin; None if it does not hold one."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if plugin == "scalars" and value.HasField("tensor"):
        try:
            array = ckptfmt.to_array(value.tensor)
        except errors.CkptfmtError:
            return None
        if array.size == 1 and array.dtype.kind not in "cO":
            return float(array.reshape(-1)[0])
    return None
