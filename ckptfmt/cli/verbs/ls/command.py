"""``ckptfmt ls``: names, dtypes, shapes and bytes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import click

from ckptfmt import Checkpoint, Tensors
from ckptfmt.cli.completion import complete_dtypes, complete_files, complete_names_and_files
from ckptfmt.cli.failures import FAILURES, Problems, code_of, describe, message_of
from ckptfmt.cli.opening import open_listed
from ckptfmt.cli.options import (
    dtype_globs,
    json_option,
    limits_option,
    size_value,
    wide_option,
)
from ckptfmt.cli.render.names import short_name
from ckptfmt.cli.render.output import complain, note, on_terminal, printable, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, draw_table
from ckptfmt.cli.render.text import escape, shape_text, size_text
from ckptfmt.cli.selection import Selection, selection_options
from ckptfmt.cli.several import all_option, expanded, split_paths
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.ls.rows import BadRow, TensorRow, Totals, arranged, find_rows, name_key

TIMES = "\N{MULTIPLICATION SIGN}"

UNKNOWN = "?"
"""Shown in each column of a tensor whose entry cannot be read."""


def _path_value(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value is None and not context.resilient_parsing:
        raise click.UsageError("missing PATH, such as that of a training directory; . is this directory")
    return value


@click.command(
    "ls",
    cls=Verb,
    short_help="List tensors: names, dtypes, shapes, bytes.",
    examples=[
        "ckptfmt ls training/",
        "ckptfmt ls training/ '*/kernel' '*/bias' --sort size --min-size 1MiB",
        "ckptfmt ls training/ --collapse",
        "ckptfmt ls training/ --weights",
        "ckptfmt ls training/ | awk -F '\\t' '$2 == \"float32\" { sum += $4 } END { print sum }'",
    ],
    json_keys="""
    {"prefix", "format", "tensors": [...], "totals": {"tensors", "in_checkpoint", "unreadable", "parameters",
    "bytes", "shards"}}, and for each tensor {"name", "dtype", "shape", "bytes", "shard", "offset", "crc32c",
    "slices"}, or {"name", "error"} if it cannot be read; with --collapse also "count" and "names". Several
    checkpoints are {"checkpoints": [...]}.

    "shard", "offset" and "crc32c" are null for a tensor stored in slices, and "shards" in the totals if any
    listed tensor is. A name that is not UTF-8 has its bytes as \\udc80 to \\udcff (Python's surrogateescape).
    """,
)
@click.argument("path", required=False, metavar="PATH", callback=_path_value, shell_complete=complete_files)
@click.argument("others", nargs=-1, metavar="[PATH|PATTERN]...", shell_complete=complete_names_and_files)
@click.option(
    "--sort",
    type=click.Choice(["name", "size", "dtype", "shape"]),
    default="name",
    metavar="KEY",
    help="Sort by name (default), size (largest first), dtype or shape.",
)
@click.option("--reverse", "-r", is_flag=True, help="Reverse the order.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="DTYPE",
    callback=dtype_globs,
    shell_complete=complete_dtypes,
    help="Only this dtype, such as float32 or 'int*'; may be repeated.",
)
@click.option(
    "--min-size",
    metavar="SIZE",
    callback=size_value,
    help="Only tensors of at least this size, such as 1MiB.",
)
@click.option(
    "--collapse",
    "collapsed",
    is_flag=True,
    help=f"Repeated layers as one line: layer_#/kernel {TIMES}24.",
)
@click.option("--slices", "with_slices", is_flag=True, help="Also show the slices a tensor is stored in.")
@all_option
@selection_options
@wide_option
@json_option
@limits_option
def command(
    path: str,
    others: tuple[str, ...],
    sort: str,
    reverse: bool,
    dtypes: tuple[str, ...],
    min_size: int | None,
    collapsed: bool,
    with_slices: bool,
    with_all: bool,
    selection: Selection,
    as_json: bool,
) -> int:
    """List the tensors of the checkpoint at PATH, with totals.

    PATH may also be a file of another program with tensors, such as model.safetensors.

    PATTERN is a glob over names, in which * also matches slashes; quote it, so that the shell leaves it
    alone.

    A tensor that matches any of several patterns is listed; if one matches no name, the exit code is 4. A
    pattern that matches no listed name may match a full name or an object path. If no tensor matches --dtype
    and --min-size, stderr says so and the exit code is 0. Tensors of one shape are sorted by name, shapes by
    rank and then by dimensions.

    On a terminal this is a table with the totals below it, in which names lack /.ATTRIBUTES/VARIABLE_VALUE;
    PATTERN matches names with and without it. Elsewhere it is one line for each tensor, without a header:
    name, dtype, shape ([3,4], or [] for a scalar) and bytes, separated by tabs; the totals go to stderr. With
    --slices a fifth column has the slices as TensorFlow writes them (start,length for each dimension, or -
    for all of it), or - for a tensor that is stored whole. "Parameters" counts the elements that are numbers,
    not strings and variants.

    Arguments after the first that lead to files are further checkpoints. Each is then listed below its
    prefix; elsewhere than on a terminal, the prefix is the first column.

    A tensor whose entry is damaged is listed with ? for what is not known, the error goes to stderr, and the
    exit code is 3.
    """
    paths, patterns = split_paths((path, *others))
    found = expanded(paths, with_all=with_all)
    is_single = len(paths) == len(found) == 1 and not with_all
    problems = Problems(strict=is_single)
    documents: list[dict[str, object]] = []
    for path in found:
        try:
            with open_listed(path) as checkpoint:
                view = selection.of(checkpoint)
                totals = Totals(len(checkpoint))
                rows = totals.count(find_rows(checkpoint, view, patterns, dtypes, min_size or 0))
                # Without any of these, rows are in the right order and are written as they come: there may be
                # a million of them.
                is_foreign = not isinstance(checkpoint, Checkpoint)  # whose names are in any order
                if as_json or on_terminal() or sort != "name" or reverse or collapsed or is_foreign:
                    listed = sorted(rows, key=name_key) if is_foreign else list(rows)
                    rows = iter(arranged(listed, collapsed=collapsed, sort=sort, reverse=reverse))
                if as_json:
                    documents.append(_document(checkpoint, rows, totals, collapsed=collapsed))
                else:
                    title = None if is_single else checkpoint.prefix
                    _write_text(rows, totals, view.entries, title, with_slices=with_slices)
        except FAILURES as error:
            problems.report(error, path)
            documents.append({"prefix": path, "error": describe(error)})
            continue
        if totals.in_checkpoint and not totals.tensors:
            complain("no tensor matches --dtype and --min-size")
        for bad in totals.bad:
            complain(message_of(bad.error))
            problems.code = max(problems.code, code_of(bad.error))
    if as_json:
        write_json(documents[0] if is_single else {"checkpoints": documents})
    return problems.code


def _document(
    checkpoint: Tensors, rows: Iterable[TensorRow | BadRow], totals: Totals, *, collapsed: bool
) -> dict[str, object]:
    return {
        "prefix": checkpoint.prefix,
        "format": checkpoint.format,
        "tensors": [_describe(row, collapsed=collapsed) for row in rows],
        "totals": totals.describe(),
    }


def _describe(row: TensorRow | BadRow, *, collapsed: bool) -> dict[str, object]:
    described = row.describe()
    if collapsed and isinstance(row, TensorRow):
        described |= {"count": len(row.names) or 1, "names": row.names or (row.name,)}
    return described


def _write_text(
    rows: Iterable[TensorRow | BadRow],
    totals: Totals,
    names: Container[str],
    title: str | None,
    *,
    with_slices: bool,
) -> None:
    """Write a table and the totals on a terminal, else lines, and the totals to stderr.

    ``names`` are those of all tensors that may be listed; the title tells several checkpoints apart.
    """
    times = printable(TIMES, "x")
    if on_terminal():
        heads, sides = ["name", "dtype", "shape", "bytes"], [LEFT, LEFT, LEFT, RIGHT]
        if with_slices:
            heads.append("slices")
            sides.append(LEFT)
        cells = [_cells(_shortened(row, names), times, size_text, with_slices=with_slices) for row in rows]
        if title is not None:
            write(f"{escape(title)}\n")
        draw_table(heads, sides, cells)
        write(f"{totals}\n" if title is None else f"{totals}\n\n")
    else:
        first = () if title is None else (escape(title),)
        write_lines("\t".join((*first, *_cells(row, times, str, with_slices=with_slices))) for row in rows)
        note(str(totals) if title is None else f"{title}: {totals}")


def _shortened(row: TensorRow | BadRow, names: Container[str]) -> TensorRow | BadRow:
    """Return a row with the name that it has on a terminal."""
    if isinstance(row, TensorRow) and any(short_name(name, names) == name for name in row.names):
        return row
    return row._replace(name=short_name(row.name, names))


def _cells(
    row: TensorRow | BadRow, times: str, size: Callable[[int], str], *, with_slices: bool
) -> tuple[str, ...]:
    if isinstance(row, BadRow):
        return (escape(row.name), *[UNKNOWN] * (4 if with_slices else 3))
    name = escape(row.name)
    if row.names:
        name += f" {times}{len(row.names)}"
    cells = name, row.entry.dtype.name, shape_text(row.entry.shape), size(row.nbytes)
    if not with_slices:
        return cells
    return (*cells, " ".join(map(str, row.entry.slices)) or "-")
