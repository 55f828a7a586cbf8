"""Origins: the outputs that inputs come from, before the nodes that only pass them on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.graph.node import OutputName, parse_function_output, parse_output
from ckptfmt.proto import messages

_PASSING = frozenset({"Identity", "IdentityN", "Enter", "RefEnter", "RefIdentity"})
"""Ops whose output k is their input k."""


class NodeOutput(NamedTuple):
    """One output of a node that an input comes from."""

    node: messages.NodeDef
    number: int


class Origins:
    """The nodes of a graph or of a function, and where their inputs come from.

    Raises CorruptError from all methods if an input does not exist.
    """

    def __init__(self, nodes: Iterable[messages.NodeDef], file: str, *, in_function: bool = False) -> None:
        self.file = file
        self._parse = parse_function_output if in_function else parse_output
        self.nodes = {node.name: node for node in nodes}
        self._origins: dict[tuple[str, int], OutputName] = {}

    def node(self, name: str) -> messages.NodeDef:
        """Return a node by name."""
        node = self.nodes.get(name)
        if node is None:
            raise CorruptError(f"graph has no node {name!r}", file=self.file)
        return node

    def input(self, node: messages.NodeDef, index: int) -> NodeOutput:
        """Return the output that an input of a node comes from, before the ops that only pass it on."""
        origin = self.origin(node, index)
        return NodeOutput(self.node(origin.node), origin.number)

    def origin(self, node: messages.NodeDef, index: int) -> OutputName:
        """Return the same as :meth:`input`, by name: the output of a node or, in a function, an argument."""
        return self.origin_of(*self._input_name(node, index))

    def origin_of(self, name: str, output: int) -> OutputName:
        """Return the output that an output comes from: itself, unless its node only passes it on."""
        passed = []
        while (origin := self._origins.get((name, output))) is None:
            source = self.nodes.get(name)
            if source is None or source.op not in _PASSING:
                origin = OutputName(name, output)
                break
            # The origin is kept for all outputs on the way, which other inputs may share, so that a long
            # chain is walked once. Until it is known, each of them counts as its own origin, which ends the
            # walk if the chain is a cycle.
            passed.append((name, output))
            self._origins[name, output] = OutputName(name, output)
            name, output = self._input_name(source, output if source.op == "IdentityN" else 0)
        for each in passed:
            self._origins[each] = origin
        return origin

    def _input_name(self, node: messages.NodeDef, index: int) -> tuple[str, int]:
        if index >= len(node.input) or node.input[index].startswith("^"):
            raise CorruptError(f"node {node.name!r} ({node.op}) has no input {index}", file=self.file)
        return self._parse(node.input[index])[:2]
