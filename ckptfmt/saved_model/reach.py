"""Reach: what of a model its signatures use, and what none of them does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

from ckptfmt.errors import CorruptError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.signature import CompositeTensor, SparseTensor, TensorInfo
from ckptfmt.graph.meta.variables import VARIABLE_OPS
from ckptfmt.graph.node import parse_output
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
    return _reach(model, _needed(model, signature))


def unreached(model: SavedModel) -> Reach:
    """Return what no signature uses."""
    graph = model.meta_graph.graph
    used = _reach(model, set().union(*(_needed(model, name) for name in model.signatures)))
    variables, assets, functions = map(set, (used.variables, used.assets, used.functions))
    idle = tuple(name for name in model.variables if name not in variables)
    return Reach(
        idle,
        _nbytes(model, idle),
        tuple(name for name in model.assets if name not in assets),
        tuple(name for name in graph.functions if name not in functions),
    )


def _starts(model: SavedModel, signature: str) -> Iterator[str]:
    """Names of the nodes that put out what a signature returns; CorruptError where one is not there."""
    for key, info in model.signatures[signature].outputs.items():
        for tensor in _tensors(info):
            node = parse_output(tensor).node
            if node not in model.meta_graph.graph:
                raise CorruptError(
                    f"signature {signature!r} returns {key!r} from {tensor!r}, which is not there",
                    file=model.file,
                )
            yield node


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


class _Wiring:
    """Which nodes of a model take from which: signatures are walked one by one, and share most of them."""

    def __init__(self, model: SavedModel) -> None:
        nodes = model.meta_graph.message.graph_def.node
        self.ops = {node.name: node.op for node in nodes}
        self.sources = {node.name: [_node_of(text) for text in node.input] for node in nodes}
        self.takers: dict[str, list[str]] = {}
        for name, sources in self.sources.items():
            for source in sources:
                self.takers.setdefault(source, []).append(name)
        self.fills: dict[str, bool] = {}
        """Whether an op makes something that others fill."""
        self.needed: dict[str, set[str]] = {}
        """What signatures need that were asked for, by name."""

    def ancestors(self, starts: Iterable[str], graph: Graph) -> set[str]:
        """Return the names of all nodes that must run for some; CorruptError where one is not there."""
        waiting = list(starts)
        seen = set(waiting)
        while waiting:
            for name in self.sources[waiting.pop()]:
                if name not in seen:
                    if name not in self.sources:
                        list(graph.ancestors(seen))  # its error says who takes from what is not there
                    seen.add(name)
                    waiting.append(name)
        return seen


_WIRINGS: WeakKeyDictionary[SavedModel, _Wiring] = WeakKeyDictionary()


def _node_of(text: str) -> str:
    # Most inputs are names of nodes, as they stand.
    return text if ":" not in text and text[:1] != "^" else parse_output(text).node


def _needed(model: SavedModel, signature: str) -> set[str]:
    """Names of all nodes that must run for a signature, and of those that fill tables and the like."""
    wiring = _WIRINGS.get(model)
    if wiring is None:
        wiring = _WIRINGS[model] = _Wiring(model)
    if signature in wiring.needed:
        return wiring.needed[signature]
    graph, saver = model.meta_graph.graph, model.meta_graph.message.saver_def
    # A function that saves or restores takes all that is stored, and fills a table among that.
    savers = {parse_output(name).node for name in (saver.save_tensor_name, saver.restore_op_name)}
    needed = wiring.ancestors(_starts(model, signature), graph)
    filling: set[str] = set()
    for name in needed:
        op = wiring.ops[name]
        if op not in wiring.fills:
            wiring.fills[op] = _makes_resource(graph, op)
        if wiring.fills[op]:
            # What fills a table, from an asset or not, takes its handle, and is needed by nobody.
            filling.update(wiring.takers.get(name, ()))
    found = wiring.needed[signature] = needed | wiring.ancestors(filling - needed - savers, graph)
    return found


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
    called = (other for name, others in model.calls.items() if name in needed for other in others)
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
