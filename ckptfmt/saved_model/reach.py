"""Reach: the parts of a model that its signatures use, and the parts that none of them uses.

A signature needs the nodes that its outputs are computed from. If a table is among them, the nodes that fill
it must run too, though no node takes their output: they only take the table's handle. Signatures share most
of their nodes, so the graph is indexed once, and the nodes that each signature needs are kept. A signature
takes time linear in the edges that it reaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.errors import CorruptError
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.signature import CompositeTensor, SparseTensor, TensorInfo
from ckptfmt.graph.meta.variables import Source
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.saved_model.assets import AssetFile

_TABLES = frozenset({"HashTable", "MutableHashTable", "MutableHashTableOfTensors", "MutableDenseHashTable"})
"""Ops of TensorFlow 1 that make a table and return a reference to it, not a resource."""


class Reach(NamedTuple):
    """The parts of a model that something uses."""

    variables: tuple[str, ...]
    """Names of the variables of the graph."""
    nbytes: int | None
    """Bytes that these take in the checkpoint; a tensor, or a part of one, is counted once.

    None if there are any, and the checkpoint does not exist.
    """
    assets: tuple[str, ...]
    """Names of assets."""
    functions: tuple[str, ...]
    """Names of functions of the library, called directly or by other functions."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Reach"))


class Usage:
    """The parts of a model that each signature of a meta graph uses.

    Parameters
    ----------
    meta
        The meta graph.
    variables
        Where in the checkpoint each variable of the graph is stored.
    assets
        The files that the graph reads.
    calls
        For each node of the graph that calls functions, their names.
    entries
        The entries of the checkpoint, for the bytes that variables take; None if it does not exist.
    """

    def __init__(
        self,
        meta: MetaGraph,
        variables: Mapping[str, Source],
        assets: Mapping[str, AssetFile],
        calls: Mapping[str, Iterable[str]],
        entries: Mapping[str, Entry] | None,
    ) -> None:
        self._meta = meta
        self._variables = variables
        self._assets = assets
        self._calls = calls
        self._entries = entries
        self._needed_by: dict[str, set[str]] = {}
        self._makes: dict[str, bool] = {}

    def reach(self, signature: str) -> Reach:
        """Return what a signature uses; raises the errors of :meth:`SavedModel.reach`."""
        return self._reach(self.needed(signature))

    def unreached(self) -> Reach:
        """Return what no signature uses."""
        # The nodes of all signatures together, so that what a node calls is looked up once.
        used = self._reach(set().union(*map(self.needed, self._meta.signatures)))
        variables, assets, functions = map(set, (used.variables, used.assets, used.functions))
        idle = tuple(name for name in self._variables if name not in variables)
        return Reach(
            idle,
            self._nbytes(idle),
            tuple(name for name in self._assets if name not in assets),
            tuple(name for name in self._meta.graph.functions if name not in functions),
        )

    def needed(self, signature: str) -> set[str]:
        """Return the names of all nodes that must run for a signature, or to fill its tables."""
        if signature not in self._needed_by:
            # Backwards from the outputs; then forwards, from the tables among those nodes, to the nodes that
            # take their handles and so may fill them; and backwards again from there.
            needed = self._ancestors(self._outputs(signature))
            # A Saver's ops take every table, and restoring fills them: neither means that a table is used.
            saver = self._meta.message.saver_def
            savers = {parse_output(name).node for name in (saver.save_tensor_name, saver.restore_op_name)}
            filling = {
                taker
                for name in needed
                if self._makes_resource(self._ops[name])
                for taker in self._takers.get(name, ())
            }
            self._needed_by[signature] = needed | self._ancestors(filling - needed - savers)
        return self._needed_by[signature]

    def _outputs(self, signature: str) -> Iterator[str]:
        """Names of the nodes that a signature returns outputs of; CorruptError if one does not exist."""
        for key, info in self._meta.signatures[signature].outputs.items():
            for tensor in _tensors(info):
                node = parse_output(tensor).node
                if node not in self._ops:
                    what = f"signature {signature!r} returns {key!r} from {tensor!r}, which does not exist"
                    raise CorruptError(what, file=self._meta.file)
                yield node

    @cached_property
    def _ops(self) -> dict[str, str]:
        """Op of each node; CorruptError if several have one name."""
        for name, nodes in self._meta.graph.duplicates.items():
            raise CorruptError(f"{len(nodes)} nodes are named {name!r}", file=self._meta.file)
        return {node.name: node.op for node in self._meta.message.graph_def.node}

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        """For each node, the nodes that it takes inputs from."""
        return {
            node.name: [_node_of(text) for text in node.input] for node in self._meta.message.graph_def.node
        }

    @cached_property
    def _takers(self) -> dict[str, list[str]]:
        """For each node, the nodes that take inputs from it."""
        takers: dict[str, list[str]] = {}
        for name, sources in self._sources.items():
            for source in sources:
                takers.setdefault(source, []).append(name)
        return takers

    def _ancestors(self, starts: Iterable[str]) -> set[str]:
        """Names of all nodes that must run for some nodes; CorruptError if one does not exist."""
        waiting = list(starts)
        seen = set(waiting)
        while waiting:
            for name in self._sources[waiting.pop()]:
                if name not in seen:
                    if name not in self._sources:
                        list(self._meta.graph.ancestors(seen))  # raises, and names the node and its input
                    seen.add(name)
                    waiting.append(name)
        return seen

    def _makes_resource(self, op: str) -> bool:
        """Whether an op makes a table or another resource that is not a variable."""
        if op not in self._makes:
            functions = self._meta.graph.functions
            # A variable is restored before a signature runs. The nodes that take its handle and assign it
            # initialise or train it, so they are not followed as those that fill a table are.
            known = None if op in VARIABLE_OPS or op in functions else functions.op(op)
            self._makes[op] = op in _TABLES or (
                known is not None
                and any(out.type == messages.DataType.DT_RESOURCE for out in known.output_arg)
            )
        return self._makes[op]

    def _reach(self, needed: set[str]) -> Reach:
        functions = self._meta.graph.functions
        variables = tuple(name for name in self._variables if name in needed)
        assets = tuple(
            asset.filename for asset in self._assets.values() if parse_output(asset.tensor).node in needed
        )
        called = (other for name, others in self._calls.items() if name in needed for other in others)
        reached = functions.reached_from(called)
        return Reach(
            variables, self._nbytes(variables), assets, tuple(name for name in functions if name in reached)
        )

    def _nbytes(self, variables: Iterable[str]) -> int | None:
        # Several variables may share a tensor, or a part of one: each source counts once.
        total = 0
        sources = {self._variables[name] for name in variables}
        if self._entries is None:
            return None if sources else 0
        for source in sources:
            entry = self._entries.get(source.name)
            if entry is None:
                continue
            if source.region is None or entry.dtype.itemsize is None:
                total += entry.nbytes
            else:
                total += math.prod(stop - start for start, stop in source.region) * entry.dtype.itemsize
        return total


def _node_of(text: str) -> str:
    # Most inputs are plain names of nodes, and parsing them would take most of the time.
    return text if ":" not in text and text[:1] != "^" else parse_output(text).node


def _tensors(info: TensorInfo) -> Iterator[str]:
    """The tensors, ``node:k``, that an input or output of a signature consists of."""
    tensor = info.tensor
    if isinstance(tensor, str):
        yield tensor
    elif isinstance(tensor, SparseTensor):
        yield from tensor
    elif isinstance(tensor, CompositeTensor):
        for component in tensor.components:
            yield from _tensors(component)
