"""Duplicates: nodes of one name, and functions of one name.

TensorFlow refuses such nodes ("Node 'x' is not unique"), and functions of one name that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

from ckptfmt.errors import GraphError
from ckptfmt.proto import messages
from ckptfmt.text.quoting import listed

Keep: TypeAlias = Literal["first", "last"]
"""Which of different nodes, or functions, of one name is kept."""

T = TypeVar("T", messages.NodeDef, messages.FunctionDef)


def find_duplicates(items: Sequence[T], name_of: Callable[[T], str]) -> dict[str, list[int]]:
    """Return the positions of items by their names, for names that several items have."""
    places: dict[str, list[int]] = {}
    for position, item in enumerate(items):
        places.setdefault(name_of(item), []).append(position)
    return {name: positions for name, positions in places.items() if len(positions) > 1}


def drop_duplicates(graph: messages.GraphDef, keep: Keep | None, file: str | None) -> messages.GraphDef:
    """Return a graph in which all nodes, those of each function, and all functions have names of their own.

    The first of identical ones stays, and the first or the last of different ones, as ``keep`` says; the
    order is that of the graph. Raises GraphError if some differ and ``keep`` is None.
    """
    new = messages.GraphDef()
    new.CopyFrom(graph)
    differing: list[str] = []
    for function in new.library.function:
        nodes = _unique(function.node_def, _node_name, keep, differing)
        if len(nodes) < len(function.node_def):
            function.ClearField("node_def")
            function.node_def.extend(nodes)
    functions = _unique(new.library.function, _function_name, keep, differing)
    if len(functions) < len(new.library.function):
        new.library.ClearField("function")
        new.library.function.extend(functions)
    nodes = _unique(new.node, _node_name, keep, differing)
    if len(nodes) < len(new.node):
        new.ClearField("node")
        new.node.extend(nodes)
    if differing and keep is None:
        what = (
            f"nodes or functions of one name differ: {listed(differing)}; keep the first or the last of each"
        )
        raise GraphError(what, file=file)
    return new


def _unique(
    items: Sequence[T], name_of: Callable[[T], str], keep: Keep | None, differing: list[str]
) -> list[T]:
    """Return copies of the items that stay, or the items if all do; note the names of those that differ."""
    dropped: set[int] = set()
    for name, positions in find_duplicates(items, name_of).items():
        if len({items[position].SerializeToString(deterministic=True) for position in positions}) > 1:
            differing.append(name)
        dropped.update(positions[:-1] if keep == "last" else positions[1:])
    if not dropped:
        return list(items)
    return [_copy(item) for position, item in enumerate(items) if position not in dropped]


def _copy(item: T) -> T:
    # A copy, because the list that the item is in is cleared.
    new = type(item)()
    new.CopyFrom(item)
    return new


def _node_name(node: messages.NodeDef) -> str:
    return node.name


def _function_name(function: messages.FunctionDef) -> str:
    return function.signature.name
