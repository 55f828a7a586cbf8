"""Graphs: the nodes of a GraphDef by name, and how they hang together.

Walks are iterative and visit each node once: graphs may have loops, and be as deep as they are long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from ckptfmt.errors import CorruptError, TensorNotFoundError
from ckptfmt.graph.constants import Constants
from ckptfmt.graph.function import Functions
from ckptfmt.graph.node import Node, Output, parse_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.proto import messages

PLACEHOLDERS = frozenset(("Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "_Arg", "Arg"))
"""Ops that a value is fed to."""

_COMPARED_NAMES = 1_000
"""A name that is not there is compared with at most this many."""


class Versions(NamedTuple):
    """Which TensorFlow wrote a graph, and which can read it, as numbers of GraphDef versions."""

    producer: int
    """Version of what wrote it; 0 before there were versions."""
    min_consumer: int
    """The oldest version that may read it."""
    bad_consumers: tuple[int, ...]
    """Versions that must not."""


class Graph(Mapping[str, Node]):
    """The nodes of a graph by name, in the order of the file."""

    def __init__(
        self,
        message: messages.GraphDef,
        file: str | None = None,
        ops: Mapping[str, messages.OpDef] | None = None,
    ) -> None:
        """Take a GraphDef; ``ops`` are definitions of operations that are not TensorFlow's own.

        Raises CorruptError where two nodes have one name.
        """
        self.message = message
        """The GraphDef. The graph shows what it had at first."""
        self.file = file
        """The file it was read from."""
        self._ops = ops or {}
        self._nodes = {node.name: node for node in message.node}
        if len(self._nodes) < len(message.node):
            ((name, count),) = Counter(node.name for node in message.node).most_common(1)
            raise CorruptError(f"{count} nodes are named {name!r}", file=file)

    def __getitem__(self, name: str) -> Node:
        """Return a node; TensorNotFoundError, a KeyError, where there is none of that name."""
        node = self._nodes.get(name)
        if node is None:
            raise self._not_found(name)
        return Node(node)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def _not_found(self, name: str) -> TensorNotFoundError:
        if not isinstance(name, str):
            raise TypeError(f"name of a node: got {name!r}, want a str")
        names = self._nodes
        last = name.rpartition("/")[2]
        near = [known for known in names if known.endswith(last)] if len(names) > _COMPARED_NAMES else names
        close = get_close_matches(name[:500], list(near)[:_COMPARED_NAMES])
        return TensorNotFoundError(name, file=self.file or "graph", noun="node", close_matches=close)

    def tensor(self, name: str) -> Output:
        """Return the output ``node:k``, of ``node`` output 0; TensorNotFoundError where there is none."""
        output = parse_output(name)
        if output.node not in self._nodes or name.startswith("^"):
            raise self._not_found(output.node)
        return output

    # --- what is in it -----------------------------------------------------------------------------------

    @property
    def ops(self) -> Counter[str]:
        """How many nodes there are of each operation."""
        return Counter(node.op for node in self.message.node)

    @property
    def versions(self) -> Versions:
        """Which TensorFlow wrote it, and which can read it."""
        versions = self.message.versions
        return Versions(
            versions.producer or self.message.version, versions.min_consumer, tuple(versions.bad_consumers)
        )

    @cached_property
    def functions(self) -> Functions:
        """The functions of its library, by name."""
        return Functions(self.message.library, self.file)

    @property
    def custom_ops(self) -> Counter[str]:
        """How many nodes there are of operations that neither TensorFlow 2.21 nor the library has.

        Nodes in the bodies of functions are counted too.
        """
        bodies = (node for function in self.message.library.function for node in function.node_def)
        every = (node.op for node in chain(self.message.node, bodies))
        return Counter(op for op in every if op not in known_ops() and op not in self.functions)

    @cached_property
    def constants(self) -> Constants:
        """The values of all constants, by the names of their nodes: a frozen graph as a store of tensors."""
        constants = {name: node for name, node in self._nodes.items() if node.op == "Const"}
        return Constants(constants, self.file)

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes that values are fed to: placeholders."""
        return tuple(Node(node) for node in self.message.node if node.op in PLACEHOLDERS)

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The nodes that no other one needs, and that have something to fetch."""
        return tuple(
            Node(node)
            for node in self.message.node
            if not self._consumers.get(node.name) and self._has_outputs(node)
        )

    def _has_outputs(self, node: messages.NodeDef) -> bool:
        if node.op in self.functions:
            return bool(self.functions[node.op].outputs)
        known = self._ops.get(node.op) or known_ops().get(node.op)
        return known is None or bool(known.output_arg)

    # --- walks -------------------------------------------------------------------------------------------

    @cached_property
    def _consumers(self) -> dict[str, list[str]]:
        """Names of the nodes that take an output of a node, or run after it, once each."""
        consumers: dict[str, list[str]] = {}
        for node in self.message.node:
            for name in dict.fromkeys(parse_output(text).node for text in node.input):
                consumers.setdefault(name, []).append(node.name)
        return consumers

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that take an output of a node, or run after it."""
        self[name]  # it must be there
        return tuple(Node(self._nodes[consumer]) for consumer in self._consumers.get(name, ()))

    def ancestors(self, names: str | Iterable[str], *, control: bool = True) -> Iterator[Node]:
        """Iterate over nodes, and all that is needed to run them, each once.

        Parameters
        ----------
        names
            Nodes or their outputs, from which to start.
        control
            Whether to follow control inputs too.

        Raises
        ------
        TensorNotFoundError
            There is no node of a name.
        CorruptError
            A node takes its input from one that is not there.
        """

        def needed(node: messages.NodeDef) -> Iterator[str]:
            for text in node.input:
                if control or not text.startswith("^"):
                    yield parse_output(text).node

        return self._walk(names, needed)

    def descendants(self, names: str | Iterable[str]) -> Iterator[Node]:
        """Iterate over nodes, and all that need them, each once; as :meth:`ancestors`."""
        return self._walk(names, lambda node: self._consumers.get(node.name, ()))

    def _walk(
        self, names: str | Iterable[str], following: Callable[[messages.NodeDef], Iterable[str]]
    ) -> Iterator[Node]:
        starts = [names] if isinstance(names, str) else names
        waiting = [self.tensor(name).node for name in starts][::-1]
        seen = set(waiting)
        while waiting:
            node = self._nodes[waiting.pop()]
            yield Node(node)
            fresh = [name for name in dict.fromkeys(following(node)) if name not in seen]
            absent = next((name for name in fresh if name not in self._nodes), None)
            if absent is not None:
                raise CorruptError(
                    f"node {node.name!r} ({node.op}) takes its input from {absent!r}, which is not there",
                    file=self.file,
                )
            seen.update(fresh)
            waiting += reversed(fresh)

    def __repr__(self) -> str:
        where = f" {self.file!r}" if self.file else ""
        return f"<Graph{where}, {len(self)} nodes, {len(self.functions)} functions>"

    # Comparing two graphs as mappings would compare their messages one by one.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.message == other.message

    __hash__ = None  # type: ignore[assignment]
