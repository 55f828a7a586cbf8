"""``ckptfmt ls``: names, dtypes, shapes and bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import click

import ckptfmt
from ckptfmt import Checkpoint, Entry, errors
from ckptfmt.cli.failures import ExitCode, code_of, describe, message_of
from ckptfmt.cli.options import dtype_globs, json_option, path_argument, size_value
from ckptfmt.cli.render.collapse import collapse
from ckptfmt.cli.render.output import complain, note, on_terminal, printable, write, write_json
from ckptfmt.cli.render.table import LEFT, RIGHT, write_table
from ckptfmt.cli.render.text import count_text, escape, shape_text, size_text

TIMES = "\N{MULTIPLICATION SIGN}"

UNKNOWN = "?"
"""What is shown of a tensor whose entry cannot be read."""


class TensorRow(NamedTuple):
    """One line of the listing: a tensor, or several alike."""

    name: str
    entry: Entry
    """The tensor's; of several the first one's."""
    nbytes: int
    """Of several all together."""
    names: tuple[str, ...] = ()
    """Of several all their names."""


class BadRow(NamedTuple):
    """A tensor whose entry cannot be read."""

    name: str
    error: errors.CkptfmtError


@dataclass
class Totals:
    """What the tensors listed add up to, counted as they pass."""

    in_checkpoint: int
    """Tensors that the checkpoint has, listed or not."""
    tensors: int = 0
    parameters: int = 0
    """Elements of numbers."""
    nbytes: int = 0
    shards: set[int | None] = field(default_factory=set)
    """Numbers of the data files; None among them where a tensor is stored in slices."""
    bad: list[BadRow] = field(default_factory=list)
    """The tensors whose entries cannot be read."""

    def count(self, rows: Iterable[TensorRow | BadRow]) -> Iterator[TensorRow | BadRow]:
        """Pass the rows on, and count them."""
        for row in rows:
            self.tensors += 1
            if isinstance(row, BadRow):
                self.bad.append(row)
            else:
                entry = row.entry
                self.nbytes += entry.nbytes
                self.shards.add(entry.shard)
                if entry.dtype.itemsize is not None:
                    self.parameters += math.prod(entry.shape)
            yield row

    @property
    def num_shards(self) -> int | None:
        """Number of data files; None where it is not known."""
        return None if None in self.shards else len(self.shards)

    def describe(self) -> dict[str, int | None]:
        """Return the totals for JSON."""
        return {
            "tensors": self.tensors,
            "in_checkpoint": self.in_checkpoint,
            "unreadable": len(self.bad),
            "parameters": self.parameters,
            "bytes": self.nbytes,
            "shards": self.num_shards,
        }

    def __str__(self) -> str:
        tensors = count_text(self.tensors, "tensor")
        if self.tensors != self.in_checkpoint:
            tensors += f" of {self.in_checkpoint:,}"
        parts = [tensors, count_text(self.parameters, "parameter"), size_text(self.nbytes)]
        if self.num_shards is not None:
            parts.append(count_text(self.num_shards, "shard"))
        if self.bad:
            parts.append(f"{len(self.bad):,} unreadable")
        return ", ".join(parts)


_SORT_KEYS: dict[str, Callable[[TensorRow], Any]] = {
    "size": lambda row: -row.nbytes,
    "dtype": attrgetter("entry.dtype.name"),
    "shape": lambda row: (len(row.entry.shape), row.entry.shape),
}


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
    "offset", "crc32c", "slices"}; of a tensor that cannot be read {"name", "error"}; with --collapse
    also "count" and "names". "shard", "offset" and "crc32c" are null where a tensor is stored in slices,
    totals "shards" where any listed tensor is. A name that is not UTF-8 has its bytes as \\udc80 to
    \\udcff (Python's surrogateescape).
    """,
)
@path_argument
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--sort",
    type=click.Choice(["name", "size", "dtype", "shape"]),
    default="name",
    show_default=True,
    help="Order: size has the largest first, shape goes by rank, then by dimensions.",
)
@click.option("--reverse", "-r", is_flag=True, help="Turn the order round.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="DTYPE",
    callback=dtype_globs,
    help="Only these dtypes, e.g. float32 or 'int*'.",
)
@click.option(
    "--min-size", metavar="SIZE", callback=size_value, help="Only tensors of this many bytes, e.g. 1MiB."
)
@click.option(
    "--collapse", "collapsed", is_flag=True, help=f"Repeated layers as one line: layer_#/kernel {TIMES}24."
)
@click.option("--slices", "with_slices", is_flag=True, help="Also show the slices a tensor is stored in.")
@json_option
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
    """List the tensors of the checkpoint at PATH, and what they add up to.

    PATTERN is a glob over names, where * also matches slashes; with several, a tensor that matches any is
    listed, and where none matches, the exit code is 4. Quote patterns, so that the shell leaves them alone.
    Where --dtype and --min-size leave nothing, stderr says so, and the exit code is 0.

    On a terminal this is a table with its totals below. Elsewhere it is one line for each tensor, without a
    title: name, dtype, shape ([3,4], of a scalar []) and bytes, separated by tabs; the totals go to stderr.
    With --slices the slices follow in a fifth column, as TensorFlow writes them (start,length for each
    dimension, - for all of it), or - where the tensor is stored whole. "Parameters" counts the elements of
    numbers, not those of strings and variants.

    A tensor whose entry is damaged is listed with ? for what is not known, the error goes to stderr, and the
    exit code is 3.
    """
    with ckptfmt.open(path) as checkpoint:
        totals = Totals(len(checkpoint))
        rows = totals.count(_find(checkpoint, patterns, dtypes, min_size or 0))
        if as_json or on_terminal() or sort != "name" or reverse or collapsed:
            rows = iter(_arrange(list(rows), collapsed, sort, reverse))
        # Else they come in the right order, and are written as they come: there may be a million.
        if as_json:
            write_json(
                {
                    "prefix": checkpoint.prefix,
                    "format": checkpoint.format,
                    "tensors": [_describe(row, collapsed) for row in rows],
                    "totals": totals.describe(),
                }
            )
        else:
            _write(rows, with_slices, totals)
    if totals.in_checkpoint and not totals.tensors:
        complain("nothing left by the filters")
    for bad in totals.bad:
        complain(message_of(bad.error))
    return max((code_of(bad.error) for bad in totals.bad), default=ExitCode.FINE)


