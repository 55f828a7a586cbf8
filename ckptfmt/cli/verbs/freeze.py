"""``ckptfmt freeze``: a graph in which variables are constants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

import ckptfmt
from ckptfmt import MetaGraph, errors
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import check_target, json_option, overwrite_option, path_argument
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import count_text, size_text
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.storage.local import LOCAL

_SHARDS = re.compile(r"-\?{5}-of-\d{5}\Z")
"""The end of the prefix of a V1 checkpoint in shards; the graph beside it is called without."""

DEFAULT = "serving_default"
"""The signature that is frozen where nothing is said."""


@click.command(
    "freeze",
    short_help="Write a graph with its variables as constants.",
    epilog="""\b
    Examples:
      ckptfmt freeze training/ -o frozen.pb --outputs softmax
      ckptfmt freeze saved_model/ -o frozen.pb
      ckptfmt freeze training/model.ckpt-1000 -o averaged.pbtxt --outputs logits,softmax --ema

    JSON: {"file", "outputs", "nodes", "constants", "bytes"}.
    """,
)
@path_argument
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The file to write.")
@click.option("--outputs", metavar="NAME,NAME", help="The nodes or tensors to compute.")
@click.option("--signature", metavar="NAME", help=f"Freeze the outputs of a signature ({DEFAULT}).")
@click.option("--tags", metavar="TAG,TAG", help="Which meta graph of a SavedModel, where it has several.")
@click.option("--graph", "graph_path", metavar="FILE", help="The graph, where it is not PREFIX.meta.")
@click.option("--ema", is_flag=True, help="Take exponential moving averages where variables have them.")
@overwrite_option
@json_option
def command(
    path: str,
    target: str,
    outputs: str | None,
    signature: str | None,
    tags: str | None,
    graph_path: str | None,
    ema: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the graph of the model at PATH with its variables as constants, without TensorFlow.

    PATH is a SavedModel directory, or leads to a checkpoint beside which its .meta file lies. The file that
    is written is text where its name ends in .pbtxt. Only what the outputs need is kept and read.
    """
    if outputs is not None and signature is not None:
        raise click.UsageError("--outputs and --signature: only one of them at a time")
    check_target(target, overwrite=overwrite)
    with _opened(path, graph_path, None if tags is None else tags.split(",")) as (meta, variables):
        wanted = _wanted(meta, outputs, signature)
        values = variables.ema() if ema and isinstance(variables, ckptfmt.Tensors) else variables
        frozen = ckptfmt.freeze(meta, values, wanted)
    frozen.write(target, overwrite=overwrite)
    status = LOCAL.status(target)
    size, count = 0 if status is None else status.size, frozen.ops["Const"]
    if as_json:
        write_json(
            {"file": target, "outputs": wanted, "nodes": len(frozen), "constants": count, "bytes": size}
        )
    else:
        note(
            f"{target}: {count_text(len(frozen), 'node')}, {count_text(count, 'constant')}, {size_text(size)}"
        )
    return ExitCode.FINE


@contextmanager
def _opened(
    path: str, graph_path: str | None, tags: list[str] | None
) -> Iterator[tuple[MetaGraph, Mapping[str, Any]]]:
    """The meta graph of a model, and its variables."""
    if _is_saved_model(path):
        with ckptfmt.open_saved_model(path, tags=tags if graph_path is None else None) as model:
            meta = model.meta_graph if graph_path is None else ckptfmt.read_meta_graph(graph_path, tags=tags)
            yield meta, {} if model.checkpoint is None else model.checkpoint
        return
    with ckptfmt.open(path) as checkpoint:
        beside = _SHARDS.sub("", checkpoint.prefix) + ".meta"
        if graph_path is None and LOCAL.path_type(beside) != "file":
            raise errors.CheckpointNotFoundError(
                f"a checkpoint without its graph: {beside} is not there; see --graph",
                file=checkpoint.prefix,
                tried=[beside],
            )
        yield ckptfmt.read_meta_graph(graph_path or beside, tags=tags), checkpoint


def _is_saved_model(path: str) -> bool:
    """Whether a path is that of a SavedModel's directory, or of the message in it."""
    path_type = LOCAL.path_type(path)
    if path_type == "directory":
        return any(name in SAVED_MODEL_FILES for name in LOCAL.list_directory(path).files)
    if path_type != "file":
        return False
    try:
        ckptfmt.open_saved_model(path).close()
    except errors.UnsupportedError:
        return False  # of another kind
    except errors.GraphError:
        return True
    return True


def _wanted(meta: MetaGraph, outputs: str | None, signature: str | None) -> list[str]:
    """The outputs to freeze."""
    if outputs is not None:
        return [name for name in outputs.split(",") if name]
    signatures = meta.signatures
    name = signature or DEFAULT
    if signature is None and name not in signatures:
        there = ", ".join(map(repr, signatures)) or "none"
        raise click.UsageError(f"--outputs or --signature is needed; signatures: {there}")
    tensors = [info.tensor for info in signatures[name].outputs.values()]
    if not all(isinstance(tensor, str) for tensor in tensors):
        raise click.UsageError(f"signature {name!r} has outputs of several tensors: name them with --outputs")
    return [tensor for tensor in tensors if isinstance(tensor, str)]
