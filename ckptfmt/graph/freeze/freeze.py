"""Freezing: a graph whose variables are constants, as ``convert_variables_to_constants`` makes it.

Before that, the paths of assets become constants (:mod:`~ckptfmt.graph.freeze.assets`), and the nodes that
fill lookup tables are added to the outputs (:mod:`~ckptfmt.graph.freeze.tables`). Then it takes five steps,
one module each:

1. Keep the nodes that the outputs need (:mod:`ckptfmt.graph.prune`), and all functions.
2. Find the value of each variable that is left (:mod:`~ckptfmt.graph.freeze.values`).
3. Make the variable a constant, and change what took its handle, in functions too
   (:mod:`~ckptfmt.graph.freeze.propagation`, :mod:`~ckptfmt.graph.freeze.replace`).
4. Check that every call of a changed function fits the change (:mod:`~ckptfmt.graph.freeze.check`).
5. Give the changed functions new names (:mod:`~ckptfmt.graph.freeze.rename`).

Source: TensorFlow ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Set
from typing import Any, NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.errors import FreezeWarning, GraphError
from ckptfmt.graph.freeze.assets import Assets
from ckptfmt.graph.freeze.check import check_calls, check_no_inner_variables
from ckptfmt.graph.freeze.choice import Patterns, variables_to_keep
from ckptfmt.graph.freeze.initializing import initializing
from ckptfmt.graph.freeze.partitions import Partitions
from ckptfmt.graph.freeze.propagation import FrozenValue, Propagation
from ckptfmt.graph.freeze.rename import rename_functions
from ckptfmt.graph.freeze.resources import check_resources
from ckptfmt.graph.freeze.tables import TableFreezer
from ckptfmt.graph.freeze.values import choose_sources, make_constant, read_value, variable_dtype
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.variables import Source, saved_sources
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.prune import needed_nodes
from ckptfmt.graph.tables import has_tables
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names


def freeze(
    meta_graph: MetaGraph | Graph,
    variables: Mapping[str, Array],
    outputs: str | Iterable[str],
    *,
    keep: Patterns = (),
    only: Patterns | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph that computes outputs with its variables as constants; nothing is executed.

    If the outputs need lookup tables, the graph also has the nodes that fill these. Run them once, before
    others: :attr:`Graph.initializers` names them.

    Parameters
    ----------
    meta_graph
        What ``read_meta_graph`` or ``read_graph`` returns. Variables are matched to tensors of a checkpoint
        through the constants of the Saver, or by name if there is no Saver.
    variables
        The values by name: a checkpoint, a view of one (``ckpt.ema()``), or any other mapping, by the names
        in the checkpoint or by those of the nodes. Only those that the outputs need are read. Large ones in a
        mapped file, such as those of a checkpoint, stay there: the file must not be changed in place before
        the graph is written.
    outputs
        Names of nodes, or of tensors (``softmax:0``).
    keep
        Variables that stay variables, by the names of their nodes; globs and compiled regular expressions are
        taken as by ``select``. They need no value here: :attr:`Graph.variables` of the result names them, and
        whoever runs it must assign them one first. TensorFlow's ``variable_names_blacklist``.
    only
        The variables that become constants, if not all; the others stay. TensorFlow's
        ``variable_names_whitelist``.
    constants
        Values of placeholders, by name: ``{"is_training": False}``. What they decide is removed, as by
        :meth:`Graph.with_constants`.

    Raises
    ------
    GraphError
        An output is not in the graph; a variable has no value, or one of another shape or dtype; a variable
        is written on the way to an output, or taken by an op that cannot be frozen; or nothing fills a table,
        or the mapping lacks its contents. ``.node`` says which.
    CorruptError
        The graph refers to a node that does not exist.

    Warns
    -----
    FreezeWarning
        A mutable table starts empty, since it was not saved; or a queue, a reader or an iterator is needed.
    """
    meta = meta_graph if isinstance(meta_graph, MetaGraph) else None
    graph = meta_graph if isinstance(meta_graph, Graph) else meta_graph.graph
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    try:
        _check_outputs(graph, names)
        kept = variables_to_keep(graph, keep, only)
        if constants:
            graph = graph.with_constants(constants)
            _check_running(graph, names)
        frozen, warned = _freeze(graph, meta, variables, names, kept)
    except GraphError as error:
        raise (error if graph.file is None else error.at(graph.file)) from error.__cause__
    for what in warned:
        warnings.warn(what, FreezeWarning, stacklevel=2)
    return frozen


