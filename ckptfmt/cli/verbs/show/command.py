"""``ckptfmt show``: tensors, with their places, statistics and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import click

from ckptfmt import Tensors, errors
from ckptfmt.cli.completion import complete_names
from ckptfmt.cli.failures import ExitCode, code_of, message_of
from ckptfmt.cli.opening import open_listed
from ckptfmt.cli.options import json_option, limits_option, path_argument
from ckptfmt.cli.render.output import complain, write, write_json, write_json_list
from ckptfmt.cli.render.terminal import on_screen
from ckptfmt.cli.render.text import escape
from ckptfmt.cli.render.values import PrintOptions
from ckptfmt.cli.selection import Selection, selection_options
from ckptfmt.cli.slice_option import Index, parse_index
from ckptfmt.cli.typed_names import TypedNames
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.show.tensor import ShownTensor, read_tensor


def _index_value(_: click.Context, __: click.Parameter, value: str | None) -> Index | None:
    if value is None:
        return None
    try:
        return parse_index(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _names_value(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if not value and not context.resilient_parsing:
        raise click.UsageError("missing NAME; ckptfmt ls PATH lists names, and '*' stands for all of them")
    return value


@click.command(
    "show",
    cls=Verb,
    short_help="Show tensors: location, checksum, statistics, values.",
    examples=[
        "ckptfmt show training/ dense/kernel",
        'ckptfmt show training/ embedding --slice "0:4,:" --precision 3',
        "ckptfmt show training/ global_step --json | jq .values",
        "ckptfmt show training/ 'model/dense/*' --no-stats",
        "ckptfmt show training/ '*' --weights --no-values",
    ],
    json_keys="""
    {"prefix", "format", "name", "dtype", "shape", "bytes", "shard", "file", "offset", "crc32c", "slices",
    "slice", "checksum", "statistics", "values"}.

    "slice" is null or {"index", "shape"}; "checksum" is "verified", "wrong" or "not checked"; "statistics" is
    null or {"min", "max", "mean", "std", "zeros", "nan", "inf"}. "values" is null if there are more than
    --threshold, unless --values is given. Numbers are exact; "NaN", "Infinity" and "-Infinity" are strings, a
    complex number is [real, imaginary]. Bytes are text if they are UTF-8, else {"base64": ...}; a variant is
    {"type_name", "metadata", "tensors": [{"dtype", "shape"}]}. If the values cannot be read, "error" is added
    and the other keys stay. Several tensors are {"prefix", "format", "tensors": [...]}.
    """,
)
@path_argument
@click.argument("tensors", nargs=-1, metavar="NAME...", callback=_names_value, shell_complete=complete_names)
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
    help="Show all values, or none. [default: a summary]",
)
@click.option("--no-stats", is_flag=True, help="Compute no statistics.")
@click.option("--no-verify", is_flag=True, help="Show the values even if the checksum is wrong.")
@click.option(
    "--precision",
    type=click.IntRange(0, 100),
    metavar="N",
    default=8,
    show_default=True,
    help="Digits after the decimal point.",
)
@click.option(
    "--threshold",
    type=click.IntRange(0),
    metavar="N",
    default=1000,
    show_default=True,
    help="Summarise larger arrays.",
)
@click.option(
    "--edgeitems",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="Elements at each end of a summary.",
)
@click.option(
    "--linewidth",
    type=click.IntRange(1),
    metavar="N",
    default=75,
    show_default=True,
    help="Characters in a line.",
)
@selection_options
@json_option
@limits_option
def command(
    path: str,
    tensors: tuple[str, ...],
    index: Index | None,
    with_values: bool | None,
    no_stats: bool,
    no_verify: bool,
    selection: Selection,
    as_json: bool,
    **printing: int,
) -> int:
    r"""Show tensors of the checkpoint at PATH: where they are stored, statistics and values.

    NAME is a name that ckptfmt ls, tree or model prints, the end of one if only one tensor matches, or a
    pattern such as 'model/*'.

    More exactly, it is the stored name of a tensor, with or without /.ATTRIBUTES/VARIABLE_VALUE or :0; the
    path of an object; or the name that the variable had in the program. The end of a name begins after a
    slash. Names may have the escapes with which they are printed. A pattern stands for every tensor that has
    a matching name of any of these kinds; * also matches slashes, and '*' is every tensor.

    The values are printed as NumPy prints them, strings quoted and escaped; with --no-values only the index
    is read. Minimum, maximum, mean and standard deviation are those of the finite elements.

    The checksum of the stored bytes is verified; if it is wrong, the values are not shown and the exit code
    is 3. A checksum covers a whole stored piece (the tensor, or one of its slices), so with --slice a piece
    that is read only in part is not checked, and the output says so.

    If one of several tensors cannot be shown, it is reported and the others are shown; the exit code is the
    highest of all. If a NAME fits no tensor, nothing is shown and the exit code is 4.
    """
    options = PrintOptions(**printing)
    if with_values:
        options = replace(options, threshold=None, characters=None)
    with open_listed(path, verify=not no_verify) as checkpoint:
        typed = TypedNames(checkpoint, path)
        chosen = _chosen(typed, selection.of(checkpoint), tensors)
        shown = _Shown(checkpoint, index, with_values=with_values is not False, with_statistics=not no_stats)
        if len(tensors) > 1 or typed.is_pattern(tensors[0]):
            _show_all(shown, chosen, options, as_json=as_json)
        else:
            [(name, stored)] = chosen.items()
            tensor = shown.read(name, stored)
            if as_json:
                write_json(tensor.to_json(options.threshold))
            else:
                write(on_screen(tensor.to_text(options)))
            shown.report(tensor)
    return shown.code


class _Shown:
    """Reads tensors to show, and counts what goes wrong."""

    def __init__(
        self, checkpoint: Tensors, index: Index | None, *, with_values: bool, with_statistics: bool
    ) -> None:
        self.checkpoint = checkpoint
        self.code = ExitCode.FINE
        """The exit code: the highest of all tensors."""
        self._index = index
        self._with_values = with_values
        self._with_statistics = with_statistics

    def read(self, name: str, stored: str) -> ShownTensor:
        entry = self.checkpoint.entries[stored]
        tensor = read_tensor(
            self.checkpoint,
            entry,
            self._index,
            with_values=self._with_values,
            with_statistics=self._with_statistics,
        )
        return tensor if name == stored else replace(tensor, entry=entry._replace(name=name))

    def report(self, tensor: ShownTensor) -> None:
        if tensor.problem is not None:
            self.complain(message_of(tensor.problem), code_of(tensor.problem))

    def complain(self, message: str, code: ExitCode) -> None:
        complain(message)
        self.code = max(self.code, code)


def _chosen(typed: TypedNames, view: Tensors, names: Sequence[str]) -> dict[str, str]:
    """Return the tensors that the names typed stand for, by their names in a view, with their stored names.

    A name of the view comes first. Other names are those of variables: with ``--ema`` the view has something
    else for these.
    """
    chosen: dict[str, str] = {}
    by_variable = {stored: name for name, stored in view._stand_for().items()}
    for name in names:
        if name in view:
            found = [name]
        else:
            stored = typed.find([name])
            found = [by_variable[each] for each in stored if each in by_variable]
            if not found:
                what = f"{name!r} is not among the tensors chosen"
                raise errors.TensorNotFoundError(name, file=view.prefix, what=what)
        chosen.update((each, view.stored_name(each) or each) for each in found)
    return chosen


def _show_all(shown: _Shown, chosen: Mapping[str, str], options: PrintOptions, *, as_json: bool) -> None:
    """Show several tensors one after the other, so that memory holds one; a bad one is reported."""
    tensors = _read_all(shown, chosen)
    if as_json:
        checkpoint = shown.checkpoint
        documents = (tensor.to_json(options.threshold) for tensor in tensors)
        write_json_list({"prefix": checkpoint.prefix, "format": checkpoint.format}, "tensors", documents)
        return
    separator = ""
    for tensor in tensors:
        write(on_screen(separator + tensor.to_text(options)))
        separator = "\n"


def _read_all(shown: _Shown, chosen: Mapping[str, str]) -> Iterator[ShownTensor]:
    for name, stored in chosen.items():
        try:
            tensor = shown.read(name, stored)
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
        shown.checkpoint._release(stored)
