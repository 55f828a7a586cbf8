"""``ckptfmt freeze``: a graph whose variables have become constants."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

import ckptfmt
from ckptfmt import Graph, MetaGraph, errors
from ckptfmt.cli.completion import complete_files
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import (
    comma_separated,
    given_limits,
    json_option,
    limits_option,
    output_option,
    overwrite_option,
    path_argument,
    tags_option,
)
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import count_text, size_text
from ckptfmt.cli.settings import Setting, parse_settings, set_option
from ckptfmt.cli.verb import Verb
from ckptfmt.filenames import META_SUFFIX, SAVED_MODEL_FILES, meta_path
from ckptfmt.filetype.kinds import SPLIT, Holds
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.graph.meta.signature import DEFAULT_SIGNATURE
from ckptfmt.storage.local import LOCAL
from ckptfmt.storage.target import check_target
from ckptfmt.text.quoting import listed

_MAX_CANDIDATES = 20
"""The most files of a directory that are read to find a graph to propose."""


@click.command(
    "freeze",
    cls=Verb,
    short_help="Write a graph with its variables as constants.",
    examples=[
        "ckptfmt freeze training/ -o frozen.pb --outputs softmax",
        "ckptfmt freeze saved_model/ -o frozen.pb",
        "ckptfmt freeze training/ -o averaged.pbtxt --outputs logits,softmax --ema",
        "ckptfmt freeze training/ --graph graph.pbtxt -o frozen.pb --outputs softmax --set is_training=false",
        "ckptfmt freeze training/ -o frozen.pb --outputs softmax --keep global_step,'counters/*'",
    ],
    json_keys="""
    {"file", "outputs", "initializers", "variables", "nodes", "constants", "bytes"}; initializers are the
    nodes to run first, so that lookup tables are filled, and variables those that were kept; bytes is null
    for a pipe.
    """,
)
@path_argument
@output_option
@click.option(
    "--outputs", metavar="NAME,NAME", callback=comma_separated, help="The nodes or tensors to compute."
)
@click.option(
    "--signature",
    metavar="NAME",
    help=f"Compute its outputs. [default: {DEFAULT_SIGNATURE}]",
)
@tags_option
@click.option(
    "--graph",
    "graph_path",
    metavar="FILE",
    shell_complete=complete_files,
    help="The file with the graph, if it is not PREFIX.meta.",
)
@click.option(
    "--keep",
    metavar="NAME,NAME",
    callback=comma_separated,
    help="Leave these variables variables; globs too.",
)
@click.option(
    "--only",
    metavar="NAME,NAME",
    callback=comma_separated,
    help="Freeze only these variables; globs too.",
)
@set_option
@click.option("--ema", is_flag=True, help="Use the moving averages of variables that have them.")
@overwrite_option
@json_option
@limits_option
def command(
    path: str,
    target: str,
    outputs: list[str] | None,
    signature: str | None,
    tags: list[str] | None,
    graph_path: str | None,
    keep: list[str] | None,
    only: list[str] | None,
    settings: list[Setting],
    ema: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the graph of the model at PATH with its variables as constants, without TensorFlow.

    PATH is a SavedModel directory, or leads to a checkpoint that has its .meta file beside it; --graph names
    any other graph. Only what the outputs need is kept and read.

    The graph that --graph names is a GraphDef, a .meta file or a SavedModel. The frozen graph is written as
    text if the name of its file ends in .pbtxt. Nodes that cannot run with what --set says are removed.
    --keep and --only are what TensorFlow's freeze_graph calls variable_names_blacklist and
    variable_names_whitelist.
    """
    if outputs is not None and signature is not None:
        raise click.UsageError("--outputs and --signature: pass only one of them")
    check_target(target, overwrite=overwrite)  # before the work, which may take minutes
    with _opened(path, graph_path, tags, ema=ema) as (meta, variables):
        wanted = _outputs_of(meta, signature) if outputs is None else outputs
        values = variables.ema() if ema and isinstance(variables, ckptfmt.Tensors) else variables
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", errors.FreezeWarning)
            graph = meta if isinstance(meta, Graph) else meta.graph
            settled = parse_settings(settings, graph)
            try:
                frozen = ckptfmt.freeze(meta, values, wanted, keep=keep or (), only=only, constants=settled)
            except errors.GraphError as error:
                if error.node is not None and error.node not in graph and not error.close_matches:
                    names = [node.name for node in graph.outputs]
                    error.what += f"; the graph's outputs seem to be {listed(names, 10)}" if names else ""
                raise
    # The checkpoint is closed now, but constants that are views of its files keep these mapped.
    frozen.write(target, overwrite=overwrite)
    # A pipe or a terminal, such as /dev/stdout may be, has no size.
    status = LOCAL.status(target) if LOCAL.path_type(target) == "file" else None
    size, constants = None if status is None else status.size, frozen.ops["Const"]
    first, kept = list(frozen.initializers), [node.name for node in frozen.variables]
    for warning in caught:
        note(f"warning: {warning.message}")
    if as_json:
        document = {"file": target, "outputs": wanted, "initializers": first, "variables": kept}
        write_json({**document, "nodes": len(frozen), "constants": constants, "bytes": size})
    else:
        counts = f"{count_text(len(frozen), 'node')}, {count_text(constants, 'constant')}"
        note(f"{target}: {counts}" + ("" if size is None else f", {size_text(size)}"))
        if first:
            note(f"{target}: run {', '.join(first)} first, once: the lookup tables are empty until then")
        if kept:
            note(f"{target}: assign values first to the variables that were kept: {listed(kept, 20)}")
    return ExitCode.FINE


