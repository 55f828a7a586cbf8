"""``ckptfmt convert``: the command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby

import click

from ckptfmt import Conversion, Plan, Tensors
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import ExitCode, with_options
from ckptfmt.cli.options import (
    given_limits,
    json_option,
    limits_option,
    overwrite_option,
    size_value,
    wide_option,
)
from ckptfmt.cli.render.output import note, on_terminal, write, write_json, write_lines
from ckptfmt.cli.render.progress import ProgressBar
from ckptfmt.cli.render.table import LEFT, RIGHT, draw_table
from ckptfmt.cli.render.text import count_text, escape, size_text
from ckptfmt.cli.verb import Verb
from ckptfmt.cli.verbs.copy import changes as copied
from ckptfmt.converting import preparation
from ckptfmt.converting.given_model import open_given
from ckptfmt.converting.naming import named
from ckptfmt.converting.preparation import Destination, Preparation, prepare
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.targets import TARGETS, target_format
from ckptfmt.errors import CkptfmtError
from ckptfmt.text.printing import shape_text

FORMATS = "\n\n".join(f"{name}: {target.what}" for name, target in TARGETS.items())

HELP = f"""\
Write the tensors at SRC to DST, for another program or for TensorFlow. The name of DST says the format, or
--to: {", ".join(TARGETS)}.

SRC is a checkpoint, a SavedModel, or a file of another program that ckptfmt ls lists. In a directory, DST
gets the usual name of its format.

The formats are:

{FORMATS}

DST appears whole or not at all. What its format cannot hold is an error before anything is written, and
nothing is widened silently: --cast, --exclude, --weights or a plan decide.

Bytes that do not change are copied as they are, and verified on the way. Several sources are merged; two
tensors of one name are an error.

The changes are made to each source in this order: --ema, --weights and --names, --model-only, --select and
--exclude, --rename, --plan, --cast. Without --names, weights of a checkpoint of objects (TF2) get their usual
names (dense/kernel), and other tensors their object paths; a checkpoint keeps the stored names, and so does a
plan for one model, such as ckptfmt match --propose writes.

For a target of Keras, --config has the configuration of the model if SRC has only weights: JSON, .h5, .keras
or a SavedModel.

With --resume, what was written stays beside DST if the command fails or is killed (DST.partial), and the same
command goes on where it stopped. --verify reads DST back and compares digests with SRC. --dry-run lists the
tensors that would be written, and writes nothing.
"""


@click.command(
    "convert",
    cls=Verb,
    short_help="Write tensors for other programs: safetensors, ...",
    help=HELP,
    examples=[
        "ckptfmt convert training/ weights.safetensors --weights",
        "ckptfmt convert training/ out/ --to safetensors --max-shard-size 5GB",
        "ckptfmt convert training/ torch.safetensors --plan keras-torch --verify",
        "ckptfmt convert model.safetensors model.ckpt",
        "ckptfmt convert training/ big.safetensors --cast bfloat16 --resume",
    ],
    json_keys="""
    {"format", "files": [PATH], "bytes", "verified", "written", "remarks": [TEXT],
    "tensors": [{"name", "dtype", "shape", "bytes", "copied"}]}.

    "files" are the files written, that to be opened first; after --dry-run, "written" is false and they are
    the target. "copied" is true for tensors whose bytes are taken over as they are stored.
    """,
)
@click.argument("sources", nargs=-1, required=True, metavar="SRC...", shell_complete=complete_files)
@click.argument("target", metavar="DST", shell_complete=complete_files)
@click.option(
    "--to", type=click.Choice(list(TARGETS)), metavar="FORMAT", help="The format, if DST does not say it."
)
@copied.changes_options
@click.option(
    "--max-shard-size",
    metavar="SIZE",
    callback=size_value,
    help="Begin another file after 5GB, 500MiB, ...",
)
@click.option("--compression", metavar="NAME", help="The compression, for formats with a choice.")
@click.option("--resume", is_flag=True, help="Go on where the same command stopped.")
@click.option("--verify", is_flag=True, help="Read DST back, and compare it with SRC.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option(
    "--config",
    metavar="FILE",
    shell_complete=complete_files,
    help="The Keras model's configuration, if not in SRC.",
)
@overwrite_option
@wide_option
@json_option
@limits_option
def command(
    sources: tuple[str, ...],
    target: str,
    to: str | None,
    changes: copied.Changes,
    max_shard_size: int | None,
    compression: str | None,
    resume: bool,
    verify: bool,
    dry_run: bool,
    config: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert; the help is :data:`HELP`."""
    with _usage_errors():
        format_ = target_format(target, to)
    plan = None if changes.plan is None else Plan.read(changes.plan, limits=given_limits())
    kind = "stored" if changes.selection.names is None and TARGETS[format_].keeps_objects else None

    def rename(view: Tensors) -> Tensors:
        return view if changes.selection.names is not None else named(view, kind, plan)

    with ExitStack() as stack:
        paths = sources[0] if len(sources) == 1 else sources
        with _usage_errors():
            given = open_given(paths, format_, config, None, given_limits())
        opened = [stack.enter_context(each) for each in given.sources]
        if changes.selection.ema and not any(map(copied.has_averages, opened)):
            note("no moving averages: variables are converted as they are")
        recipe = [None if plan is None else plan.to_toml(), repr(changes)]
        changing = preparation.Changes(lambda view: changes.of(view, rename=rename), plan, recipe)
        destination = Destination(target, to, max_shard_size, compression, overwrite, resume)
        with _usage_errors():
            prepared = prepare(given, changing, destination, None)
            conversion = None if dry_run else _carry_out(prepared, verify=verify)
        if dry_run:
            prepared.check_target()
        if as_json:
            write_json(_document(prepared, conversion))
            return ExitCode.FINE
        if conversion is None:
            _write_tensors(prepared)
    _report(prepared, conversion)
    return ExitCode.FINE


