"""``ckptfmt events``: what training runs logged."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import click
import numpy as np

import ckptfmt
from ckptfmt import EventFile, Scalars, errors
from ckptfmt.cli.curves import ASCII_BLOCKS, BLOCKS, PLOTS, plot, sparkline
from ckptfmt.cli.failures import ExitCode, describe
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.output import complain, note, on_terminal, printable, write, write_json, write_lines
from ckptfmt.cli.progress import ProgressBar
from ckptfmt.cli.table import LEFT, RIGHT, write_table
from ckptfmt.cli.text import count_text, escape, shape_text, size_text
from ckptfmt.cli.values import number_json, values_json

EXPORTS = (".csv", ".jsonl", ".parquet", ".arrow")
"""Ends of names of files that --export writes."""

GAP = 1.5
"""A step is missing where the next one is more than so many usual distances away."""

MAX_GAPS = 20
"""Gaps of a tag that are listed."""

MAX_ROWS = 30
"""Values of a tag shown on a terminal; elsewhere all are."""

_UNSAFE = re.compile(r"[^\w.-]+")
"""What is not kept of a tag in the name of a file."""


class Found(NamedTuple):
    """What is known of one tag of a run."""

    run: str
    tag: str
    kind: str
    series: Any

    def describe(self) -> dict[str, object]:
        """Return it for JSON."""
        steps = self.series.steps
        described: dict[str, object] = {
            "run": self.run,
            "tag": self.tag,
            "kind": self.kind,
            "plugin": self.series.metadata.plugin,
            "count": len(steps),
            "first_step": int(steps.min()) if len(steps) else None,
            "last_step": int(steps.max()) if len(steps) else None,
            "restarts": restarts(steps),
            "gaps": gaps(steps),
        }
        if isinstance(self.series, Scalars) and len(self.series):
            described["last"] = number_json(float(self.series.values[-1]))
        return described


def gaps(steps: np.ndarray[Any, Any]) -> list[list[int]]:
    """Return pairs of steps between which some are missing: more than the usual distance lies between."""
    known = np.unique(steps)
    distances = np.diff(known)
    if len(distances) < 2:
        return []
    wide = np.flatnonzero(distances > GAP * float(np.median(distances)))
    return [[int(known[i]), int(known[i + 1])] for i in wide[:MAX_GAPS].tolist()]


def restarts(steps: np.ndarray[Any, Any]) -> int:
    """Return how often the program began again: how often a step is less than the one before."""
    return int((steps[1:] < steps[:-1]).sum())


def _plot_path(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return _with_suffix(value, PLOTS)


def _export_path(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return _with_suffix(value, EXPORTS)


def _with_suffix(value: str | None, suffixes: Sequence[str]) -> str | None:
    if value is not None and not value.lower().endswith(tuple(suffixes)):
        raise click.BadParameter(f"{value!r} ends in none of {', '.join(suffixes)}")
    return value


@click.command(
    "events",
    short_help="Training runs: tags, values, curves, export.",
    epilog="""\b
    Examples:
      ckptfmt events training/
      ckptfmt events training/ 'train/*' --plot curves.png
      ckptfmt events training/ --export run.parquet
      ckptfmt events training/ loss --follow

    JSON: {"path", "runs": [{"run", "path", "files", "events", "version", "writer", "graphs", "meta_graphs",
    "hparams", "damage": [{"file", "offset", "skipped", "error"}], "incomplete": {FILE: BYTES}}], "tags":
    [{"run", "tag", "kind", "plugin", "count", "first_step", "last_step", "restarts", "gaps", "last"}]}; with
    TAG each of its tags also has "steps", "wall_times" and, of scalars and text, "values". With --follow it
    is one document for each value: {"tag", "step", "wall_time", "value"}.
    """,
)
@path_argument
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option(
    "--plot", "plot_path", metavar="FILE", callback=_plot_path, help="Draw scalars: .png, .svg or .html."
)
@click.option(
    "--export",
    "export_path",
    metavar="FILE",
    callback=_export_path,
    help="Write scalars: .csv, .jsonl, .parquet or .arrow.",
)
@click.option("--wide", is_flag=True, help="With --export: a row for each step, a column for each tag.")
@click.option("--images", "images_path", metavar="DIR", help="Write images into a directory.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--follow", is_flag=True, help="Show scalars as they are written, until Ctrl-C.")
@click.option(
    "--poll", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--timeout", type=click.FloatRange(0), help="With --follow: end after so many seconds without a value."
)
@click.option("--strict", is_flag=True, help="Stop at the first damage.")
@json_option
def command(
    path: str,
    tags: tuple[str, ...],
    plot_path: str | None,
    export_path: str | None,
    wide: bool,
    images_path: str | None,
    force: bool,
    follow: bool,
    poll: float,
    timeout: float | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Show what is in the event files at PATH: a file, the directory of a run, or one with runs below it.

    Without TAG all tags are listed: run, tag, kind, number of values, first and last step, and the last
    value of scalars; then graphs, hyperparameters and damage. With TAG, which may be a glob, its values are:
    step, wall time in seconds since 1970, value. On a terminal each tag has its curve and the last values;
    elsewhere all are there, separated by tabs.

    A gap is a distance of steps more than 1.5 times the usual one; a restart is a step that is less than the
    one before.

    What is damaged is skipped and told on stderr, and the exit code is 3. An event at the end that is not
    all there, as while a program writes, is only mentioned.
    """
    with warnings.catch_warnings():
        # All of them are told below.
        warnings.simplefilter("ignore", errors.DamageWarning)
        return _run(
            path,
            tags,
            plot_path=plot_path,
            export_path=export_path,
            wide=wide,
            images_path=images_path,
            force=force,
            following=(poll, timeout) if follow else None,
            strict=strict,
            as_json=as_json,
        )


