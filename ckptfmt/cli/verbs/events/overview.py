"""The overview of runs: a table of their tags, and a line about everything else in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ckptfmt import EventLog
from ckptfmt.cli.failures import FAILURES, Problems
from ckptfmt.cli.render.output import note, on_terminal
from ckptfmt.cli.render.table import LEFT, RIGHT, write_table
from ckptfmt.cli.render.text import count_text, escape
from ckptfmt.cli.render.times import number_text
from ckptfmt.cli.verbs.events.runs import Runs, TagEntry, source_of

UNKNOWN = "?"
"""Shown in place of what cannot be read."""


def write_overview(runs: Runs, entries: Sequence[TagEntry], problems: Problems) -> None:
    """List the tags on stdout, and what else the runs hold on stderr."""
    described = [(entry, entry.describe()) for entry in entries]
    rows = [_cells(*each) for each in described] if on_terminal() else []
    heads = ["run", "tag", "kind", "values", "steps", "last", "remarks"]
    sides = [LEFT, LEFT, LEFT, RIGHT, RIGHT, RIGHT, LEFT]
    # Most runs have nothing to remark, and a path often leads to a single run.
    first, last = 0 if runs.are_several else 1, None if any(row[-1] for row in rows) else -1
    rows, heads, sides = [row[first:last] for row in rows], heads[first:last], sides[first:last]
    write_table(heads, sides, rows, ("\t".join(_plain_cells(*each)) for each in described))
    for name, events in runs.read.items():
        _summarise(name, events, problems)


def _plain_cells(entry: TagEntry, facts: Mapping[str, Any]) -> list[str]:
    names = [escape(entry.run), escape(entry.tag), entry.kind]
    if entry.error is not None:
        return [*names, *[UNKNOWN] * 4]
    return [
        *names,
        *(str(facts[key]) for key in ("count", "first_step", "last_step")),
        str(facts.get("last", "-")),
    ]


def _cells(entry: TagEntry, facts: Mapping[str, Any]) -> list[str]:
    names = [escape(entry.run), escape(entry.tag), entry.kind]
    if entry.error is not None:
        return [*names, UNKNOWN, UNKNOWN, UNKNOWN, ""]
    last = facts.get("last", "")
    return [
        *names,
        f"{facts['count']:,}",
        f"{facts['first_step']} … {facts['last_step']}",
        number_text(last) if isinstance(last, float) else str(last),
        _irregularities(facts),
    ]


def _irregularities(facts: Mapping[str, Any]) -> str:
    parts = []
    if facts["restarts"]:
        parts.append(count_text(facts["restarts"], "restart"))
    if facts["gaps"]:
        first = facts["gaps"][0]
        parts.append(f"{count_text(len(facts['gaps']), 'gap')}, first {first[0]} to {first[1]}")
    return "; ".join(parts)


def _summarise(name: str, events: EventLog, problems: Problems) -> None:
    """Write one line about a run to stderr, and one about its hyperparameters."""
    parts = [count_text(len(events.files), "file"), count_text(events.num_events, "event")]
    for what, noun in (("graph_def", "graph"), ("meta_graph_def", "meta graph")):
        if events.others.get(what):
            parts.append(count_text(events.others[what], noun))
    note(f"{escape(name)}: {', '.join(parts)}")
    try:
        hparams = events.hparams
    except FAILURES as error:
        problems.report(error, source_of(events))
        return
    if hparams is not None:
        values = ", ".join(f"{escape(key)}={escape(str(value))}" for key, value in hparams.values.items())
        note(f"  hyperparameters: {values}")
