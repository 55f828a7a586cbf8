"""``ckptfmt graph``: what is in a graph."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterable

import click
import numpy as np

import ckptfmt
from ckptfmt import DType, FunctionCall, Graph, GraphNode, GraphTensor, errors
from ckptfmt.cli.failures import ExitCode
from ckptfmt.cli.options import (
    duplicates_option,
    given_limits,
    json_option,
    limits_option,
    path_argument,
    tags_option,
    wide_option,
)
from ckptfmt.cli.pictures import PICTURES, draw
from ckptfmt.cli.render.diagram import dot_lines, mermaid_lines
from ckptfmt.cli.render.graphviz import draw_svg
from ckptfmt.cli.render.output import complain, note, on_terminal, write, write_json, write_lines
from ckptfmt.cli.render.table import LEFT, RIGHT, write_table
from ckptfmt.cli.render.text import aligned, count_text, escape, shape_text, size_text
from ckptfmt.cli.verb import Verb
from ckptfmt.graph.duplicates import Keep
from ckptfmt.graph.read.logged import find_event_files, read_logged
from ckptfmt.pictures.picture import Picture
from ckptfmt.storage.local import LOCAL
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import matcher
from ckptfmt.text.quoting import listed

MAX_LISTED = 20
"""Inputs, outputs and items of a list that a summary shows."""

MAX_COMPLAINTS = 10
"""The most lines about nodes of one name; a graph may have any number of such names."""

MAX_CHARACTERS = 500
"""Characters of an attribute's value that are shown."""

MAX_ELEMENTS = 1_000_000
"""Larger arrays in attributes are not shown: a constant of a few bytes can have any number of elements."""


@click.command(
    "graph",
    cls=Verb,
    short_help="Show what is in a graph.",
    examples=[
        "ckptfmt graph frozen.pb",
        "ckptfmt graph training/model.ckpt-1000.meta --nodes 'conv1/*'",
        "ckptfmt graph saved_model/ --tags serve --functions",
        "ckptfmt graph logs/events.out.tfevents.1700000000.host --to pb > graph.pb",
        "ckptfmt graph saved_model/ --to svg > model.svg",
        "ckptfmt graph frozen.pb --to mermaid --depth 2",
    ],
    json_keys="""
    {"file", "nodes", "producer", "min_consumer", "ops": {OP: COUNT}, "custom_ops": {OP: COUNT}, "inputs":
    [{"name", "dtype", "shape"}], "outputs": [NAME], "functions", "constants": {"count", "bytes"},
    "duplicates": {NAME: COUNT}}.

    With --nodes {"nodes": [{"name", "op", "device", "inputs", "control_inputs"}]}, with --node one of these
    with "outputs": [{"name", "dtype", "shape"}], "attributes" as text and "consumers", with --consts
    {"constants": [{"name", "dtype", "shape", "nbytes"}]}, with --functions {"functions": [{"name", "inputs",
    "outputs", "nodes", "calls"}]}.
    """,
)
@path_argument
@tags_option
@click.option("--nodes", "pattern", metavar="PATTERN", help="List the nodes whose names match a glob.")
@click.option(
    "--node",
    "name",
    metavar="NAME",
    help="Show one node: its attributes, and what it feeds.",
)
@click.option("--consts", is_flag=True, help="List the constants: dtype, shape and size.")
@click.option("--functions", is_flag=True, help="List the functions of the library.")
@click.option(
    "--to",
    "target",
    type=click.Choice(["pb", "pbtxt", "json", *PICTURES]),
    metavar="FORM",
    help="Write the graph: pb, pbtxt, json, dot, mermaid or svg.",
)
@click.option(
    "--depth",
    type=click.IntRange(1),
    metavar="N",
    help="In a picture: one box for each deeper scope.",
)
@click.option("--inline", is_flag=True, help="In a picture: functions in place of their calls.")
@click.option(
    "--step",
    type=int,
    metavar="N",
    help="Select the graph that was logged at this step.",
)
@click.option(
    "--without-duplicates",
    "is_unique",
    is_flag=True,
    help="Keep one of identical nodes with one name.",
)
@duplicates_option
@wide_option
@json_option
@limits_option
def command(
    path: str,
    tags: list[str] | None,
    pattern: str | None,
    name: str | None,
    consts: bool,
    functions: bool,
    target: str | None,
    depth: int | None,
    inline: bool,
    step: int | None,
    is_unique: bool,
    keep: Keep | None,
    as_json: bool,
) -> int:
    """Show what is in the graph at PATH, without TensorFlow and without running it.

    PATH is a GraphDef, a frozen graph, a .meta file, a SavedModel or its directory, or event files in which a
    graph was logged.

    Files may be serialized or text, or memory-mapped (.pbmm); the content of a file tells which it is. From
    event files, the graph that was logged last is taken, or the one that TensorFlow 2 traced under the tag
    that --tags names. The forms dot, mermaid and svg of --to are pictures.

    TensorFlow refuses a graph in which several nodes have one name. It is shown nevertheless; stderr names
    them, and the exit code is 1. With --without-duplicates or --keep-duplicate the graph is repaired first;
    the former refuses nodes that differ, unless the latter says which to keep.
    """
    chosen = [
        option
        for option, given in (
            ("--nodes", pattern is not None),
            ("--node", name is not None),
            ("--consts", consts),
            ("--functions", functions),
            ("--to", target is not None),
        )
        if given
    ]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)}: pass only one of them")
    if (depth is not None or inline) and target not in PICTURES:
        raise click.UsageError(f"--depth and --inline require --to {', '.join(PICTURES)}")
    graph = _read(path, tags, step)
    if is_unique or keep is not None:
        graph = graph.without_duplicates(keep)
    if target in PICTURES:
        _write_picture(draw(path, graph, tags, target, depth, inline=inline), target)
    elif target is not None:
        _write_graph(graph, target)
    elif pattern is not None:
        _write_nodes(graph, pattern, as_json=as_json)
    elif name is not None:
        _write_node(graph, name, as_json=as_json)
    elif consts:
        _write_constants(graph, as_json=as_json)
    elif functions:
        _write_functions(graph, as_json=as_json)
    else:
        _write_summary(graph, as_json=as_json)
    return _complain_of_duplicates(graph)


