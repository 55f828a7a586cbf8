"""Reach: what of a model its signatures use, and what none of them does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.signature import CompositeTensor, SparseTensor, TensorInfo
from ckptfmt.graph.variables import VARIABLE_OPS
from ckptfmt.proto import messages
from ckptfmt.saved_model.saved_model import SavedModel

_TABLES = frozenset({"HashTable", "MutableHashTable", "MutableHashTableOfTensors", "MutableDenseHashTable"})
"""Ops of TensorFlow 1 that make a table and put out a reference to it, not a resource."""


class Reach(NamedTuple):
    """What of a model something uses."""

    variables: tuple[str, ...]
    """Names of the variables of the graph."""
    nbytes: int
    """Bytes that these take, each tensor of the checkpoint, or part of one, counted once."""
    assets: tuple[str, ...]
    """Names of assets."""
    functions: tuple[str, ...]
    """Names of functions of the library, called directly or by others."""


def reach(model: SavedModel, signature: str) -> Reach:
    """Return what a signature uses: what its outputs need, and the files that fill the tables among that.

    A variable counts that is handed to a function which is called, whether or not its body uses it.

    Raises TensorNotFoundError where there is no such signature, CorruptError where the graph refers to what
    is not there.
    """
    return _reach(model, _needed(model, [signature]))


def unreached(model: SavedModel) -> Reach:
    """Return what no signature uses."""
    graph = model.meta_graph.graph
    used = _reach(model, _needed(model, model.signatures))
    variables, assets, functions = map(set, (used.variables, used.assets, used.functions))
    idle = tuple(name for name in model.variables if name not in variables)
    return Reach(
        idle,
        _nbytes(model, idle),
        tuple(name for name in model.assets if name not in assets),
        tuple(name for name in graph.functions if name not in functions),
    )


def _starts(model: SavedModel, signatures: Iterable[str]) -> dict[str, None]:
    """Names of the nodes that put out what signatures return; CorruptError where one is not there."""
    starts: dict[str, None] = {}
    for name in signatures:
        for key, info in model.signatures[name].outputs.items():
            for tensor in _tensors(info):
                node = parse_output(tensor).node
                if node not in model.meta_graph.graph:
                    raise CorruptError(
                        f"signature {name!r} returns {key!r} from {tensor!r}, which is not there",
                        file=model.file,
                    )
                starts[node] = None
    return starts


def _tensors(info: TensorInfo) -> Iterator[str]:
    """The tensors, ``node:k``, that one of a signature is made of."""
    tensor = info.tensor
    if isinstance(tensor, str):
        yield tensor
    elif isinstance(tensor, SparseTensor):
        yield from tensor
    elif isinstance(tensor, CompositeTensor):
        for component in tensor.components:
            yield from _tensors(component)


def _needed(model: SavedModel, signatures: Iterable[str]) -> set[str]:
    """Names of all nodes that must run for signatures, and of those that fill tables and the like."""
    graph, saver = model.meta_graph.graph, model.meta_graph.message.saver_def
    # A function that saves or restores takes all that is stored, and fills a table among that.
    savers = {parse_output(name).node for name in (saver.save_tensor_name, saver.restore_op_name)}
    needed = dict.fromkeys(node.name for node in graph.ancestors(_starts(model, signatures)))
    is_filled: dict[str, bool] = {}
    filling: set[str] = set()
    for name in needed:
        op = graph[name].op
        if op not in is_filled:
            is_filled[op] = _makes_resource(graph, op)
        if is_filled[op]:
            # What fills a table, from an asset or not, takes its handle, and is needed by nobody.
            takers = (taker.name for taker in graph.consumers(name))
            filling.update(taker for taker in takers if taker not in needed and taker not in savers)
    return {*needed, *(node.name for node in graph.ancestors(filling))}


def _makes_resource(graph: Graph, op: str) -> bool:
    """Whether an op makes a table or another resource that is no variable."""
    known = None if op in VARIABLE_OPS or op in graph.functions else graph.functions.op(op)
    return op in _TABLES or (
        known is not None and any(out.type == messages.DataType.DT_RESOURCE for out in known.output_arg)
    )


def _reach(model: SavedModel, needed: set[str]) -> Reach:
    graph = model.meta_graph.graph
    variables = tuple(name for name in model.variables if name in needed)
    assets = tuple(
        asset.filename for asset in model.assets.values() if parse_output(asset.tensor).node in needed
    )
    library = graph.functions
    # Most graphs of TensorFlow 1 have no functions, and many nodes.
    nodes = model.meta_graph.message.graph_def.node if library else ()
    called = library.called_by(node for node in nodes if node.name in needed)
    reached = library.reached_from(called)
    functions = tuple(name for name in library if name in reached)
    return Reach(variables, _nbytes(model, variables), assets, functions)


def _nbytes(model: SavedModel, variables: Iterable[str]) -> int:
    checkpoint = model.checkpoint
    if checkpoint is None:
        return 0
    total = 0
    for source in {model.variables.sources[name] for name in variables}:
        entry = checkpoint.entries.get(source.name)
        if entry is None:
            continue
        if source.region is None or entry.dtype.itemsize is None:
            total += entry.nbytes
        else:
            total += math.prod(stop - start for start, stop in source.region) * entry.dtype.itemsize
    return total
