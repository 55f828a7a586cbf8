"""What runs logged, on stdout: their tags as a table, the values of tags, and both as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ckptfmt import EventLog, HParams, Scalars
from ckptfmt.cli.failures import FAILURES, Problems, describe
from ckptfmt.cli.render.curves import ASCII_BLOCKS, BLOCKS, sparkline
from ckptfmt.cli.render.output import note, on_terminal, printable, write, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, write_table
from ckptfmt.cli.render.text import count_text, escape, shape_text
from ckptfmt.cli.render.values import number_json, values_json
from ckptfmt.cli.verbs.events.runs import Found, Runs, place_of

MAX_ROWS = 30
"""Values of a tag shown on a terminal; elsewhere all are."""

UNKNOWN = "?"
"""What is shown of what cannot be read."""

# --- the tags ----------------------------------------------------------------------------------------------


def write_overview(runs: Runs, found: Sequence[Found], problems: Problems) -> None:
    """List tags on stdout, and what else the runs have on stderr."""
    described = [(each, each.describe()) for each in found]
    rows = []
    if on_terminal():
        rows = [_cells(*each)[0 if runs.many else 1 :] for each in described]
    heads, sides = ["tag", "kind", "values", "steps", "last", ""], [LEFT, LEFT, RIGHT, RIGHT, RIGHT, LEFT]
    if runs.many:
        heads, sides = ["run", *heads], [LEFT, *sides]
    write_table(heads, sides, rows, ("\t".join(_plain_cells(*each)) for each in described))
    for name, events in runs.read.items():
        _summarise(name, events, problems)


def _plain_cells(each: Found, facts: Mapping[str, Any]) -> list[str]:
    names = [escape(each.run), escape(each.tag), each.kind]
    if each.error is not None:
        return [*names, *[UNKNOWN] * 4]
    return [*names, *(str(facts[key]) for key in ("count", "first_step", "last_step")), _last(facts, "-")]


def _last(facts: Mapping[str, Any], nothing: str) -> str:
    return str(facts.get("last", nothing))


def _cells(each: Found, facts: Mapping[str, Any]) -> list[str]:
    names = [escape(each.run), escape(each.tag), each.kind]
    if each.error is not None:
        return [*names, UNKNOWN, UNKNOWN, UNKNOWN, ""]
    steps = f"{facts['first_step']} … {facts['last_step']}"
    last = facts.get("last", "")
    return [
        *names,
        f"{facts['count']:,}",
        steps,
        f"{last:.6g}" if isinstance(last, float) else str(last),
        _odd(facts),
    ]


def _odd(facts: Mapping[str, Any]) -> str:
    parts = []
    if facts["restarts"]:
        parts.append(count_text(facts["restarts"], "restart"))
    if facts["gaps"]:
        first = facts["gaps"][0]
        parts.append(f"{count_text(len(facts['gaps']), 'gap')}, first {first[0]} to {first[1]}")
    return "; ".join(parts)


def _summarise(name: str, events: EventLog, problems: Problems) -> None:
    """What is not under tags, on stderr."""
    parts = [count_text(len(events.files), "file"), count_text(events.num_events, "event")]
    for what, noun in (("graph_def", "graph"), ("meta_graph_def", "meta graph")):
        if events.others.get(what):
            parts.append(count_text(events.others[what], noun))
    note(f"{escape(name)}: {', '.join(parts)}")
    try:
        hparams = events.hparams
    except FAILURES as error:
        problems.tell(error, place_of(events))
        return
    if hparams is not None:
        values = ", ".join(f"{escape(key)}={escape(str(value))}" for key, value in hparams.values.items())
        note(f"  hyperparameters: {values}")


# --- values ------------------------------------------------------------------------------------------------


def write_values(runs: Runs, found: Sequence[Found], problems: Problems) -> None:
    """Show the values of tags: on a terminal the last ones and a curve, elsewhere all."""
    if not on_terminal():
        write_lines(_plain_values(found, problems))
        return
    blocks = printable(BLOCKS, ASCII_BLOCKS)
    for each in found:
        name = f"{each.run}: {each.tag}" if runs.many else each.tag
        if each.error is not None:
            write(f"{escape(name)} ({each.kind}, {UNKNOWN})\n")
            continue
        write(f"{escape(name)} ({each.kind}, {count_text(len(each.series), 'value')})\n")
        if isinstance(each.series, Scalars) and len(each.series):
            values = each.series.values
            finite = values[np.isfinite(values)]
            write(f"  {sparkline(values, blocks)}\n")
            if finite.size:
                write(f"  from {finite.min():.6g} to {finite.max():.6g}, last {values[-1]:.6g}\n")
        skipped = max(0, len(each.series) - MAX_ROWS)
        if skipped:
            write(f"  … {skipped:,} before these\n")
        for line in _value_lines(each, skipped, problems):
            write(f"  {line}\n")


def _plain_values(found: Sequence[Found], problems: Problems) -> Iterator[str]:
    for each in found:
        head = f"{escape(each.run)}\t{escape(each.tag)}\t"
        if each.error is None:
            for line in _value_lines(each, 0, problems):
                yield head + line


def _value_lines(each: Found, start: int, problems: Problems) -> Iterator[str]:
    series = each.series
    steps, walls = series.steps[start:].tolist(), series.wall_times[start:].tolist()
    if isinstance(series, Scalars):
        texts: Iterator[str] = map(repr, series.values[start:].tolist())
    else:
        values = _values(each, start, problems)
        texts = (UNKNOWN if value is None else _text_of(value) for value in values)
    for step, wall, text in zip(steps, walls, texts, strict=True):
        yield f"{step}\t{wall!r}\t{text}"


def _values(each: Found, start: int, problems: Problems) -> Iterator[Any]:
    """Iterate over values; one that cannot be read is told, and None."""
    for row in range(start, len(each.series)):
        try:
            value = each.series[row]
        except FAILURES as error:
            problems.tell(error, each.place)
            value = None
        yield value


def _text_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            texts = [escape(item) if isinstance(item, str) else repr(item)[:200] for item in value.flat]
            return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        if value.size == 1:
            return str(value.reshape(-1)[0])
        return f"{value.dtype}{shape_text(value.shape)}"
    return escape(", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value))


# --- JSON --------------------------------------------------------------------------------------------------


def document(
    runs: Runs, found: Sequence[Found], problems: Problems, *, with_values: bool
) -> dict[str, object]:
    """Return runs and tags for JSON."""
    tags = []
    for each in found:
        entry = each.describe()
        if with_values and each.error is None:
            entry |= _describe_values(each, problems)
        tags.append(entry)
    described = [_describe_run(name, events, problems) for name, events in runs.read.items()]
    described += [
        {"run": name, "path": place, "error": describe(error)} for name, (place, error) in runs.unread.items()
    ]
    return {"path": runs.path, "runs": described, "tags": tags}


def _describe_values(each: Found, problems: Problems) -> dict[str, object]:
    described: dict[str, object] = {
        "steps": each.series.steps.tolist(),
        "wall_times": [number_json(wall) for wall in each.series.wall_times.tolist()],
    }
    if each.kind == "scalars":
        described["values"] = values_json(each.series.values)
    elif each.kind == "text":
        values = _values(each, 0, problems)
        described["values"] = [None if texts is None else texts.tolist() for texts in values]
    return described


def _describe_run(name: str, events: EventLog, problems: Problems) -> dict[str, object]:
    described: dict[str, object] = {
        "run": name,
        "path": events.path,
        "files": list(events.files),
        "events": events.num_events,
        "version": events.version,
        "writer": events.writer,
        "graphs": events.others.get("graph_def", 0),
        "meta_graphs": events.others.get("meta_graph_def", 0),
        "hparams": None,
        "damage": [
            {"file": each.file, "offset": each.offset, "skipped": each.skipped, "error": describe(each.error)}
            for each in events.damage
        ],
        "incomplete": events.tails,
    }
    try:
        described["hparams"] = _describe_hparams(events.hparams)
    except FAILURES as error:
        problems.tell(error, place_of(events))
        described["error"] = describe(error)
    return described


def _describe_hparams(hparams: HParams | None) -> dict[str, object] | None:
    if hparams is None:
        return None
    return {
        name: {key: number_json(item) for key, item in value.items()}
        if isinstance(value, dict)
        else number_json(value)
        for name, value in asdict(hparams).items()
    }