@contextmanager
def _opened(
    path: str, graph_path: str | None, tags: list[str] | None, *, ema: bool
) -> Iterator[tuple[MetaGraph | Graph, Mapping[str, Any]]]:
    """Open a model: its meta graph or, if there is only that, its graph, and its variables."""
    if _is_saved_model(path):
        # Tags choose the meta graph in the file that the graph comes from: --graph, or the SavedModel.
        with ckptfmt.open_saved_model(
            path, tags=tags if graph_path is None else None, limits=given_limits()
        ) as model:
            meta = model.meta_graph if graph_path is None else _read_graph(graph_path, tags)
            # Another graph has other variables, and averages have names in the checkpoint only. Without a
            # checkpoint, reading a variable says what is missing; some outputs need none.
            by_name = model.checkpoint if graph_path is not None or ema else None
            yield meta, model.variables if by_name is None else by_name
        return
    with _open_checkpoint(path) as checkpoint:
        beside = meta_path(checkpoint.prefix)
        if graph_path is None and LOCAL.path_type(beside) != "file":
            graph = _graph_near(checkpoint.prefix)
            raise errors.CheckpointNotFoundError(
                f"a checkpoint without its graph: {beside} is missing; pass --graph {graph or 'FILE'}",
                file=checkpoint.prefix,
                tried=[beside],
            )
        yield _read_graph(graph_path or beside, tags), checkpoint


def _read_graph(path: str, tags: list[str] | None) -> MetaGraph | Graph:
    """Return the meta graph in a file or, if there is only that, the graph."""
    try:
        return ckptfmt.read_meta_graph(path, tags=tags, limits=given_limits())
    except errors.UnsupportedError:
        # Its error says what the file is, if it is not a graph.
        return ckptfmt.read_graph(path, tags=tags, limits=given_limits())


def _open_checkpoint(path: str) -> ckptfmt.Checkpoint:
    """Open a checkpoint; the error for the path of a graph says where graphs go."""
    try:
        return ckptfmt.open(path, limits=given_limits())
    except errors.UnsupportedError as error:
        kind = recognise_path(LOCAL, path) if LOCAL.path_type(path) == "file" else None
        if kind is None or kind.holds is not Holds.GRAPH:
            raise
        what = f"{error.what}; to freeze it, pass the path of its checkpoint, and --graph {path}"
        raise errors.UnsupportedError(what, file=error.file) from error


def _graph_near(prefix: str) -> str | None:
    """Return a graph in the directory of a checkpoint; None if it has none."""
    directory = os.path.dirname(prefix)
    files = LOCAL.list_directory(directory or os.curdir).files
    # Training writes graph.pbtxt; the .meta file of another step usually has the same graph.
    usual = [name for name in ("graph.pbtxt", "graph.pb") if name in files]
    others = [name for name in reversed(files) if name.endswith((META_SUFFIX, ".pbtxt", ".pb"))]
    for name in [*usual, *others[:_MAX_CANDIDATES]]:
        path = os.path.join(directory, name)
        with suppress(errors.CkptfmtError):
            kind = recognise_path(LOCAL, path)
            if kind is not None and kind.holds in (Holds.GRAPH, Holds.META_GRAPH):
                return path
    return None


def _is_saved_model(path: str) -> bool:
    """Return whether a path leads to a SavedModel: its directory, or the message in it, even if damaged."""
    if LOCAL.path_type(path) == "file" and os.path.basename(path) in SAVED_MODEL_FILES:
        return True
    kind = recognise_path(LOCAL, path)
    return kind is not None and (kind is SPLIT or kind.holds is Holds.SAVED_MODEL)


def _outputs_of(meta: MetaGraph | Graph, signature: str | None) -> list[str]:
    """Return the tensors that a signature computes."""
    if isinstance(meta, Graph):
        raise click.UsageError("--outputs is needed: a graph alone has no signatures")
    signatures = meta.signatures
    name = signature or DEFAULT_SIGNATURE
    if signature is None and name not in signatures:
        known = listed(signatures, 20) or "none"
        raise click.UsageError(f"--outputs or --signature is needed; signatures: {known}")
    tensors = [info.tensor for info in signatures[name].outputs.values()]
    names = [tensor for tensor in tensors if isinstance(tensor, str)]
    if len(names) < len(tensors):
        raise click.UsageError(
            f"signature {name!r} has sparse or composite outputs: name their tensors with --outputs"
        )
    return names
