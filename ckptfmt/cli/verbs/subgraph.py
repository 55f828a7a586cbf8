"""``ckptfmt subgraph``: the part of a graph that outputs need."""

from __future__ import annotations

import click

import ckptfmt
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import (
    comma_separated,
    duplicates_option,
    given_limits,
    json_option,
    limits_option,
    output_option,
    overwrite_option,
    path_argument,
    tags_option,
)
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import count_text
from ckptfmt.cli.settings import Setting, parse_settings, set_option
from ckptfmt.cli.verb import Verb
from ckptfmt.graph.duplicates import Keep
from ckptfmt.storage.target import check_target


@click.command(
    "subgraph",
    cls=Verb,
    short_help="Write the part of a graph that outputs need.",
    examples=[
        "ckptfmt subgraph training/graph.pbtxt -o part.pb --outputs conv5",
        "ckptfmt subgraph frozen.pb -o part.pbtxt --inputs images --outputs softmax",
        "ckptfmt subgraph frozen.pb -o new.pb --outputs softmax --set is_training=false",
        "ckptfmt subgraph frozen.pb -o inference.pb --outputs softmax --inference",
    ],
    json_keys="""
    {"file", "nodes", "of"}: the file written, how many nodes are in it, and of how many.
    """,
)
@path_argument
@output_option
@click.option(
    "--outputs",
    required=True,
    metavar="NAME,NAME",
    callback=comma_separated,
    help="The nodes or tensors to compute.",
)
@click.option(
    "--inputs",
    metavar="NAME,NAME",
    callback=comma_separated,
    help="The nodes to replace with placeholders.",
)
@set_option
@click.option("--inference", is_flag=True, help="Drop training-only nodes (never the outputs).")
@click.option("--clear-devices", is_flag=True, help="Remove the devices that nodes are placed on.")
@duplicates_option
@tags_option
@overwrite_option
@json_option
@limits_option
def command(
    path: str,
    target: str,
    outputs: list[str],
    inputs: list[str] | None,
    settings: list[Setting],
    inference: bool,
    clear_devices: bool,
    keep: Keep | None,
    tags: list[str] | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the nodes of the graph at PATH that the outputs need; as text if FILE ends in .pbtxt.

    Identical nodes of one name, which TensorFlow refuses, are written once. What never runs after --set is
    removed.
    """
    check_target(target, overwrite=overwrite)
    if not outputs:
        raise click.UsageError("--outputs: got no names, want at least one")
    graph = ckptfmt.read_graph(path, tags=tags, limits=given_limits())
    if graph.duplicates or keep is not None:
        graph = graph.without_duplicates(keep)
    wanted = [graph[name.partition(":")[0]].name for name in outputs]
    whole = graph.with_constants(parse_settings(settings, graph)) if settings else graph
    part = whole.extract_subgraph(wanted) if inputs is None else whole.strip_unused(inputs, wanted)
    if inference:
        part = part.remove_training_nodes(wanted)
    if clear_devices:
        part = part.clear_devices()
    part.write(target, overwrite=overwrite)
    if as_json:
        write_json({"file": target, "nodes": len(part), "of": len(graph)})
    else:
        note(f"{target}: {count_text(len(part), 'node')} of {len(graph):,}")
    return ExitCode.FINE
