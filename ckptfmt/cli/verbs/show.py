"""``ckptfmt show``: one tensor, with its place, statistics and values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

import ckptfmt
from ckptfmt import Checkpoint, Entry, errors
from ckptfmt.cli.failures import FAILURES, ExitCode, code_of, describe, message_of
from ckptfmt.cli.index import Index, index_text, parse_index
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.output import complain, write, write_json
from ckptfmt.cli.render.text import aligned, escape, shape_text, size_text
from ckptfmt.cli.render.values import PrintOptions, number_json, values_json, values_text
from ckptfmt.cli.statistics import Statistics, statistics
from ckptfmt.object_graph.keys import VARIABLE_VALUE

MAX_SUGGESTED = 5
"""Names that an error suggests if part of a name fits several."""

VERIFIED = "verified"
WRONG = "wrong"
NOT_CHECKED = "not checked"


def _index_value(_: click.Context, __: click.Parameter, value: str | None) -> Index | None:
    if value is None:
        return None
    try:
        return parse_index(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    "show",
    short_help="Show one tensor: place, checksum, statistics, values.",
    epilog="""\b
    Examples:
      ckptfmt show training/ dense/kernel
      ckptfmt show training/ embedding --slice "0:4,:" --precision 3
      ckptfmt show training/ global_step --json | jq .values

    JSON: {"prefix", "format", "name", "dtype", "shape", "bytes", "shard", "file", "offset", "crc32c",
    "slices", "slice", "checksum", "statistics", "values"}. "slice" is null or {"index", "shape"};
    "checksum" is "verified", "wrong" or "not checked"; "statistics" is null or {"min", "max", "mean", "std",
    "zeros", "nan", "inf"}.
    "values" is null if there are more than --threshold and --values is not given. Numbers are exact;
    "NaN", "Infinity" and "-Infinity" are strings, a complex number is [real, imaginary]. Bytes are text
    if they are UTF-8, else {"base64": ...}; a variant is {"type_name", "metadata", "tensors": [{"dtype",
    "shape"}]}. If the values cannot be read, "error" is added and the other keys stay.
    """,
)
@path_argument
@click.argument("name")
@click.option(
    "--slice",
    "index",
    metavar="INDEX",
    callback=_index_value,
    help='Read only a part: "0:4,:", "-1", "...,::2".',
)
@click.option(
    "--values/--no-values",
    "with_values",
    default=None,
    help="Show all values in full, or read none, only the index. [default: a summary]",
)
@click.option("--no-stats", is_flag=True, help="Compute no statistics.")
@click.option("--no-verify", is_flag=True, help="Show the values even if the checksum is wrong.")
@click.option(
    "--precision",
    type=click.IntRange(0, 100),
    default=8,
    show_default=True,
    help="Digits after the decimal point.",
)
@click.option(
    "--threshold",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Summarise arrays of more elements than this.",
)
@click.option(
    "--edgeitems",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Elements shown at each end of a summarised dimension.",
)
@click.option(
    "--linewidth", type=click.IntRange(1), default=75, show_default=True, help="Characters in a line."
)
@json_option
def command(
    path: str,
    name: str,
    index: Index | None,
    with_values: bool | None,
    no_stats: bool,
    no_verify: bool,
    as_json: bool,
    **printing: int,
) -> int:
    r"""Show the tensor NAME of the checkpoint at PATH.

    NAME may also be the end of a name, from a slash on, or a name without /.ATTRIBUTES/VARIABLE_VALUE, if
    only one tensor fits; or a name as ckptfmt ls prints it, with escapes.

    The values are printed as NumPy prints them, strings quoted and escaped. Minimum, maximum, mean and
    standard deviation are those of the finite elements.

    The checksum of the stored bytes is verified; if it is wrong, the values are not shown and the exit code
    is 3. A checksum covers a whole stored piece (the tensor, or one of its slices), so with --slice a piece
    that is read only in part is not checked, and the output says so.
    """
    options = PrintOptions(**printing)
    if with_values:
        options = replace(options, threshold=None, characters=None)
    with ckptfmt.open(path, verify=not no_verify) as checkpoint:
        entry = _find(checkpoint, name)
        shown = _build(
            checkpoint, entry, index, with_values=with_values is not False, with_statistics=not no_stats
        )
    if as_json:
        write_json(shown.to_json(options.threshold))
    else:
        write(shown.to_text(options))
    if shown.problem is not None:
        complain(message_of(shown.problem))
        return code_of(shown.problem)
    return ExitCode.FINE


def _find(checkpoint: Checkpoint, name: str) -> Entry:
    """Return the entry of a tensor by its name, its name as printed, or the end of its name."""
    entries = checkpoint.entries
    if name in entries:
        return entries[name]
    known = [each for each in entries if name in (escape(each), each.removesuffix(VARIABLE_VALUE))]
    known = known or [each for each in entries if _ends_with(each, name)]
    if len(known) == 1:
        return entries[known[0]]
    if not known:
        return entries[name]  # raises the error that suggests close names
    raise errors.TensorNotFoundError(name, file=checkpoint.prefix, close_matches=known[:MAX_SUGGESTED])


def _ends_with(known: str, name: str) -> bool:
    return any(f"/{text}".endswith(f"/{name}") for text in (known, known.removesuffix(VARIABLE_VALUE)))


# --- what is shown -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownTensor:
    """What is known of a tensor, and as much of its values as could be read."""

    prefix: str
    format: str
    num_shards: int
    entry: Entry
    file: str | None
    """The data file; None if the tensor is stored in slices."""
    index: Index | None
    """The part that was asked for; None for all of it."""
    array: np.ndarray[Any, Any] | None = None
    """The values; None if they were not asked for or could not be read."""
    statistics: Statistics | None = None
    checksum: str = NOT_CHECKED
    problem: BaseException | None = None
    """Why the values could not be read."""

    def to_json(self, threshold: int | None) -> dict[str, object]:
        """Return the document of ``--json``, with no more values than ``threshold``."""
        entry, array = self.entry, self.array
        is_full = array is not None and (threshold is None or array.size <= threshold)
        document: dict[str, object] = {
            "prefix": self.prefix,
            "format": self.format,
            "name": entry.name,
            "dtype": entry.dtype.name,
            "shape": entry.shape,
            "bytes": entry.nbytes,
            "shard": entry.shard,
            "file": self.file,
            "offset": entry.offset,
            "crc32c": entry.crc32c,
            "slices": [str(part) for part in entry.slices],
            "slice": None if self.index is None else _slice_json(self.index, array),
            "checksum": self.checksum,
            "statistics": None if self.statistics is None else _statistics_json(self.statistics),
            "values": values_json(array) if array is not None and is_full else None,
        }
        if self.problem is not None:
            document["error"] = describe(self.problem)
        return document

    def to_text(self, options: PrintOptions) -> str:
        """Return labelled lines, and after an empty one the values."""
        lines = [*self._entry_lines(), *self._part_lines(), ("checksum", self._checksum_text())]
        if self.statistics is not None:
            lines += _statistics_lines(self.statistics, options.precision)
        values = "" if self.array is None else f"\n{values_text(self.array, options)}\n"
        return aligned(lines) + values

    def _entry_lines(self) -> list[tuple[str, str]]:
        entry = self.entry
        lines = [
            ("name", escape(entry.name)),
            ("dtype", entry.dtype.name),
            ("shape", shape_text(entry.shape)),
            ("bytes", f"{entry.nbytes}" + (f" ({size_text(entry.nbytes)})" if entry.nbytes >= 1024 else "")),
        ]
        if entry.shard is not None and self.file is not None:
            lines += [("shard", f"{entry.shard} of {self.num_shards}"), ("file", escape(self.file))]
        if entry.offset is not None:
            lines.append(("offset", f"{entry.offset} (0x{entry.offset:x})"))
        if entry.crc32c is not None:
            lines.append(("crc32c", f"0x{entry.crc32c:08x}"))
        if entry.slices:
            lines.append(("slices", f"{len(entry.slices)}: {' '.join(map(str, entry.slices))}"))
        return lines

    def _part_lines(self) -> list[tuple[str, str]]:
        if self.index is None:
            return []
        part = [] if self.array is None else [("part", shape_text(self.array.shape))]
        return [("slice", index_text(self.index)), *part]

    def _checksum_text(self) -> str:
        if self.checksum == NOT_CHECKED and self.index is not None and self.array is not None:
            return f"{NOT_CHECKED}: it covers more than this slice"
        return self.checksum


def _build(
    checkpoint: Checkpoint, entry: Entry, index: Index | None, *, with_values: bool, with_statistics: bool
) -> ShownTensor:
    """Read a tensor, or part of it; if that fails, what is returned says why."""
    shown = ShownTensor(
        checkpoint.prefix,
        checkpoint.format,
        checkpoint.num_shards,
        entry,
        None if entry.shard is None else checkpoint.shard_path(entry.shard),
        index,
    )
    if not with_values:
        return shown
    try:
        array = _read(checkpoint, entry, index)
        numbers = statistics(array) if with_statistics else None
    except FAILURES as error:
        is_wrong = isinstance(error, errors.ChecksumError)
        return replace(shown, problem=error, checksum=WRONG if is_wrong else NOT_CHECKED)
    is_verified = checkpoint.slice(entry.name).is_verified(... if index is None else index)
    return replace(shown, array=array, statistics=numbers, checksum=VERIFIED if is_verified else NOT_CHECKED)


def _read(checkpoint: Checkpoint, entry: Entry, index: Index | None) -> np.ndarray[Any, Any]:
    if index is None:
        return checkpoint[entry.name]
    try:
        return checkpoint.slice(entry.name)[index]
    except IndexError as error:
        raise click.BadParameter(escape(str(error)), param_hint="'--slice'") from None


def _slice_json(index: Index, array: np.ndarray[Any, Any] | None) -> dict[str, object]:
    return {"index": index_text(index), "shape": None if array is None else array.shape}


def _statistics_json(numbers: Statistics) -> dict[str, object]:
    return {
        "min": number_json(numbers.minimum),
        "max": number_json(numbers.maximum),
        "mean": number_json(numbers.mean),
        "std": number_json(numbers.std),
        "zeros": numbers.zeros,
        "nan": numbers.nan,
        "inf": numbers.inf,
    }


def _statistics_lines(numbers: Statistics, precision: int) -> list[tuple[str, str]]:
    values = [
        ("min", numbers.minimum),
        ("max", numbers.maximum),
        ("mean", numbers.mean),
        ("std", numbers.std),
    ]
    lines = [(label, _number_text(value, precision)) for label, value in values if value is not None]
    return [*lines, ("zeros", f"{numbers.zeros}"), ("nan", f"{numbers.nan}"), ("inf", f"{numbers.inf}")]


def _number_text(value: complex, precision: int) -> str:
    return f"{value}" if isinstance(value, int) else f"{value:.{max(precision, 1)}g}"
