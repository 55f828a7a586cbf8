"""``ckptfmt events``: what training runs logged."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import click

import ckptfmt
from ckptfmt import errors
from ckptfmt.cli.failures import Problems
from ckptfmt.cli.options import json_option, overwrite_option, path_argument
from ckptfmt.cli.render.curves import PLOTS
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import escape, size_text
from ckptfmt.cli.verbs.events.export import EXPORTS, Targets, write_targets
from ckptfmt.cli.verbs.events.follow import follow
from ckptfmt.cli.verbs.events.listing import document, write_overview, write_values
from ckptfmt.cli.verbs.events.runs import Runs, find, find_places, read_runs

POLL = 1.0
"""Seconds between two looks, unless the user says otherwise."""


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
    TAG each of its tags also has "steps", "wall_times" and, of scalars and text, "values". A run or a tag
    that cannot be read has "error" instead, one whose hyperparameters cannot be read besides; a text that
    cannot be read is null. With --follow it is one document for each value: {"tag", "step", "wall_time",
    "value"}.
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
@overwrite_option
@click.option("--follow", "following", is_flag=True, help="Show scalars as they are written, until Ctrl-C.")
@click.option(
    "--poll",
    type=click.FloatRange(0.01),
    help=f"With --follow: seconds between two looks. [default: {POLL:g}]",
)
@click.option(
    "--timeout", type=click.FloatRange(0), help="With --follow: end after so many seconds without a value."
)
@click.option("--strict", is_flag=True, help="Stop at the first damage, or at a last event not all there.")
@json_option
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

    Without TAG all tags are listed: run, tag, kind, number of values, first and last step, and the last
    value of scalars; then graphs and hyperparameters. With TAG, a name or a glob where * also matches
    slashes, its values are: step, wall time in seconds since 1970, value. On a terminal each tag has its
    curve and the last values; elsewhere all are there, separated by tabs. A TAG that is not there is exit
    code 4.

    With --export, --plot and --images nothing is listed. All of them are checked before anything is written,
    and what is there already is replaced only with --overwrite.

    A gap is a distance of steps more than 1.5 times the usual one; a restart is a step that is less than the
    one before.

    What is damaged is skipped and told on stderr, also with --follow, and the exit code is 3; so is a run, a
    tag or a value that cannot be read, and the others are there. With --strict the first of these ends the
    command. An event at the end that is not all there, as while a program writes, is only mentioned, unless
    --strict is given.
    """
    targets = Targets(export_path, wide, plot_path, images_path, overwrite)
    if following and targets:
        raise click.UsageError("--follow only shows: it goes with none of --export, --plot and --images")
    for needed, option, given in (
        ("--follow", "--poll", poll is not None and not following),
        ("--follow", "--timeout", timeout is not None and not following),
        ("--export", "--wide", wide and export_path is None),
        ("--export, --plot or --images", "--overwrite", overwrite and not targets),
    ):
        if given:
            raise click.UsageError(f"{option} goes with {needed}")
    problems = Problems(strict=strict)
    if following:
        _follow(path, tags, problems, poll=POLL if poll is None else poll, timeout=timeout, as_json=as_json)
        return problems.code
    targets.check()
    with warnings.catch_warnings():
        # All of them are told below.
        warnings.simplefilter("ignore", errors.DamageWarning)
        runs = read_runs(path, problems)
        _tell_damage(runs, problems)
        found = find(runs, tags, problems)
        if targets:
            write_targets(targets, runs, found, tags, problems)
        if as_json:
            write_json(document(runs, found, problems, with_values=bool(tags) and not targets))
        elif tags and not targets:
            write_values(runs, found, problems)
        elif not targets:
            write_overview(runs, found, problems)
    return problems.code


def _follow(
    path: str,
    tags: Sequence[str],
    problems: Problems,
    *,
    poll: float,
    timeout: float | None,
    as_json: bool,
) -> None:
    places = find_places(path)
    if len(places) > 1:
        raise click.UsageError(f"--follow takes one run, not {len(places)}: {', '.join(map(escape, places))}")
    (place,) = places.values()
    events = ckptfmt.open_events(place, strict=problems.strict)
    follow(events, tags, problems, poll=poll, timeout=timeout, as_json=as_json)


def _tell_damage(runs: Runs, problems: Problems) -> None:
    for events in runs.read.values():
        for file, tail in events.tails.items():
            note(
                f"{file}: the last event is not all there ({size_text(tail)} of it): it may still be written"
            )
        for damage in events.damage:
            problems.tell_damage(str(damage))