def _carry_out(prepared: Preparation, *, verify: bool) -> Conversion:
    with ProgressBar("converting") as bar, ProgressBar("verifying") as checking:
        return prepared.carry_out(verify=verify, progress=bar, verifying=checking)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn plain ValueErrors, by which a format says that it has no such option, into wrong usage."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, CkptfmtError):
            raise
        text = str(error).replace("to= one", "--to, one").replace("max_shard_bytes:", "--max-shard-size:")
        text = re.sub("^config: ", "--config: ", text)
        raise click.UsageError(text) from error


def _document(prepared: Preparation, conversion: Conversion | None) -> dict[str, object]:
    return {
        "format": prepared.sink.format,
        "files": [prepared.writing.path] if conversion is None else conversion.files,
        "bytes": prepared.nbytes,
        "verified": conversion is not None and conversion.is_verified,
        "written": conversion is not None,
        "remarks": prepared.writing.remarks,
        "tensors": [
            {
                "name": tensor.name,
                "dtype": tensor.dtype.name,
                "shape": tensor.shape,
                "bytes": tensor.nbytes,
                "copied": is_copied,
            }
            for tensor, is_copied in _with_origin(prepared.tensors)
        ],
    }


def _with_origin(tensors: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, bool]]:
    """Iterate over tensors, each with whether its values are those in the source, bit by bit."""
    for view, several in groupby(tensors, key=lambda each: each.tensors):
        unchanged = view._unchanged()
        yield from ((each, unchanged[each.name] is not None) for each in several)


def _write_tensors(prepared: Preparation) -> None:
    """Write a table on a terminal, else lines."""
    size = size_text if on_terminal() else str
    rows = [
        (
            escape(tensor.name),
            tensor.dtype.name,
            shape_text(tensor.shape),
            size(tensor.nbytes),
            "copied" if is_copied else "changed",
        )
        for tensor, is_copied in sorted(_with_origin(prepared.tensors), key=lambda each: each[0].name)
    ]
    if on_terminal():
        draw_table(["name", "dtype", "shape", "bytes", "content"], [LEFT, LEFT, LEFT, RIGHT, LEFT], rows)
        write("\n")
    else:
        write_lines(map("\t".join, rows))


def _report(prepared: Preparation, conversion: Conversion | None) -> None:
    for remark in prepared.writing.remarks:
        note(with_options(remark))
    total = f"{count_text(len(prepared.tensors), 'tensor')}, {size_text(prepared.nbytes)}"
    path, format_ = prepared.writing.path, prepared.sink.format
    if conversion is None:
        note(f"{path}: would write {total} as {format_}")
        return
    files = f" in {count_text(len(conversion.files), 'file')}" if len(conversion.files) > 1 else ""
    verified = ", verified" if conversion.is_verified else ""
    note(f"{conversion.files[0]}: wrote {total} as {format_}{files}{verified}")
