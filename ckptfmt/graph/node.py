"""Nodes: one operation of a graph, where its inputs come from, and its attributes.

::

    input        in a graph                          in the body of a function
    name         output 0 of a node                  an argument of the function
    name:k       output k of a node
    name:out:k                                       number k of the output "out" of a node
    ^name        runs before: a control input        the same

Source: TensorFlow ``core/framework/node_def_util.h``, ``core/framework/function.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import chain, count
from typing import NamedTuple

from ckptfmt.graph.attributes import Attributes
from ckptfmt.graph.outline import Outline
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages

_INDEX = re.compile(r"[0-9]{1,18}")


class OutputName(NamedTuple):
    """One output of a node: a tensor."""

    node: str
    """Name of the node; in the body of a function it may be an argument."""
    number: int = 0
    """Number of the output, in a function's body among those named :attr:`name`."""
    name: str | None = None
    """In the body of a function, the op's name for the output; None for an argument, and in graphs."""

    def __str__(self) -> str:
        return ":".join([self.node, *([] if self.name is None else [self.name]), str(self.number)])


def parse_output(text: str) -> OutputName:
    """Return the output that ``name`` or ``name:k`` names in a graph; a ``^`` before it is ignored."""
    text = text.removeprefix("^")
    name, _, index = text.rpartition(":")
    return OutputName(name, int(index)) if name and _INDEX.fullmatch(index) else OutputName(text)


def parse_function_output(text: str) -> OutputName:
    """Return the output that ``arg`` or ``name:out:k`` names in the body of a function."""
    text = text.removeprefix("^")
    node, _, rest = text.partition(":")
    name, _, index = rest.rpartition(":")
    return OutputName(node, int(index), name) if name and _INDEX.fullmatch(index) else parse_output(text)


def free_name(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken: this one or, if it is, with ``_1``, ``_2`` … appended."""
    candidates = chain([name], (f"{name}_{number}" for number in count(1)))
    return next(candidate for candidate in candidates if candidate not in taken)


class GraphNode:
    """One node of a graph, or of the body of a function."""

    __slots__ = ("_outline", "_outlined", "file", "in_function")

    def __init__(
        self,
        message: messages.NodeDef,
        *,
        in_function: bool = False,
        outline: Outline | None = None,
        file: str | None = None,
    ) -> None:
        """Take a NodeDef; if it belongs to an ``outline``, it may lack the bytes of a large constant."""
        self.in_function = in_function
        """Whether it belongs to the body of a function, in which inputs are written in another way."""
        self.file = file
        """The file it was read from, or None."""
        self._outlined = message
        self._outline = outline

    @property
    def message(self) -> messages.NodeDef:
        """The NodeDef."""
        if self._outline is not None:
            self._outline.complete(self._outlined.name)
        return self._outlined

    @property
    def name(self) -> str:
        """Name of the node, scopes separated by slashes."""
        return self._outlined.name

    @property
    def op(self) -> str:
        """Name of its operation, or of the function that it calls."""
        return self._outlined.op

    @property
    def device(self) -> str:
        """The device that it is placed on; empty if none was requested."""
        return self._outlined.device

    @property
    def inputs(self) -> tuple[OutputName, ...]:
        """The tensors it takes, in order, without control inputs."""
        parse = parse_function_output if self.in_function else parse_output
        return tuple(parse(text) for text in self._outlined.input if not text.startswith("^"))

    @property
    def control_inputs(self) -> tuple[str, ...]:
        """Names of the nodes that run before it."""
        return tuple(text[1:] for text in self._outlined.input if text.startswith("^"))

    @property
    def attributes(self) -> Attributes:
        """The attributes of the node by name, as Python values."""
        return Attributes(self.message.attr, owner=f"node {self.name!r}", file=self.file)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphNode) and self.message == other.message

    __hash__ = None  # type: ignore[assignment]  # messages change

    def __reduce__(self) -> tuple[object, ...]:
        # As bytes: pickle may not find the class of the message.
        return _from_bytes, (self.message.SerializeToString(), self.in_function, self.file)

    def __repr__(self) -> str:
        return f"<GraphNode {self.name!r} {self.op}>"

    def _card(self) -> Card:
        # Not the message, into which the bytes of a large constant would be copied.
        attributes = Attributes(self._outlined.attr, owner=f"node {self.name!r}", file=self.file)
        inputs = Table(
            "Inputs", ("tensor",), lambda: self._outlined.input, lambda name: (name,), is_open=True
        )
        facts = ("op", self.op), ("device", self.device or None)
        return Card("GraphNode", self.name, facts, [inputs, attributes._table()])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def _from_bytes(data: bytes, in_function: bool, file: str | None) -> GraphNode:
    return GraphNode(messages.NodeDef.FromString(data), in_function=in_function, file=file)