def _find(
    checkpoint: Checkpoint, patterns: Sequence[str], dtypes: Sequence[str], min_size: int
) -> Iterator[TensorRow | BadRow]:
    """Iterate over the tensors to list, in the order of the checkpoint: of names by their bytes."""
    entries = checkpoint.entries
    has_dtype = ckptfmt.name_matcher(dtypes) if dtypes else None
    found = not patterns
    for name in checkpoint.select(*patterns) if patterns else entries:
        found = True
        try:
            entry = entries[name]
        except errors.CkptfmtError as error:
            yield BadRow(name, error)
            continue
        if entry.nbytes >= min_size and (has_dtype is None or has_dtype(entry.dtype.name)):
            yield TensorRow(name, entry, entry.nbytes)
    if not found:
        raise _no_match(checkpoint, patterns)


def _no_match(checkpoint: Checkpoint, patterns: Sequence[str]) -> errors.TensorNotFoundError:
    """The error of patterns that match no name: what may have been meant instead."""
    first = patterns[0]
    close: Sequence[str] = ()
    if len(patterns) == 1:
        try:
            checkpoint.entries[first]
        except errors.TensorNotFoundError as error:
            close = error.close_matches
    what = f"no tensor matches {' or '.join(map(repr, patterns))}"
    plain = not set("".join(patterns)) & set("*?[")
    if plain and (not close or any(first in name for name in checkpoint.entries)):
        what += f"; patterns are globs: try {f'*{first}*'!r}"
    return errors.TensorNotFoundError(
        " ".join(patterns), file=checkpoint.prefix, close_matches=close, what=what
    )


def _collapse(rows: Sequence[TensorRow]) -> list[TensorRow]:
    """The rows with those made one that are alike but for a number in the name."""
    collapsed = []
    for name, at in collapse([(row.name, (row.entry.dtype, row.entry.shape)) for row in rows]):
        members = [rows[i] for i in at]
        names = tuple(row.name for row in members) if len(members) > 1 else ()
        collapsed.append(TensorRow(name, members[0].entry, sum(row.nbytes for row in members), names))
    return collapsed


def _arrange(
    found: Sequence[TensorRow | BadRow], collapsed: bool, sort: str, reverse: bool
) -> list[TensorRow | BadRow]:
    """All rows in the order asked for; the bad ones have only a name to be sorted by, else they come last."""
    rows = [row for row in found if isinstance(row, TensorRow)]
    bad = [row for row in found if isinstance(row, BadRow)]
    if collapsed:
        rows = _collapse(rows)
    if sort != "name":
        return [*sorted(rows, key=_SORT_KEYS[sort], reverse=reverse), *bad]
    # Names sort by their bytes, as in the file; where nothing is bad they already do.
    arranged: list[TensorRow | BadRow] = [*rows, *bad]
    if bad:
        arranged.sort(key=_name_key)
    return arranged[::-1] if reverse else arranged


def _name_key(row: TensorRow | BadRow) -> bytes:
    name = row.names[0] if isinstance(row, TensorRow) and row.names else row.name
    return name.encode("utf-8", "surrogateescape")


def _describe(row: TensorRow | BadRow, collapsed: bool) -> dict[str, object]:
    """A row for JSON."""
    if isinstance(row, BadRow):
        return {"name": row.name, "error": describe(row.error)}
    entry = row.entry
    several = bool(row.names)
    described: dict[str, object] = {
        "name": row.name,
        "dtype": entry.dtype.name,
        "shape": entry.shape,
        "bytes": row.nbytes,
        "shard": None if several else entry.shard,
        "offset": None if several else entry.offset,
        "crc32c": None if several else entry.crc32c,
        "slices": [] if several else [str(part) for part in entry.slices],
    }
    if collapsed:
        described |= {"count": len(row.names) or 1, "names": row.names or (row.name,)}
    return described


def _write(rows: Iterable[TensorRow | BadRow], with_slices: bool, totals: Totals) -> None:
    """Write the rows as text: a table with the totals, or lines, and the totals to stderr."""
    times = printable(TIMES, "x")
    heads, sides = ["name", "dtype", "shape", "bytes"], [LEFT, LEFT, LEFT, RIGHT]
    if with_slices:
        heads.append("slices")
        sides.append(LEFT)
    if on_terminal():
        cells = [_cells(row, with_slices, times, size_text) for row in rows]
        write_table(heads, sides, cells, ())
        write(f"{totals}\n")
    else:
        lines = ("\t".join(_cells(row, with_slices, times, str)) for row in rows)
        write_table(heads, sides, (), lines)
        note(str(totals))


def _cells(
    row: TensorRow | BadRow, with_slices: bool, times: str, size: Callable[[int], str]
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
