"""``ckptfmt ls``: names, dtypes, shapes and bytes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import click

import ckptfmt
from ckptfmt.cli.failures import ExitCode, code_of, message_of
from ckptfmt.cli.options import (
    dtype_globs,
    given_limits,
    json_option,
    limits_option,
    path_argument,
    size_value,
    wide_option,
)
from ckptfmt.cli.render.names import short_name
from ckptfmt.cli.render.output import complain, note, on_terminal, printable, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, draw_table
from ckptfmt.cli.render.text import escape, shape_text, size_text
from ckptfmt.cli.verbs.ls.rows import BadRow, TensorRow, Totals, arranged, find_rows

TIMES = "\N{MULTIPLICATION SIGN}"

UNKNOWN = "?"
"""Shown in each column of a tensor whose entry cannot be read."""


@click.command(
    "ls",
    short_help="List tensors: names, dtypes, shapes, bytes.",
    epilog="""\b
    Examples:
      ckptfmt ls training/
      ckptfmt ls training/ '*/kernel' '*/bias' --sort size --min-size 1MiB
      ckptfmt ls training/ --collapse
      ckptfmt ls training/ | awk -F '\\t' '$2 == "float32" { sum += $4 } END { print sum }'

    JSON: {"prefix", "format", "tensors": [...], "totals": {"tensors", "in_checkpoint", "unreadable",
    "parameters", "bytes", "shards"}}, and for each tensor {"name", "dtype", "shape", "bytes", "shard",
    "offset", "crc32c", "slices"}, or {"name", "error"} if it cannot be read; with --collapse also "count"
    and "names". "shard", "offset" and "crc32c" are null for a tensor stored in slices, and "shards" in the
    totals if any listed tensor is. A name that is not UTF-8 has its bytes as \\udc80 to \\udcff (Python's
    surrogateescape).
    """,
)
@path_argument
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--sort",
    type=click.Choice(["name", "size", "dtype", "shape"]),
    default="name",
    show_default=True,
    help="Sort by this: size from the largest down, shape by rank and then by dimensions.",
)
@click.option("--reverse", "-r", is_flag=True, help="Reverse the order.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="DTYPE",
    callback=dtype_globs,
    help="List only tensors of this dtype, e.g. float32 or 'int*'. May be repeated.",
)
@click.option(
    "--min-size",
    metavar="SIZE",
    callback=size_value,
    help="List only tensors of at least this many bytes, e.g. 1MiB.",
)
@click.option(
    "--collapse",
    "collapsed",
    is_flag=True,
    help=f"Show repeated layers as one line: layer_#/kernel {TIMES}24.",
)
@click.option("--slices", "with_slices", is_flag=True, help="Also show the slices a tensor is stored in.")
@wide_option
@json_option
@limits_option
def command(
    path: str,
    patterns: tuple[str, ...],
    sort: str,
    reverse: bool,
    dtypes: tuple[str, ...],
    min_size: int | None,
    collapsed: bool,
    with_slices: bool,
    as_json: bool,
) -> int:
    """List the tensors of the checkpoint at PATH, with totals.

    PATTERN is a glob over names, in which * also matches slashes. A tensor that matches any of several
    patterns is listed; if none matches, the exit code is 4. Quote patterns, so that the shell leaves them
    alone. If no tensor matches --dtype and --min-size, stderr says so and the exit code is 0.

    On a terminal this is a table with the totals below it, in which names lack /.ATTRIBUTES/VARIABLE_VALUE;
    PATTERN matches names with and without it. Elsewhere it is one line for each tensor, without
    a header: name, dtype, shape ([3,4], or [] for a scalar) and bytes, separated by tabs; the totals go to
    stderr. With --slices a fifth column has the slices as TensorFlow writes them (start,length for each
    dimension, or - for all of it), or - for a tensor that is stored whole. "Parameters" counts the elements
    that are numbers, not strings and variants.

    A tensor whose entry is damaged is listed with ? for what is not known, the error goes to stderr, and the
    exit code is 3.
    """
    with ckptfmt.open(path, limits=given_limits()) as checkpoint:
        totals = Totals(len(checkpoint))
        rows = totals.count(find_rows(checkpoint, patterns, dtypes, min_size or 0))
        # Without any of these, rows are in the right order and are written as they come: there may be a
        # million of them.
        if as_json or on_terminal() or sort != "name" or reverse or collapsed:
            rows = iter(arranged(list(rows), collapsed=collapsed, sort=sort, reverse=reverse))
        if as_json:
            write_json(
                {
                    "prefix": checkpoint.prefix,
                    "format": checkpoint.format,
                    "tensors": [_describe(row, collapsed=collapsed) for row in rows],
                    "totals": totals.describe(),
                }
            )
        else:
            _write_text(rows, totals, checkpoint.entries, with_slices=with_slices)
    if totals.in_checkpoint and not totals.tensors:
        complain("no tensor matches --dtype and --min-size")
    for bad in totals.bad:
        complain(message_of(bad.error))
    return max((code_of(bad.error) for bad in totals.bad), default=ExitCode.FINE)


def _describe(row: TensorRow | BadRow, *, collapsed: bool) -> dict[str, object]:
    described = row.describe()
    if collapsed and isinstance(row, TensorRow):
        described |= {"count": len(row.names) or 1, "names": row.names or (row.name,)}
    return described


def _write_text(
    rows: Iterable[TensorRow | BadRow], totals: Totals, names: Container[str], *, with_slices: bool
) -> None:
    """Write a table and the totals on a terminal, else lines, and the totals to stderr.

    ``names`` are those of all tensors of the checkpoint.
    """
    times = printable(TIMES, "x")
    if on_terminal():
        heads, sides = ["name", "dtype", "shape", "bytes"], [LEFT, LEFT, LEFT, RIGHT]
        if with_slices:
            heads.append("slices")
            sides.append(LEFT)
        cells = [_cells(_shortened(row, names), times, size_text, with_slices=with_slices) for row in rows]
        draw_table(heads, sides, cells)
        write(f"{totals}\n")
    else:
        write_lines("\t".join(_cells(row, times, str, with_slices=with_slices)) for row in rows)
        note(str(totals))


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
