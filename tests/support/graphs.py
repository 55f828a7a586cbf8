"""Graphs that several tests take apart."""

from __future__ import annotations

from ckptfmt.proto import messages


def varied_graph() -> messages.GraphDef:
    """A graph with fields of every wire type, packed numbers, maps and messages within messages."""
    graph = messages.GraphDef(version=300)
    for number in range(3):
        node = graph.node.add(name=f"n{number}", op="Const", input=["a", "größe"])
        node.attr["value"].tensor.tensor_content = b"x" * 200
        node.attr["value"].tensor.tensor_shape.dim.add(size=200)
        node.attr["numbers"].list.i.extend([1, 2, 300])
        node.attr["numbers"].list.f.extend([0.5, 1.5])
        node.attr["f"].f = 1.5
    function = graph.library.function.add()
    function.signature.name = "f"
    function.attr["g"].func.attr["deep"].s = b"bytes"
    return graph
