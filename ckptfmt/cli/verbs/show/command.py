"""``ckptfmt show``: one tensor, with its place, statistics and values."""

from __future__ import annotations

from dataclasses import replace

import click

import ckptfmt
from ckptfmt import Checkpoint, Entry, errors
from ckptfmt.cli.failures import ExitCode, code_of, message_of
from ckptfmt.cli.options import json_option, path_argument
from ckptfmt.cli.render.output import complain, write, write_json
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.render.values import PrintOptions
from ckptfmt.cli.slice_option import Index, parse_index
from ckptfmt.cli.verbs.show.tensor import read_tensor
from ckptfmt.object_graph.keys import VARIABLE_VALUE

MAX_SUGGESTED = 5
"""Names that an error suggests if the end of a name fits several."""


def _index_value(_: click.Context, __: click.Parameter, value: str | None) -> Index | None:
    if value is None:
        return None
    try:
        return parse_index(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    "show",
    short_help="Show one tensor: location, checksum, statistics, values.",
    epilog="""\b
    Examples:
      ckptfmt show training/ dense/kernel
      ckptfmt show training/ embedding --slice "0:4,:" --precision 3
      ckptfmt show training/ global_step --json | jq .values

    JSON: {"prefix", "format", "name", "dtype", "shape", "bytes", "shard", "file", "offset", "crc32c",
    "slices", "slice", "checksum", "statistics", "values"}. "slice" is null or {"index", "shape"};
    "checksum" is "verified", "wrong" or "not checked"; "statistics" is null or {"min", "max", "mean", "std",
    "zeros", "nan", "inf"}.
    "values" is null if there are more than --threshold, unless --values is given. Numbers are exact;
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
    help="Show all values, or none and read only the index. [default: a summary]",
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

    NAME may also be the end of a name, after a slash, or a name without /.ATTRIBUTES/VARIABLE_VALUE, if only
    one tensor matches; or a name as ckptfmt ls prints it, with escapes.

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
        shown = read_tensor(
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
    # Only now are all names listed, which a large index makes slow.
    # As ls prints it, or without the end that all variables have; else the last parts of a path.
    known = [each for each in entries if name in (escape(each), each.removesuffix(VARIABLE_VALUE))]
    known = known or [each for each in entries if _ends_with(each, name)]
    if len(known) == 1:
        return entries[known[0]]
    if not known:
        return entries[name]  # raises the error that suggests close names
    raise errors.TensorNotFoundError(name, file=checkpoint.prefix, close_matches=known[:MAX_SUGGESTED])


def _ends_with(known: str, name: str) -> bool:
    return any(f"/{text}".endswith(f"/{name}") for text in (known, known.removesuffix(VARIABLE_VALUE)))
