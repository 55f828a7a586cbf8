"""``ckptfmt copy``: the command."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

import click

import ckptfmt
from ckptfmt import Tensors, compat
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import ExitCode
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
from ckptfmt.cli.verbs.copy.changes import Changes, changes_options, has_averages
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE
from ckptfmt.saving.save import plan_save
from ckptfmt.saving.save_plan import SavedTensor, SavePlan
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.printing import shape_text


@click.command(
    "copy",
    cls=Verb,
    short_help="Write a checkpoint again: renamed, pruned, merged, cast.",
    examples=[
        "ckptfmt copy training/ weights/model --model-only",
        "ckptfmt copy bert_model.ckpt new.ckpt --rename dense=encoder",
        "ckptfmt copy training/ ema.ckpt --ema --model-only --cast bfloat16",
        "ckptfmt copy encoder.ckpt head.ckpt model.ckpt --shards 4",
        "ckptfmt copy training/ new.ckpt --plan to_flax.toml --dry-run",
    ],
    json_keys="""
    {"prefix", "num_shards", "bytes", "copied_bytes", "shard_bytes": [], "state_file", "written",
    "tensors": [{"name", "dtype", "shape", "bytes", "shards", "copied"}]}.

    "copied_bytes" are those taken over as they are stored; "copied" says so of one tensor. "written" is false
    after --dry-run, and "state_file" is null without --state.
    """,
)
@click.argument("sources", nargs=-1, required=True, metavar="SRC...", shell_complete=complete_files)
@click.argument("target", metavar="DST", shell_complete=complete_files)
@changes_options
@click.option("--shards", type=click.IntRange(1), metavar="N", help="Write so many data files.")
@click.option(
    "--max-shard-size",
    metavar="SIZE",
    callback=size_value,
    help="Begin another data file after 1GiB, 500MB, ...",
)
@click.option("--state", is_flag=True, help="Make DST the latest checkpoint in the state file beside it.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@overwrite_option
@wide_option
@json_option
@limits_option
def command(
    sources: tuple[str, ...],
    target: str,
    changes: Changes,
    shards: int | None,
    max_shard_size: int | None,
    state: bool,
    dry_run: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Copy the checkpoint at SRC to the prefix DST, as a V2 checkpoint that TensorFlow restores.

    Bytes that do not change are copied as they are, and verified on the way. DST appears whole or not at all;
    with --overwrite, the checkpoint that is there stays until the new one is whole.

    Several sources are merged; two tensors of one name are an error before anything is written. The changes
    are made to each source in this order: --ema, --weights and --names, --model-only, --select and --exclude,
    --rename, --plan, --cast. A view of a checkpoint of objects (TF2) keeps the objects of the tensors that
    are kept.

    If DST is a directory, the copy gets the name of its source, as with cp. --cast converts floats to another
    floating-point dtype, or integers to another integer dtype, in which too large ones wrap around.

    PATTERN is a glob over names, in which * also matches slashes; quote it. --dry-run lists the tensors as
    ckptfmt ls does, with the number of the data file that each goes to; only indexes are read then.
    """
    if shards is not None and max_shard_size is not None:
        raise click.UsageError("--shards and --max-shard-size: pass only one of them")
    with ExitStack() as stack:
        checkpoints = [stack.enter_context(ckptfmt.open(path, limits=given_limits())) for path in sources]
        views: list[Tensors] = [changes.of(checkpoint) for checkpoint in checkpoints]
        if changes.selection.ema and not any(map(has_averages, checkpoints)):
            note("no moving averages: variables are copied as they are")
        tensors = views[0] if len(views) == 1 else views
        target = _prefix_of(target, [checkpoint.prefix for checkpoint in checkpoints])
        plan = plan_save(
            target, tensors, overwrite=overwrite, num_shards=shards, max_shard_bytes=max_shard_size
        )
        if not dry_run:
            with ProgressBar("copying") as bar:
                ckptfmt.save(
                    target,
                    tensors,
                    overwrite=overwrite,
                    num_shards=shards,
                    max_shard_bytes=max_shard_size,
                    progress=bar,
                )
    state_file = _make_latest(target) if state and not dry_run else None
    if as_json:
        write_json(_document(plan, state_file, written=not dry_run))
        return ExitCode.FINE
    if dry_run:
        _write_tensors(plan)
    total = f"{count_text(len(plan.tensors), 'tensor')}, {size_text(plan.nbytes)}"
    files = count_text(plan.num_shards, "data file")
    changed = plan.nbytes - plan.copied_bytes
    how = "copied as stored" if not changed else f"{size_text(changed)} of them changed"
    note(f"{target}: {'would write' if dry_run else 'wrote'} {total} in {files}, {how}")
    return ExitCode.FINE


def _prefix_of(target: str, sources: Sequence[str]) -> str:
    """Return the prefix that DST means: in a directory it is that of the source, and an index is its own."""
    if not target.endswith(("/", os.sep)) and LOCAL.path_type(target) != "directory":
        return target.removesuffix(INDEX_SUFFIX)
    if len(sources) > 1:
        raise click.UsageError(f"DST: {target} is a directory; name the checkpoint, such as {target}model")
    return os.path.join(target, os.path.basename(sources[0]))


def _make_latest(prefix: str) -> str:
    """Make a checkpoint the latest one in the state file of its directory; return the path of that file."""
    directory, name = os.path.split(prefix)
    known = ckptfmt.read_checkpoint_state(directory or os.curdir)
    paths = [] if known is None else [path for path in known.all_model_checkpoint_paths if path != name]
    times: list[float] | None = None
    if known is not None and len(known.all_model_checkpoint_timestamps) == len(
        known.all_model_checkpoint_paths
    ):
        listed = zip(known.all_model_checkpoint_paths, known.all_model_checkpoint_timestamps, strict=True)
        times = [*(when for path, when in listed if path != name), time.time()]
    # Absolute, so that paths that are relative to the directory stay as they are.
    compat.update_checkpoint_state(
        os.path.abspath(directory),
        name,
        [*paths, name],
        all_model_checkpoint_timestamps=times,
        last_preserved_timestamp=None if known is None else known.last_preserved_timestamp,
    )
    return os.path.join(directory, STATE_FILE)


def _document(plan: SavePlan, state_file: str | None, *, written: bool) -> dict[str, object]:
    return {
        "prefix": plan.prefix,
        "num_shards": plan.num_shards,
        "bytes": plan.nbytes,
        "copied_bytes": plan.copied_bytes,
        "shard_bytes": list(plan.shard_bytes),
        "state_file": state_file,
        "written": written,
        "tensors": list(map(_describe, plan.tensors)),
    }


def _describe(tensor: SavedTensor) -> dict[str, object]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype.name,
        "shape": tensor.shape,
        "bytes": tensor.nbytes,
        "shards": tensor.shards,
        "copied": tensor.is_copied,
    }


def _write_tensors(plan: SavePlan) -> None:
    """Write a table on a terminal, else lines."""
    size = size_text if on_terminal() else str
    rows = [
        (
            escape(tensor.name),
            tensor.dtype.name,
            shape_text(tensor.shape),
            size(tensor.nbytes),
            ",".join(map(str, tensor.shards)),
            "copied" if tensor.is_copied else "changed",
        )
        for tensor in sorted(plan.tensors)
    ]
    if on_terminal():
        heads = ["name", "dtype", "shape", "bytes", "data file", "content"]
        draw_table(heads, [LEFT, LEFT, LEFT, RIGHT, RIGHT, LEFT], rows)
        write("\n")
    else:
        write_lines(map("\t".join, rows))
