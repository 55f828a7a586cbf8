"""``ckptfmt subgraph``: the part of a graph that outputs need."""

from __future__ import annotations

import click

import ckptfmt
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import check_target, json_option, overwrite_option, path_argument
from ckptfmt.cli.render.output import note, write_json
from ckptfmt.cli.render.text import count_text


@click.command(
    "subgraph",
    short_help="Write the part of a graph that outputs need.",
    epilog="""\b
    Examples:
      ckptfmt subgraph training/graph.pbtxt -o part.pb --outputs conv5
      ckptfmt subgraph frozen.pb -o part.pbtxt --inputs images --outputs softmax --inference

    JSON: {"file", "nodes", "of"}: how many nodes are kept, and of how many.
    """,
)
@path_argument
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The file to write.")
@click.option("--outputs", required=True, metavar="NAME,NAME", help="The nodes or tensors to compute.")
@click.option("--inputs", metavar="NAME,NAME", help="Nodes that become placeholders.")
@click.option("--inference", is_flag=True, help="Leave out nodes that only training needs, but no outputs.")
@click.option("--clear-devices", is_flag=True, help="Place no node on a device.")
@click.option("--tags", metavar="TAG,TAG", help="Which meta graph of a SavedModel, where it has several.")
@overwrite_option
@json_option
def command(
    path: str,
    target: str,
    outputs: str,
    inputs: str | None,
    inference: bool,
    clear_devices: bool,
    tags: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the nodes of the graph at PATH that outputs need, as text where FILE ends in .pbtxt."""
    check_target(target, overwrite=overwrite)
    graph = ckptfmt.read_graph(path, tags=None if tags is None else tags.split(","))
    if not outputs.strip(","):
        raise click.UsageError(f"--outputs {outputs!r}: want at least one name")
    wanted = [graph[name.partition(":")[0]].name for name in outputs.split(",") if name]
    if inputs is None:
        part = graph.extract_subgraph(wanted)
    else:
        part = graph.strip_unused([name for name in inputs.split(",") if name], wanted)
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