def _run(
    path: str,
    tags: tuple[str, ...],
    *,
    plot_path: str | None,
    export_path: str | None,
    wide: bool,
    images_path: str | None,
    force: bool,
    following: tuple[float, float | None] | None,
    strict: bool,
    as_json: bool,
) -> int:
    runs = _open_runs(path, strict)
    if following is not None:
        return _follow(runs, tags, *following, as_json=as_json)
    with ProgressBar("reading") as progress:
        for events in runs.values():
            events.gather(progress)
    found = _find(path, runs, tags)
    done = []
    if export_path is not None:
        done.append(_export(export_path, runs, found, tags, wide=wide, force=force))
    if plot_path is not None:
        done.append(_plot(plot_path, runs, found, force=force))
    if images_path is not None:
        done.append(_write_images(images_path, found, force=force))
    for each in done:
        note(each)
    if as_json:
        _write_json(path, runs, found, with_values=bool(tags) and not done)
    elif not done:
        if tags:
            _write_values(found, many=len(runs) > 1)
        else:
            _write_overview(runs, found)
    return _tell_damage(runs)


def _open_runs(path: str, strict: bool) -> dict[str, EventFile]:
    runs = ckptfmt.find_runs(path)
    if not runs:
        raise errors.CheckpointNotFoundError(
            f"{path}: no event file in this directory or below", tried=[path]
        )
    return {name: ckptfmt.open_events(where, strict=strict) for name, where in runs.items()}


def _find(path: str, runs: Mapping[str, EventFile], patterns: Sequence[str]) -> list[Found]:
    found = []
    names: dict[str, None] = {}
    for run, events in runs.items():
        for tag, kind in events.tags.items():
            names[tag] = None
            if not patterns or any(tag == each or fnmatchcase(tag, each) for each in patterns):
                if kind == "hparams":
                    continue
                found.append(Found(run, tag, kind, getattr(events, kind)[tag]))
    if patterns and not found:
        close = get_close_matches(patterns[0], names, 3)
        raise errors.TensorNotFoundError(patterns[0], file=path, close_matches=close, noun="tag")
    return found


def _scalars(found: Sequence[Found], runs: Mapping[str, EventFile]) -> dict[str, Scalars]:
    many = len(runs) > 1
    return {
        f"{each.run}: {each.tag}" if many else each.tag: each.series
        for each in found
        if isinstance(each.series, Scalars)
    }