def _check_outputs(graph: Graph, names: list[str]) -> None:
    if not names:
        raise GraphError("got no outputs, want at least one")
    for name in names:
        node = parse_output(name).node
        if node not in graph:
            raise GraphError("not in the graph", node=node, close_matches=closest_names(node, graph))


def _check_running(graph: Graph, names: list[str]) -> None:
    for name in names:
        node = parse_output(name).node
        if node not in graph:
            raise GraphError("never runs with these constants", node=node)


def _freeze(
    graph: Graph,
    meta: MetaGraph | None,
    variables: Mapping[str, Array],
    outputs: list[str],
    staying: Set[str],
) -> tuple[Graph, list[str]]:
    """Return the frozen graph, and warnings for its user."""
    graph, needed_outputs, paths, warned = _with_tables(graph, meta, variables, outputs)
    kept = graph.extract_subgraph(needed_outputs)
    check_no_inner_variables(kept, staying)
    warned += check_resources(kept)
    # The path of an asset has to be a constant: what assigned it is gone.
    frozen_nodes = [
        node
        for node in kept._outline.message.node
        if node.op in VARIABLE_OPS and (node.name in paths or node.name not in staying)
    ]
    needed = [node for node in frozen_nodes if node.name not in paths]
    saved: Mapping[str, Source] = {}
    if needed:
        # The whole graph is searched: no output needs the nodes that restore variables, so ``kept`` lacks
        # them.
        message = messages.MetaGraphDef() if meta is None else meta.message
        saved = saved_sources(
            graph._outline.message,
            message.saver_def.restore_op_name,
            message.collection_def,
            graph.file or "graph",
        )
    sources = choose_sources(needed, saved, variables, Partitions(graph._outline.message.node))
    # Everything below works in place on a copy: the caller's graph stays as it is, even after an error.
    frozen = messages.GraphDef()
    frozen.CopyFrom(kept._outline.message)
    contents = kept._outline.by_name()
    init_op = None if meta is None else meta.init_op
    asked = [name for name in outputs if parse_output(name).node != init_op]
    propagation = Propagation(frozen, initializing(kept, asked))
    constants = propagation.body(None).nodes
    for node in frozen_nodes:
        array = paths[node.name] if node.name in paths else read_value(node, sources[node.name], variables)
        make_constant(constants[node.name], array, contents)
        propagation.follow(FrozenValue(node.name, variable_dtype(node), node.op == "VarHandleOp"))
    # Both come after all variables: only now is it known which arguments and functions have changed.
    check_calls(propagation)
    rename_functions(frozen, propagation.value_arguments)
    return Graph(Outline.of(frozen, contents), None, graph._ops), warned


class _Prepared(NamedTuple):
    """A graph in which variables are all that is left to freeze."""

    graph: Graph
    """The graph."""
    outputs: list[str]
    """The outputs that were asked for, and the nodes that fill tables."""
    paths: Mapping[str, Array]
    """The variables that hold the path of an asset, with the path."""
    warnings: list[str]
    """Warnings for the user."""


def _with_tables(
    graph: Graph, meta: MetaGraph | None, variables: Mapping[str, Array], outputs: list[str]
) -> _Prepared:
    """Add what fills tables to a graph and to its outputs; return the graph itself if it needs nothing."""
    assets = Assets(meta)
    message = graph._outline.message
    init_op = None if meta is None else meta.init_op
    if not assets and not has_tables(message) and all(parse_output(name).node != init_op for name in outputs):
        return _Prepared(graph, outputs, {}, [])
    now = graph._outline.snapshot()
    message, contents = messages.GraphDef(), now.by_name()
    message.CopyFrom(now.message)
    paths = assets.place(message)
    file = graph.file or "graph"
    freezer = TableFreezer(message, file, meta, variables, contents)
    outputs = freezer.add_initializers(outputs)
    assets.check(message, needed_nodes({node.name: node for node in message.node}, outputs, file))
    prepared = Graph(Outline.of(message, contents), graph.file, graph._ops)
    return _Prepared(prepared, outputs, paths, freezer.warnings)
