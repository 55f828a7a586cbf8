"""Variables: which tensor of a checkpoint each variable of a graph is restored from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.errors import CorruptError
from ckptfmt.graph.meta.collection import Collections, Partition
from ckptfmt.graph.meta.restore import RestoredTensor, RestoreGraph
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.proto import messages

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


class Source(NamedTuple):
    """The tensor that a variable is restored from, or the part of one."""

    name: str
    """The name in the checkpoint."""
    region: Region | None
    """Start and stop of the part in each dimension; None for all of the tensor."""


def variable_sources(graph: messages.GraphDef, restore_op: str, file: str) -> dict[str, Source]:
    """Return what each variable of a graph is restored from, by the name of its node.

    A variable is restored from the tensor that is assigned to it when ``restore_op`` runs; if that is empty,
    all assignments of restored tensors in the graph count. In TensorFlow 2 the op calls a function, which
    takes the handles of the variables and has the assignments in its body. Variables that nothing restores
    are left out.

    Raises
    ------
    CorruptError
        The graph refers to a node or function that does not exist.
    GraphError
        Names are not constants but computed.
    """
    nodes = RestoreGraph(graph.node, file)
    call = nodes.node(parse_output(restore_op).node) if restore_op else None
    if call is not None and call.op in _CALLS:
        assignments = _assignments_in_function(nodes, graph, call)
    else:
        assignments = nodes.assignments(graph.node if call is None else nodes.leading_to(call.name))
    return {
        name: Source(tensor.name, tensor.region)
        for name, tensor in assignments
        if nodes.node(name).op in VARIABLE_OPS
    }


def saved_sources(
    graph: messages.GraphDef, restore_op: str, collections: Mapping[str, messages.CollectionDef], file: str
) -> dict[str, Source]:
    """Return what each variable of a meta graph is restored from; see :func:`variable_sources`.

    TensorFlow restores a graph without a Saver with a new one for the collection ``variables``: each variable
    by its own name, or as a slice of the whole that it is a part of, sorted by name. Without any collection,
    all variables count. Raises the same errors, and CorruptError if the collection is damaged.
    """
    variables = [node.name for node in graph.node if node.op in VARIABLE_OPS]
    if not variables:
        return {}  # then there may be no Saver either
    sources = variable_sources(graph, restore_op, file)
    if sources or restore_op:
        return sources
    if not collections:
        return {name: Source(name, None) for name in sorted(variables)}
    known = set(variables)
    collected = Collections(collections, file).variables("variables")
    named = ((parse_output(variable.name).node, variable.partition) for variable in collected)
    saved = {name: _saved_as(name, part, file) for name, part in named if name in known}
    return dict(sorted(saved.items()))


def _saved_as(name: str, part: Partition | None, file: str) -> Source:
    """Return how a Saver stores a variable that is given no name for it."""
    if part is None or not part.full_name:
        return Source(name, None)
    if not len(part.offset) == len(part.shape) == len(part.full_shape):
        what = f"variable {name!r}: its part has {len(part.offset)} offsets and {len(part.shape)} sizes"
        raise CorruptError(what, file=file)
    spans = zip(part.offset, part.shape, strict=True)
    return Source(part.full_name, tuple((start, start + size) for start, size in spans))


def _assignments_in_function(
    nodes: RestoreGraph, graph: messages.GraphDef, call: messages.NodeDef
) -> Iterator[tuple[str, RestoredTensor]]:
    """Iterate over the variables that the function of a restore op assigns, each with its tensor."""
    library = {function.signature.name: function for function in graph.library.function}
    function = library.get(call.attr["f"].func.name if "f" in call.attr else "")
    if function is None:
        raise CorruptError(f"node {call.name!r} calls a function that is not in the library", file=nodes.file)
    body = RestoreGraph(function.node_def, nodes.file, in_function=True)
    arguments = {argument.name: i for i, argument in enumerate(function.signature.input_arg)}
    for name, tensor in body.assignments(function.node_def):
        if name in arguments:
            yield nodes.origin(call, arguments[name]).node, tensor


def read_source(source: Source, variables: Mapping[str, Array]) -> Array:
    """Return the value of a variable: a tensor, or the part of one that belongs to it.

    Only the part is read if a checkpoint can verify it without the rest.
    """
    if source.region is None:
        return np.asarray(variables[source.name])
    index = tuple(slice(start, stop) for start, stop in source.region)
    reader = getattr(variables, "slice", None)
    if reader is not None and (part := reader(source.name)).is_verified(index):
        return np.asarray(part[index])
    return np.asarray(variables[source.name][index])