def _export(
    target: str,
    runs: Mapping[str, EventFile],
    found: Sequence[Found],
    tags: Sequence[str],
    *,
    wide: bool,
    force: bool,
) -> str:
    if len(runs) == 1:
        (events,) = runs.values()
        events.write(target, *tags, wide=wide, overwrite=force)
    else:
        ckptfmt.write_runs(runs, target, *tags, wide=wide, overwrite=force)
    values = sum(len(each.series) for each in found if isinstance(each.series, Scalars))
    return f"{target}: {count_text(values, 'scalar')} written"


def _plot(target: str, runs: Mapping[str, EventFile], found: Sequence[Found], *, force: bool) -> str:
    curves = _scalars(found, runs)
    title = next(iter(curves)) if len(curves) == 1 else f"{len(curves)} curves"
    plot(target, curves, title, overwrite=force)
    return f"{target}: {count_text(len(curves), 'curve')} drawn"


def _write_images(target: str, found: Sequence[Found], *, force: bool) -> str:
    os.makedirs(target, exist_ok=True)  # noqa: PTH103
    count = 0
    stems: set[str] = set()
    for each in found:
        if each.kind != "images":
            continue
        names = (each.run, each.tag)
        stem = "_".join(_UNSAFE.sub("_", part) for part in names if part != ".").lstrip(".")[:150]
        while stem in stems:
            stem += "_"  # of another tag that looks the same
        stems.add(stem)
        for row, (step, images) in enumerate(zip(each.series.steps.tolist(), each.series, strict=True)):
            for number, image in enumerate(images):
                # The row, since a step may be written again.
                name = f"{stem}_{row:05d}_step{step}_{number}.{image.format or 'bin'}"
                with open(os.path.join(target, name), "wb" if force else "xb") as file:  # noqa: PTH118, PTH123
                    file.write(image.data)
                count += 1
    return f"{target}: {count_text(count, 'image')} written"


# --- output ------------------------------------------------------------------------------------------------


def _write_json(
    path: str, runs: Mapping[str, EventFile], found: Sequence[Found], *, with_values: bool
) -> None:
    described = []
    for each in found:
        entry = each.describe()
        if with_values:
            entry["steps"] = each.series.steps.tolist()
            entry["wall_times"] = [number_json(wall) for wall in each.series.wall_times.tolist()]
            if each.kind == "scalars":
                entry["values"] = values_json(each.series.values)
            elif each.kind == "text":
                entry["values"] = [texts.tolist() for texts in each.series]
        described.append(entry)
    write_json({"path": path, "runs": [_describe_run(*run) for run in runs.items()], "tags": described})


def _describe_run(name: str, events: EventFile) -> dict[str, object]:
    hparams = events.hparams
    return {
        "run": name,
        "path": events.path,
        "files": list(events.files),
        "events": events.num_events,
        "version": events.version,
        "writer": events.writer,
        "graphs": events.others.get("graph_def", 0),
        "meta_graphs": events.others.get("meta_graph_def", 0),
        "hparams": None
        if hparams is None
        else {
            name: {key: number_json(item) for key, item in value.items()}
            if isinstance(value, dict)
            else number_json(value)
            for name, value in asdict(hparams).items()
        },
        "damage": [
            {"file": each.file, "offset": each.offset, "skipped": each.skipped, "error": describe(each.error)}
            for each in events.damage
        ],
        "incomplete": events.tails,
    }


def _write_overview(runs: Mapping[str, EventFile], found: Sequence[Found]) -> None:
    described = [each.describe() for each in found]
    plain = (
        "\t".join(
            [
                escape(each.run),
                escape(each.tag),
                each.kind,
                str(facts["count"]),
                str(facts["first_step"]),
                str(facts["last_step"]),
                str(facts.get("last", "-")),
            ]
        )
        for each, facts in zip(found, described, strict=True)
    )
    many = len(runs) > 1
    rows = []
    if on_terminal():
        for each, facts in zip(found, described, strict=True):
            steps = f"{facts['first_step']} … {facts['last_step']}"
            last = facts.get("last", "")
            row = [escape(each.tag), each.kind, f"{facts['count']:,}", steps, _number(last), _odd(facts)]
            rows.append([escape(each.run), *row] if many else row)
    heads, sides = ["tag", "kind", "values", "steps", "last", ""], [LEFT, LEFT, RIGHT, RIGHT, RIGHT, LEFT]
    write_table(["run", *heads] if many else heads, [LEFT, *sides] if many else sides, rows, plain)
    for name, events in runs.items():
        _summarise(name, events)


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _odd(facts: Mapping[str, Any]) -> str:
    parts = []
    if facts["restarts"]:
        parts.append(count_text(facts["restarts"], "restart"))
    if facts["gaps"]:
        first = facts["gaps"][0]
        parts.append(f"{count_text(len(facts['gaps']), 'gap')}, first {first[0]} to {first[1]}")
    return "; ".join(parts)


