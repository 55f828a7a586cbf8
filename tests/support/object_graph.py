"""Serialized object graphs, valid or not, and the laws that hold of every graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ckptfmt import ObjectGraph
from tests.support.table_writer import encode_field


def encode_node(
    children: Iterable[tuple[int, str | bytes]] = (),
    attributes: Iterable[tuple[str | bytes, str | bytes, str | bytes]] = (),
    slots: Iterable[tuple[int, str, int]] = (),
    saver: tuple[str, str] | None = None,
) -> bytes:
    """Return a TrackableObject.

    Parameters
    ----------
    children
        Node number and name of each child.
    attributes
        Name, full name and checkpoint key of each attribute.
    slots
        Node number of the variable, name, and node number of the slot variable, of each slot.
    saver
        Name and object name of the registered saver.
    """
    out = [encode_field(1, encode_field(1, number) + _text(2, name)) for number, name in children]
    out += [
        encode_field(2, b"".join(_text(i, text) for i, text in enumerate(each, 1))) for each in attributes
    ]
    for variable, name, node in slots:
        out.append(encode_field(3, encode_field(1, variable) + _text(2, name) + encode_field(3, node)))
    if saver is not None:
        out.append(encode_field(4, _text(1, saver[0]) + _text(2, saver[1])))
    return b"".join(out)


def _text(number: int, text: str | bytes) -> bytes:
    return encode_field(number, text.encode() if isinstance(text, str) else text)


def encode_variable(key: str, full_name: str = "Variable") -> bytes:
    """Return the node of a variable that is stored under a path."""
    return encode_node(attributes=[("VARIABLE_VALUE", full_name, f"{key}/.ATTRIBUTES/VARIABLE_VALUE")])


def encode_graph(nodes: Iterable[bytes]) -> bytes:
    """Return a TrackableObjectGraph of nodes."""
    return b"".join(encode_field(1, node) for node in nodes)


def check_laws(graph: ObjectGraph, keys: Sequence[str]) -> None:
    """Assert the laws of every object graph, given the keys of the checkpoint."""
    stored = set(keys) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    reached = [key for node in graph.nodes for key in node.keys]
    assert len(reached) == len(set(reached)), "a key belongs to two attributes"
    assert stored == {*reached, *graph.unreached}
    assert not set(reached) & set(graph.unreached)
    assert set(graph.nodes_by_key) == set(reached)
    assert not stored & set(graph.absent)
    for node in graph.nodes:
        for key in node.keys:
            assert graph.nodes_by_key[key] == graph.node_of(key) == node

    # Iteration: every node once.
    numbers = [node.id for node in graph]
    assert sorted(numbers) == list(range(len(graph)))

    # A walk visits all nodes that children and slots lead to; only the first visit of a node descends.
    reachable = {0}
    todo = [graph.root]
    while todo:
        node = todo.pop()
        for other in (*node.children.values(), *(slot.node for slot in node.slot_variables)):
            if other.id not in reachable:
                reachable.add(other.id)
                todo.append(other)
    met: set[int] = set()
    depth = -1
    for visit in graph.walk():
        assert visit.first == (visit.node.id not in met)
        assert visit.depth <= depth + 1
        depth = visit.depth if visit.first else visit.depth - 1
        met.add(visit.node.id)
    # It also enters nodes that a later child of the same name hides, and no path leads to these.
    assert met >= reachable
    assert all(graph.nodes[number].path is None for number in met - reachable)
