"""Reach: what of a model its signatures use, and what none of them does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ckptfmt.errors import TensorNotFoundError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.signature import CompositeTensor, SparseTensor, TensorInfo
from ckptfmt.saved_model.saved_model import SavedModel

_TABLES = ("HashTable", "MutableHashTable", "MutableDenseHashTable", "AnonymousHashTable")
"""How ops begin whose tables are filled, from assets, by ops that no output needs."""


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
    signatures = model.signatures
    if signature not in signatures:
        close = [*signatures][:5]
        raise TensorNotFoundError(signature, file=model.file, noun="signature", close_matches=close)
    infos = signatures[signature].outputs.values()
    starts = {parse_output(name).node for info in infos for name in _tensors(info)}
    return _reach(model, _needed(model.meta_graph.graph, starts))


def unreached(model: SavedModel) -> Reach:
    """Return what no signature uses."""
    graph = model.meta_graph.graph
    infos = [info for signature in model.signatures.values() for info in signature.outputs.values()]
    starts = {parse_output(name).node for info in infos for name in _tensors(info)}
    used = _reach(model, _needed(graph, starts))
    variables = tuple(name for name in model.variables if name not in used.variables)
    return Reach(
        variables,
        _nbytes(model, variables),
        tuple(name for name in model.assets if name not in used.assets),
        tuple(name for name in graph.functions if name not in used.functions),
    )


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


def _needed(graph: Graph, starts: Iterable[str]) -> set[str]:
    """Names of all nodes that must run for some, and of those that fill the tables among them."""
    needed = {node.name for node in graph.ancestors(starts)}
    tables = [name for name in needed if graph[name].op.startswith(_TABLES)]
    # What fills a table takes its handle, and is needed by nobody.
    filling = {taker.name for name in tables for taker in graph.consumers(name) if taker.name not in needed}
    return needed | {node.name for node in graph.ancestors(filling)}


def _reach(model: SavedModel, needed: set[str]) -> Reach:
    graph = model.meta_graph.graph
    variables = tuple(name for name in model.variables if name in needed)
    assets = tuple(
        asset.filename for asset in model.assets.values() if parse_output(asset.tensor).node in needed
    )
    called = graph.functions.called_by(node for node in graph.message.node if node.name in needed)
    reached = graph.functions.reached_from(called)
    functions = tuple(name for name in graph.functions if name in reached)
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