def _summarise(name: str, events: EventFile) -> None:
    """What is not under tags, on stderr."""
    parts = [count_text(len(events.files), "file"), count_text(events.num_events, "event")]
    for what, noun in (("graph_def", "graph"), ("meta_graph_def", "meta graph")):
        if events.others.get(what):
            parts.append(count_text(events.others[what], noun))
    note(f"{escape(name)}: {', '.join(parts)}")
    hparams = events.hparams
    if hparams is not None:
        values = ", ".join(f"{escape(key)}={escape(str(value))}" for key, value in hparams.values.items())
        note(f"  hyperparameters: {values}")


def _write_values(found: Sequence[Found], *, many: bool) -> None:
    if not on_terminal():
        write_lines(_plain_values(found))
        return
    blocks = printable(BLOCKS, ASCII_BLOCKS)
    for each in found:
        name = f"{each.run}: {each.tag}" if many else each.tag
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
        for line in _value_lines(each, skipped):
            write(f"  {line}\n")


def _plain_values(found: Sequence[Found]) -> Iterator[str]:
    for each in found:
        head = f"{escape(each.run)}\t{escape(each.tag)}\t"
        for line in _value_lines(each, 0):
            yield head + line


def _value_lines(each: Found, start: int) -> Iterator[str]:
    series = each.series
    steps, walls = series.steps[start:].tolist(), series.wall_times[start:].tolist()
    values = series.values[start:].tolist() if isinstance(series, Scalars) else None
    for row, (step, wall) in enumerate(zip(steps, walls, strict=True)):
        value = _text_of(series[start + row]) if values is None else repr(values[row])
        yield f"{step}\t{wall!r}\t{value}"


def _text_of(value: object) -> str:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            texts = [escape(item) if isinstance(item, str) else repr(item)[:200] for item in value.flat]
            return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        if value.size == 1:
            return str(value.reshape(-1)[0])
        return f"{value.dtype}{shape_text(value.shape)}"
    return escape(", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value))


def _tell_damage(runs: Mapping[str, EventFile]) -> int:
    code = ExitCode.FINE
    for events in runs.values():
        for file, tail in events.tails.items():
            note(
                f"{file}: the last event is not all there ({size_text(tail)} of it): it may still be written"
            )
        for damage in events.damage:
            complain(str(damage))
            code = ExitCode.DAMAGED
    return code


def _follow(
    runs: Mapping[str, EventFile],
    patterns: Sequence[str],
    poll: float,
    timeout: float | None,
    *,
    as_json: bool,
) -> int:
    if len(runs) > 1:
        raise click.UsageError(f"--follow takes one run, not {len(runs)}: {', '.join(map(escape, runs))}")
    (events,) = runs.values()
    for event in events.follow(poll=poll, timeout=timeout):
        for value in event.summary.value:
            if patterns and not any(value.tag == each or fnmatchcase(value.tag, each) for each in patterns):
                continue
            number = _scalar_of(value)
            if number is None:
                continue
            if as_json:
                wall = number_json(event.wall_time)
                write_json(
                    {"tag": value.tag, "step": event.step, "wall_time": wall, "value": number_json(number)}
                )
            else:
                write(f"{escape(value.tag)}\t{event.step}\t{event.wall_time!r}\t{number!r}\n")
        sys.stdout.flush()
    return ExitCode.FINE


def _scalar_of(value: Any) -> float | None:  # noqa: ANN401  (a Summary.Value)
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor"):
        try:
            array = ckptfmt.to_array(value.tensor)
        except errors.CkptfmtError:
            return None
        if array.size == 1 and array.dtype.kind in "fiu":
            return float(array.reshape(-1)[0])
    return None