def _complain_of_duplicates(graph: Graph) -> ExitCode:
    """Say on stderr which names several nodes have."""
    for name, nodes in itertools.islice(graph.duplicates.items(), MAX_COMPLAINTS):
        # As bytes: a message with a NaN is not equal to another one.
        contents = {node.message.SerializeToString(deterministic=True) for node in nodes}
        same = "identical" if len(contents) == 1 else "different"
        complain(f"{len(nodes)} {same} nodes are named {name!r}, which TensorFlow refuses")
    if len(graph.duplicates) > MAX_COMPLAINTS:
        complain(f"and {len(graph.duplicates) - MAX_COMPLAINTS:,} more names")
    return ExitCode.FINDING if graph.duplicates else ExitCode.FINE


def _read(path: str, tags: list[str] | None, step: int | None) -> Graph:
    """Return the graph at a path; report damage, and other graphs in the same events, on stderr."""
    events = find_event_files(path, LOCAL)
    if not events:
        return ckptfmt.read_graph(path, tags=tags, step=step, limits=given_limits())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", errors.DamageWarning)
        logged = read_logged(events, LOCAL, tags=tags, step=step, limits=given_limits())
    for warning in caught:
        complain(str(warning.message))
    if len(logged.steps) > 1:
        steps = listed(logged.steps, MAX_LISTED, quote=str)
        note(f"{len(logged.steps):,} graphs were logged, at steps {steps}: this is the one of {logged.step}")
    return logged.graph()


# --- the graph itself ------------------------------------------------------------------------------------


def _write_graph(graph: Graph, target: str) -> None:
    if target == "pb":
        if on_terminal():
            raise click.UsageError("--to pb: a terminal cannot show it; redirect it to a file")
        sys.stdout.flush()  # bytes go past the text layer and its buffer
        sys.stdout.buffer.write(graph.to_bytes())
    elif target == "pbtxt":
        write(graph.to_text())
    else:
        from google.protobuf.json_format import MessageToJson

        write(MessageToJson(graph.message, preserving_proto_field_name=True) + "\n")


