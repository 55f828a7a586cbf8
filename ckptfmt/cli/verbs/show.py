"""``ckptfmt show``: one tensor, its place, statistics and values."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

import ckptfmt
from ckptfmt import Checkpoint, Entry, errors
from ckptfmt.cli.failures import FAILURES, ExitCode, code_of, describe, message_of
from ckptfmt.cli.index import Index, parse_index
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.output import complain, write, write_json
from ckptfmt.cli.render.statistics import Statistics, statistics
from ckptfmt.cli.render.text import aligned, escape, shape_text, size_text
from ckptfmt.cli.render.values import PrintOptions, number_json, values_json, values_text

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What tf.train.Checkpoint appends to the path of a variable."""

MAX_SUGGESTED = 5
"""Names that an error suggests where a part of a name fits several."""

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
    "values" is null where there are more than --threshold and --values is not given. Numbers are exact;
    "NaN", "Infinity" and "-Infinity" are strings, a complex number is [real, imaginary]. Bytes are text
    where they are UTF-8, else {"base64": ...}; a variant is {"type_name", "metadata", "tensors": [{"dtype",
    "shape"}]}. Where the values cannot be read, "error" is added and the rest is still there.
    """,
)
@path_argument
@click.argument("name")
@click.option(
    "--slice",
    "index",
    metavar="INDEX",
    callback=_index_value,
    help='Read a part only: "0:4,:", "-1", "...,::2".',
)
@click.option(
    "--values/--no-values",
    "values",
    default=None,
    help="All values, however many and long; or none, reading only the index. [default: a summary]",
)
@click.option("--no-stats", is_flag=True, help="Compute no statistics.")
@click.option("--no-verify", is_flag=True, help="Read the values of a tensor whose checksum is wrong.")
@click.option(
    "--precision", type=click.IntRange(0, 100), default=8, show_default=True, help="Digits behind the point."
)
@click.option(
    "--threshold",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Summarise more elements than this.",
)
@click.option(
    "--edgeitems",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Elements at each end of a summary.",
)
@click.option(
    "--linewidth", type=click.IntRange(1), default=75, show_default=True, help="Characters of a line."
)
@json_option
def command(
    path: str,
    name: str,
    index: Index | None,
    values: bool | None,
    no_stats: bool,
    no_verify: bool,
    precision: int,
    threshold: int,
    edgeitems: int,
    linewidth: int,
    as_json: bool,
) -> int:
    r"""Show the tensor NAME of the checkpoint at PATH.

    NAME may be the end of a name, from a slash on, and without /.ATTRIBUTES/VARIABLE_VALUE, where that fits
    one tensor only; or a name as ckptfmt ls prints it, with escapes.

    The values are printed as NumPy prints them, strings quoted and escaped. Minimum, maximum, mean and
    standard deviation are those of the finite elements.

    The checksum of the stored bytes is verified, and where it is wrong the values are not shown and the exit
    code is 3. A checksum covers all of a stored piece (the tensor, or one of its slices): with --slice that
    takes part of one it is not checked, and this says so.
    """
    options = PrintOptions(precision, threshold, edgeitems, linewidth)
    if values:
        options = PrintOptions(precision, None, edgeitems, linewidth, None)
    with ckptfmt.open(path, verify=not no_verify) as checkpoint:
        entry = _find(checkpoint, name)
        array: np.ndarray[Any, Any] | None = None
        problem: BaseException | None = None
        numbers: Statistics | None = None
        if values is not False:
            try:
                array = _read(checkpoint, entry, index)
                numbers = None if no_stats else statistics(array)
            except FAILURES as error:
                problem = error
        checksum = WRONG if isinstance(problem, errors.ChecksumError) else NOT_CHECKED
        if array is not None and checkpoint.slice(entry.name).is_verified(... if index is None else index):
            checksum = VERIFIED
        if as_json:
            full = array is not None and (values or array.size <= threshold)
            document = _document(checkpoint, entry) | {
                "slice": None if index is None else {"index": _index_text(index), "shape": _shape_of(array)},
                "checksum": checksum,
                "statistics": None if numbers is None else _statistics_json(numbers),
                "values": values_json(array) if full and array is not None else None,
            }
            if problem is not None:
                document["error"] = describe(problem)
            write_json(document)
        else:
            write(aligned(_lines(checkpoint, entry, index, array, checksum, numbers, precision)))
            if array is not None:
                write(f"\n{values_text(array, options)}\n")
    if problem is not None:
        complain(message_of(problem))
        return code_of(problem)
    return ExitCode.FINE


def _find(checkpoint: Checkpoint, name: str) -> Entry:
    """The entry of a tensor by its name, its name as printed, or the end of its name."""
    entries = checkpoint.entries
    if name in entries:
        return entries[name]
    found = [known for known in entries if name in (escape(known), known.removesuffix(VARIABLE_VALUE))]
    found = found or [known for known in entries if _ends_with(known, name)]
    if len(found) == 1:
        return entries[found[0]]
    if not found:
        return entries[name]
    raise errors.TensorNotFoundError(name, file=checkpoint.prefix, close_matches=found[:MAX_SUGGESTED])


def _ends_with(known: str, name: str) -> bool:
    return any(f"/{text}".endswith(f"/{name}") for text in (known, known.removesuffix(VARIABLE_VALUE)))


def _read(checkpoint: Checkpoint, entry: Entry, index: Index | None) -> np.ndarray[Any, Any]:
    if index is None:
        return checkpoint[entry.name]
    try:
        return checkpoint.slice(entry.name)[index]
    except IndexError as error:
        raise click.BadParameter(escape(str(error)), param_hint="'--slice'") from None


# --- JSON --------------------------------------------------------------------------------------------------


def _document(checkpoint: Checkpoint, entry: Entry) -> dict[str, object]:
    return {
        "prefix": checkpoint.prefix,
        "format": checkpoint.format,
        "name": entry.name,
        "dtype": entry.dtype.name,
        "shape": entry.shape,
        "bytes": entry.nbytes,
        "shard": entry.shard,
        "file": None if entry.shard is None else checkpoint.shard_path(entry.shard),
        "offset": entry.offset,
        "crc32c": entry.crc32c,
        "slices": [str(part) for part in entry.slices],
    }


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


def _shape_of(array: np.ndarray[Any, Any] | None) -> tuple[int, ...] | None:
    return None if array is None else array.shape


# --- text --------------------------------------------------------------------------------------------------


def _lines(
    checkpoint: Checkpoint,
    entry: Entry,
    index: Index | None,
    array: np.ndarray[Any, Any] | None,
    checksum: str,
    numbers: Statistics | None,
    precision: int,
) -> list[tuple[str, str]]:
    size = f"{entry.nbytes}" + (f" ({size_text(entry.nbytes)})" if entry.nbytes >= 1024 else "")
    lines = [
        ("name", escape(entry.name)),
        ("dtype", entry.dtype.name),
        ("shape", shape_text(entry.shape)),
        ("bytes", size),
    ]
    if entry.shard is not None:
        lines.append(("shard", f"{entry.shard} of {checkpoint.num_shards}"))
        lines.append(("file", escape(checkpoint.shard_path(entry.shard))))
    if entry.offset is not None:
        lines.append(("offset", f"{entry.offset} (0x{entry.offset:x})"))
    if entry.crc32c is not None:
        lines.append(("crc32c", f"0x{entry.crc32c:08x}"))
    if entry.slices:
        lines.append(("slices", f"{len(entry.slices)}: {' '.join(map(str, entry.slices))}"))
    if index is not None:
        lines.append(("slice", _index_text(index)))
    if index is not None and array is not None:
        lines.append(("part", shape_text(array.shape)))
    if checksum == NOT_CHECKED and index is not None and array is not None:
        checksum += ": it covers more than this slice"
    lines.append(("checksum", checksum))
    return lines if numbers is None else lines + _statistics_lines(numbers, precision)


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


def _index_text(index: Index) -> str:
    """The index in its shortest form, as NumPy's brackets take it."""
    return f"[{','.join(map(_item_text, index))}]"


def _item_text(item: object) -> str:
    if isinstance(item, slice):
        step = "" if item.step is None else f":{item.step}"
        return f"{_or_nothing(item.start)}:{_or_nothing(item.stop)}{step}"
    return "..." if item is Ellipsis else f"{item}"


def _or_nothing(value: object) -> str:
    return "" if value is None else f"{value}"
