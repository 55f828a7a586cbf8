"""``ckptfmt events``: what training runs logged."""

from __future__ import annotations

from collections.abc import Sequence

import click

import ckptfmt
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.damage import DamageReport
from ckptfmt.cli.failures import Problems
from ckptfmt.cli.options import (
    given_limits,
    json_option,
    limits_option,
    overwrite_option,
    path_argument,
    remember_wide,
)
from ckptfmt.cli.render.curves import PLOTS
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import escape, size_text
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.events.document import document
from ckptfmt.cli.verbs.events.follow import follow
from ckptfmt.cli.verbs.events.outputs import Outputs, write_outputs
from ckptfmt.cli.verbs.events.overview import write_overview
from ckptfmt.cli.verbs.events.runs import Runs, find_tags, read_runs, run_paths
from ckptfmt.cli.verbs.events.values import write_values
from ckptfmt.tabular.write import FORMATS

POLL = 1.0
"""Seconds between two looks at the files by default."""


def _plot_path(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return _with_suffix(value, PLOTS)


def _export_path(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return _with_suffix(value, FORMATS)


def _with_suffix(value: str | None, suffixes: Sequence[str]) -> str | None:
    if value is not None and not value.lower().endswith(tuple(suffixes)):
        raise click.BadParameter(f"{value!r}: want a name ending in one of {', '.join(suffixes)}")
    return value


@click.command(
    "events",
    cls=Verb,
    short_help="Training runs: tags, values, curves, export.",
    examples=[
        "ckptfmt events training/",
        "ckptfmt events training/ 'train/*' --plot curves.png",
        "ckptfmt events training/ --export run.parquet",
        "ckptfmt events training/ loss --follow",
    ],
    json_keys="""
    {"path", "runs": [{"run", "path", "files", "events", "version", "writer", "graphs", "meta_graphs",
    "hparams", "damage": [{"file", "offset", "skipped", "error"}], "incomplete": {FILE: BYTES}}], "tags":
    [{"run", "tag", "kind", "plugin", "count", "first_step", "last_step", "restarts", "gaps"}]}.

    A tag of scalars also has "last", the last value. With TAG, each of its tags also has "steps",
    "wall_times" and, if it is of scalars or text, "values". A run or a tag that cannot be read has "error"
    instead; a run whose hyperparameters cannot be read has it too. A text that cannot be read is null. With
    --follow, there is one document for each value: {"tag", "step", "wall_time", "value"}.
    """,
)
@path_argument
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option(
    "--plot",
    "plot_path",
    metavar="FILE",
    shell_complete=complete_files,
    callback=_plot_path,
    help="Draw scalars: .png, .svg or .html.",
)
@click.option(
    "--export",
    "export_path",
    metavar="FILE",
    shell_complete=complete_files,
    callback=_export_path,
    help="Write scalars: .csv, .jsonl, .parquet or .arrow.",
)
@click.option(
    "--wide",
    is_flag=True,
    callback=remember_wide,
    help="Export a column for each tag; fold no line on a terminal.",
)
@click.option("--images", "images_path", metavar="DIR", help="Write images into a directory.")
@overwrite_option
@click.option("--follow", "following", is_flag=True, help="Show scalars as they are written, until Ctrl-C.")
@click.option(
    "--poll",
    type=click.FloatRange(0.01),
    metavar="SECONDS",
    help=f"With --follow: look this often. [default: {POLL:g}]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="With --follow: end after this long without a value.",
)
@click.option("--strict", is_flag=True, help="Stop at damage, or at an incomplete last event.")
@json_option
@limits_option
def command(
    path: str,
    tags: tuple[str, ...],
    plot_path: str | None,
    export_path: str | None,
    wide: bool,
    images_path: str | None,
    overwrite: bool,
    following: bool,
    poll: float | None,
    timeout: float | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Show what is in the event files at PATH: a file, the directory of a run, or one with runs below it.

    Without TAG, all tags are listed. With TAG, a name or a glob in which * also matches slashes, its values
    are shown.

    The list has run, kind, number of values, first and last step, and the last value of scalars; graphs and
    hyperparameters follow. Values have step and wall time. On a terminal, each tag has a curve and its last
    values, with times as dates in UTC; elsewhere all values are printed, separated by tabs, with times in
    seconds since 1970. If a TAG matches nothing, the exit code is 4.

    With --export, --plot and --images nothing is listed. All of them are checked before anything is written,
    and files that exist are replaced only with --overwrite. With --export, --wide writes a row for each step
    and a column for each tag.

    A gap is a distance between steps of more than 1.5 times the usual one; a restart is a step smaller than
    the one before it.

    Damage is skipped and reported on stderr, also with --follow, and the exit code is 3. The same goes for a
    run, a tag or a value that cannot be read; the others are shown. With --strict, the first of these ends
    the command. An incomplete last event, which a program may still be writing, is only mentioned, unless
    --strict is given.
    """
    outputs = Outputs(export_path, wide, plot_path, images_path, overwrite)
    if following and outputs:
        raise click.UsageError("--follow cannot be combined with --export, --plot or --images")
    for needed, option, is_misplaced in (
        ("--follow", "--poll", poll is not None and not following),
        ("--follow", "--timeout", timeout is not None and not following),
        ("--export", "--wide", wide and bool(outputs) and export_path is None),
        ("--export, --plot or --images", "--overwrite", overwrite and not outputs),
    ):
        if is_misplaced:
            raise click.UsageError(f"{option} requires {needed}")
    problems = Problems(strict=strict)
    if following:
        events = _open_only_run(path, problems)
        follow(
            events,
            tags,
            problems,
            poll=POLL if poll is None else poll,
            timeout=timeout,
            as_json=as_json,
        )
    else:
        outputs.check()
        _show(path, tags, outputs, problems, as_json=as_json)
    return problems.code


def _open_only_run(path: str, problems: Problems) -> ckptfmt.EventLog:
    paths = run_paths(path)
    if len(paths) > 1:
        raise click.UsageError(f"--follow takes one run, not {len(paths)}: {', '.join(map(escape, paths))}")
    (run_path,) = paths.values()
    return ckptfmt.open_events(run_path, strict=problems.strict, limits=given_limits())


def _show(path: str, tags: Sequence[str], outputs: Outputs, problems: Problems, *, as_json: bool) -> None:
    """Read runs, then write the outputs that the user asks for, or list tags or values."""
    runs = read_runs(path, problems)
    _report_damage(runs, problems)
    entries = find_tags(runs, tags, problems)
    if outputs:
        write_outputs(outputs, runs, entries, tags, problems)
    if as_json:
        write_json(document(runs, entries, problems, with_values=bool(tags) and not outputs))
    elif tags and not outputs:
        write_values(runs, entries, problems)
    elif not outputs:
        write_overview(runs, entries, problems)


def _report_damage(runs: Runs, problems: Problems) -> None:
    for events in runs.read.values():
        for file, tail in events.tails.items():
            size = size_text(tail)
            note(f"{file}: the last event is incomplete ({size}): a program may still be writing it")
        report = DamageReport(problems)
        for damage in events.damage:
            report.add(damage)
        report.close()
