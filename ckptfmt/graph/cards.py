"""Cards: graphs, nodes and what belongs to them, as notebooks show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ckptfmt.dtypes import DType
from ckptfmt.graph.node import GraphNode, OutputName
from ckptfmt.notebook.card import Card, Cell, Fact, Table
from ckptfmt.text.printing import shape_text

MAX_SCANNED = 50_000
"""Nodes up to which a card looks at all of them, for inputs, outputs and the counts of ops."""


class Versioned(Protocol):
    """The versions of a graph."""

    @property
    def producer(self) -> int:
        """The version that wrote it."""


class Nodes(Protocol):
    """Nodes by name."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, name: str) -> GraphNode: ...


class Shown(Nodes, Protocol):
    """A graph."""

    file: str | None

    def tensors(self, name: str) -> Iterator[Any]:
        """Iterate over the outputs of a node."""

    @property
    def ops(self) -> Mapping[str, int]:
        """Number of nodes of each op."""

    @property
    def custom_ops(self) -> Mapping[str, int]:
        """Number of nodes of each op that TensorFlow does not have."""

    @property
    def versions(self) -> Versioned:
        """Its versions."""

    @property
    def functions(self) -> Mapping[str, Any]:
        """The functions, by name."""

    @property
    def inputs(self) -> Sequence[GraphNode]:
        """The nodes that are fed."""

    @property
    def outputs(self) -> Sequence[GraphNode]:
        """The nodes that are fetched."""

    @property
    def variables(self) -> Sequence[GraphNode]:
        """The variables."""


def graph_card(graph: Shown) -> Card:
    """Return the card of a graph. No constant is decoded."""

    def tensors(nodes: Callable[[], Sequence[GraphNode]]) -> Callable[[], Sequence[GraphNode]]:
        return lambda: nodes() if len(graph) <= MAX_SCANNED else ()

    def cells(node: GraphNode) -> list[Cell]:
        first = next(graph.tensors(node.name), None)
        if first is None:
            return [node.name, node.op, None, None]
        return [node.name, node.op, dtype_text(first.dtype), shape_text(first.shape)]

    columns = ("name", "op", "dtype", "shape")
    parts = [
        Table("Inputs", columns, tensors(lambda: graph.inputs), cells, is_open=True),
        Table("Outputs", columns, tensors(lambda: graph.outputs), cells, is_open=True),
        Table("Variables", columns, tensors(lambda: graph.variables), cells),
        nodes_table("Nodes", lambda: graph),
        counts_table("Ops", lambda: graph.ops if len(graph) <= MAX_SCANNED else {}),
        counts_table("Ops that TensorFlow does not have", lambda: _few(graph)),
        functions_table(lambda: graph.functions),
    ]
    facts: list[tuple[str, Fact]] = [
        ("nodes", len(graph)),
        ("functions", lambda: len(graph.functions) or None),
        ("GraphDef version", lambda: str(graph.versions.producer)),
    ]
    return Card("Graph", graph.file or "", facts, parts)


def _few(graph: Shown) -> Mapping[str, int]:
    return graph.custom_ops if len(graph) <= MAX_SCANNED else {}


def nodes_table(title: str, nodes: Callable[[], Nodes]) -> Table:
    """Return the table of nodes by name."""

    def cells(name: str) -> list[Cell]:
        node = nodes()[name]
        return [name, node.op, _inputs(node)]

    return Table(title, ("name", "op", "inputs"), nodes, cells)


def _inputs(node: GraphNode) -> str:
    shown = ", ".join(map(input_text, node.inputs[:4]))
    return f"{shown}, …" if len(node.inputs) > 4 else shown


def input_text(output: OutputName) -> str:
    """Return the name of a tensor as files have it: output 0 of a node by the name of the node alone."""
    return output.node if not output.number and output.name is None else str(output)


def counts_table(title: str, counts: Callable[[], Mapping[str, int]]) -> Table:
    """Return the table of counts, the greatest first."""
    return Table(
        title,
        ("op", "nodes"),
        lambda: sorted(counts().items(), key=lambda pair: (-pair[1], pair[0])),
        lambda pair: pair,
    )


def functions_table(functions: Callable[[], Mapping[str, Any]]) -> Table:
    """Return the table of the functions of a library, by name."""

    def cells(name: str) -> list[Cell]:
        function = functions()[name]
        return [name, arguments_text(function.inputs), arguments_text(function.outputs)]

    return Table("Functions", ("name", "takes", "returns"), functions, cells)


def arguments_text(arguments: Iterable[Any]) -> str:
    """Return arguments in a line: ``x float32, y int64``."""
    return ", ".join(f"{each.name} {dtype_text(each.dtype)}".strip() for each in arguments)


def dtype_text(dtype: DType | None) -> str:
    """Return the name of a dtype; nothing if it is not known."""
    return "" if dtype is None else dtype.name