def _write_picture(picture: Picture, target: str) -> None:
    if target == "svg":
        write(draw_svg(dot_lines(picture)))
    else:
        write_lines(dot_lines(picture) if target == "dot" else mermaid_lines(picture))


# --- the summary -----------------------------------------------------------------------------------------


def _write_summary(graph: Graph, *, as_json: bool) -> None:
    sizes = [graph.constants.entry(name).nbytes for name in graph.constants]
    if as_json:
        write_json(_summary_json(graph, sizes))
        return
    write(aligned(_summary_lines(graph, sizes)))
    write("\n")
    ops = [(f"{count:,}", escape(op)) for op, count in graph.ops.most_common()]
    write_table(("count", "op"), (RIGHT, LEFT), ops, map("\t".join, ops))


def _summary_json(graph: Graph, sizes: list[int]) -> dict[str, object]:
    return {
        "file": graph.file,
        "nodes": sum(graph.ops.values()),
        "producer": graph.versions.producer,
        "min_consumer": graph.versions.min_consumer,
        "ops": dict(graph.ops.most_common()),
        "custom_ops": dict(graph.custom_ops),
        "inputs": [{**_describe_tensor(graph.tensor(node.name)), "name": node.name} for node in graph.inputs],
        "outputs": [node.name for node in graph.outputs],
        "functions": len(graph.functions),
        "constants": {"count": len(sizes), "bytes": sum(sizes)},
        "duplicates": {name: len(nodes) for name, nodes in graph.duplicates.items()},
    }


def _summary_lines(graph: Graph, sizes: list[int]) -> list[tuple[str, str]]:
    versions, inputs, outputs = graph.versions, graph.inputs, graph.outputs
    return [
        ("nodes", f"{sum(graph.ops.values()):,}"),
        ("constants", f"{len(sizes):,}, {size_text(sum(sizes))}"),
        ("functions", f"{len(graph.functions):,}"),
        ("versions", f"written by {versions.producer}, read by {versions.min_consumer} and later"),
        *(
            ("input", f"{escape(node.name)}  {_type_text(graph.tensor(node.name))}")
            for node in inputs[:MAX_LISTED]
        ),
        *([("input", f"… {len(inputs)} in all")] if len(inputs) > MAX_LISTED else []),
        *(("output", f"{escape(node.name)}  {escape(node.op)}") for node in outputs[:MAX_LISTED]),
        *([("output", f"… {len(outputs)} in all")] if len(outputs) > MAX_LISTED else []),
        *(("not TensorFlow's", f"{escape(op)}  {count}") for op, count in graph.custom_ops.items()),
    ]


# --- nodes -----------------------------------------------------------------------------------------------


def _describe_node(node: GraphNode) -> dict[str, object]:
    return {
        "name": node.name,
        "op": node.op,
        "device": node.device,
        "inputs": [str(output) for output in node.inputs],
        "control_inputs": list(node.control_inputs),
    }


def _input_names(node: GraphNode) -> str:
    return ", ".join([*map(str, node.inputs), *(f"^{name}" for name in node.control_inputs)])


def _write_nodes(graph: Graph, pattern: str, *, as_json: bool) -> None:
    names = filter(matcher([pattern]), graph)
    nodes = [node for name in names for node in graph.duplicates.get(name) or [graph[name]]]
    if not nodes:
        close = closest_names(pattern, graph)
        raise errors.NameNotFoundError(
            pattern,
            file=graph.file or "graph",
            noun="node",
            close_matches=close,
            what=f"no node matches {pattern!r}",
        )
    if as_json:
        write_json({"nodes": [_describe_node(node) for node in nodes]})
        return
    rows = ((escape(node.name), escape(node.op), escape(_input_names(node))) for node in nodes)
    _write_rows(("node", "op", "inputs"), (LEFT, LEFT, LEFT), rows)
    if on_terminal():
        write(f"{count_text(len(nodes), 'node')}\n")


