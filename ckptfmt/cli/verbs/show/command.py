"""``ckptfmt show``: tensors, with their places, statistics and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import click

import ckptfmt
from ckptfmt import Checkpoint, errors
from ckptfmt.cli.failures import ExitCode, code_of, message_of
from ckptfmt.cli.options import given_limits, json_option, limits_option, path_argument
from ckptfmt.cli.render.output import complain, write, write_json, write_json_list
from ckptfmt.cli.render.terminal import on_screen
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.render.values import PrintOptions
from ckptfmt.cli.slice_option import Index, parse_index
from ckptfmt.cli.verbs.show.names import TypedNames
from ckptfmt.cli.verbs.show.tensor import ShownTensor, read_tensor


def _index_value(_: click.Context, __: click.Parameter, value: str | None) -> Index | None:
    if value is None:
        return None
    try:
        return parse_index(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    "show",
    short_help="Show tensors: location, checksum, statistics, values.",
    epilog="""\b
    Examples:
      ckptfmt show training/ dense/kernel
      ckptfmt show training/ embedding --slice "0:4,:" --precision 3
      ckptfmt show training/ global_step --json | jq .values
      ckptfmt show training/ 'model/dense/*' --no-stats

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
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
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
@limits_option
def command(
    path: str,
    names: tuple[str, ...],
    index: Index | None,
    with_values: bool | None,
    no_stats: bool,
    no_verify: bool,
    as_json: bool,
    **printing: int,
) -> int:
    r"""Show the tensors NAME of the checkpoint at PATH.

    NAME is the stored name of a tensor, with or without /.ATTRIBUTES/VARIABLE_VALUE or :0; the path of an
    object, as ckptfmt tree prints it; or the name that the variable had in the program, as ckptfmt model
    prints it. It may also be the end of a name, after a slash, if only one tensor matches; or a name as
    ckptfmt ls prints it, with escapes. A pattern such as 'model/*' stands for every tensor that has a
    matching name of any of these kinds; * also matches slashes, and '*' is every tensor.

    The values are printed as NumPy prints them, strings quoted and escaped. Minimum, maximum, mean and
    standard deviation are those of the finite elements.

    The checksum of the stored bytes is verified; if it is wrong, the values are not shown and the exit code
    is 3. A checksum covers a whole stored piece (the tensor, or one of its slices), so with --slice a piece
    that is read only in part is not checked, and the output says so.

    If one of several tensors cannot be shown, it is reported and the others are shown; the exit code is the
    highest of all. If a NAME fits no tensor, nothing is shown and the exit code is 4.
    """
    options = PrintOptions(**printing)
    if with_values:
        options = replace(options, threshold=None, characters=None)
    with ckptfmt.open(path, verify=not no_verify, limits=given_limits()) as checkpoint:
        typed = TypedNames(checkpoint, path)
        stored = typed.find(names)
        shown = _Shown(checkpoint, index, with_values=with_values is not False, with_statistics=not no_stats)
        if len(names) > 1 or typed.is_pattern(names[0]):
            _show_all(shown, stored, options, as_json=as_json)
        else:
            tensor = shown.read(stored[0])
            if as_json:
                write_json(tensor.to_json(options.threshold))
            else:
                write(on_screen(tensor.to_text(options)))
            shown.report(tensor)
    return shown.code


class _Shown:
    """Reads tensors to show, and counts what goes wrong."""

    def __init__(
        self, checkpoint: Checkpoint, index: Index | None, *, with_values: bool, with_statistics: bool
    ) -> None:
        self.checkpoint = checkpoint
        self.code = ExitCode.FINE
        """The exit code: the highest of all tensors."""
        self._index = index
        self._with_values = with_values
        self._with_statistics = with_statistics

    def read(self, name: str) -> ShownTensor:
        entry = self.checkpoint.entries[name]
        return read_tensor(
            self.checkpoint,
            entry,
            self._index,
            with_values=self._with_values,
            with_statistics=self._with_statistics,
        )

    def report(self, tensor: ShownTensor) -> None:
        if tensor.problem is not None:
            self.complain(message_of(tensor.problem), code_of(tensor.problem))

    def complain(self, message: str, code: ExitCode) -> None:
        complain(message)
        self.code = max(self.code, code)


def _show_all(shown: _Shown, stored: Sequence[str], options: PrintOptions, *, as_json: bool) -> None:
    """Show several tensors one after the other, so that memory holds one; a bad one is reported."""
    tensors = _read_all(shown, stored)
    if as_json:
        checkpoint = shown.checkpoint
        documents = (tensor.to_json(options.threshold) for tensor in tensors)
        write_json_list({"prefix": checkpoint.prefix, "format": checkpoint.format}, "tensors", documents)
        return
    separator = ""
    for tensor in tensors:
        write(on_screen(separator + tensor.to_text(options)))
        separator = "\n"


def _read_all(shown: _Shown, stored: Sequence[str]) -> Iterator[ShownTensor]:
    for name in stored:
        try:
            tensor = shown.read(name)
        except click.BadParameter as error:  # an index that fits others
            shown.complain(f"{escape(name)}: {error.format_message()}", ExitCode.USAGE)
            continue
        except errors.CkptfmtError as error:  # a damaged entry
            shown.complain(message_of(error), code_of(error))
            continue
        yield tensor
        shown.report(tensor)
        # Memory then holds one tensor at a time, also as pages of the mapped file.
        del tensor
        shown.checkpoint._release(name)