def _write_node(graph: Graph, name: str, *, as_json: bool) -> None:
    node = graph[name.partition(":")[0]]
    # No more than are shown: an attribute of a few bytes may claim a million of them.
    outputs = list(itertools.islice(graph.tensors(node.name), MAX_LISTED))
    attributes = {key: _value_text(value) for key, value in node.attributes.items()}
    consumers = [consumer.name for consumer in graph.consumers(node.name)]
    if as_json:
        write_json(
            {
                **_describe_node(node),
                "outputs": [_describe_tensor(tensor) for tensor in outputs],
                "attributes": attributes,
                "consumers": consumers,
            }
        )
        return
    rows = [
        ("node", escape(node.name)),
        ("op", escape(node.op)),
        *([("device", escape(node.device))] if node.device else []),
        *(("input", escape(str(output))) for output in node.inputs),
        *(("after", escape(control)) for control in node.control_inputs),
        *(("output", f"{escape(tensor.name)}  {_type_text(tensor)}") for tensor in outputs),
        *(("for", escape(consumer)) for consumer in consumers),
        *((escape(key), escape(text)) for key, text in attributes.items()),
    ]
    write(aligned(rows))


def _describe_tensor(tensor: GraphTensor) -> dict[str, object]:
    dtype = None if tensor.dtype is None else tensor.dtype.name
    return {"name": tensor.name, "dtype": dtype, "shape": tensor.shape}


def _type_text(tensor: GraphTensor) -> str:
    return f"{'?' if tensor.dtype is None else tensor.dtype.name}{shape_text(tensor.shape)}"


def _value_text(value: object) -> str:
    """Return the value of an attribute, shortened if it is long."""
    if isinstance(value, np.ndarray):
        return _array_text(value)
    if isinstance(value, DType):
        return value.name
    if isinstance(value, list):
        texts = [_value_text(each) for each in value[:MAX_LISTED]]
        return f"[{', '.join(texts)}{', …' if len(value) > MAX_LISTED else ''}]"
    if isinstance(value, FunctionCall):
        return f"function {value.name}"
    text = repr(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def _array_text(array: np.ndarray) -> str:
    dtype = "string" if array.dtype.hasobject else array.dtype.name
    is_small = array.size < MAX_ELEMENTS
    values = np.array2string(array, threshold=20, edgeitems=3).replace("\n", " ") if is_small else "…"
    return f"{dtype}{shape_text(array.shape)} {values}"


# --- constants and functions -----------------------------------------------------------------------------


def _write_constants(graph: Graph, *, as_json: bool) -> None:
    entries = [graph.constants.entry(name) for name in graph.constants]
    if as_json:
        write_json({"constants": [{**entry._asdict(), "dtype": entry.dtype.name} for entry in entries]})
        return
    size = size_text if on_terminal() else str
    rows = (
        (escape(each.name), each.dtype.name, shape_text(each.shape), size(each.nbytes)) for each in entries
    )
    _write_rows(("constant", "dtype", "shape", "size"), (LEFT, LEFT, LEFT, RIGHT), rows)


def _write_functions(graph: Graph, *, as_json: bool) -> None:
    calls = graph.functions.calls
    functions = [
        {
            "name": name,
            "inputs": [argument.name for argument in function.inputs],
            "outputs": [argument.name for argument in function.outputs],
            "nodes": len(function.message.node_def),
            "calls": sorted(calls[name]),
        }
        for name, function in graph.functions.items()
    ]
    if as_json:
        write_json({"functions": functions})
        return
    rows = (
        (
            escape(name),
            str(len(function.inputs)),
            str(len(function.outputs)),
            str(len(function.message.node_def)),
            escape(", ".join(sorted(calls[name]))),
        )
        for name, function in graph.functions.items()
    )
    heads = ("function", "inputs", "outputs", "nodes", "calls")
    _write_rows(heads, (LEFT, RIGHT, RIGHT, RIGHT, LEFT), rows)


def _write_rows(heads: tuple[str, ...], sides: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    cells = list(rows)
    write_table(heads, sides, cells, map("\t".join, cells))
