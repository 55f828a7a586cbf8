"""Variables that stay variables in a frozen graph, and those that no Saver tells the names of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import GraphError
from ckptfmt.proto import messages

RESOURCE = messages.DataType.DT_RESOURCE
VALUES = {"net/w": np.array([1, 2], np.float32), "net/b": np.array([3, 4], np.float32)}


def new_graph(names: tuple[str, ...] = ("net/w", "net/b", "unused")) -> messages.GraphDef:
    """A graph that reads variables, and in which no output needs the last one."""
    graph = messages.GraphDef()
    for name in names:
        v = graph.node.add(name=name, op="VarHandleOp")
        v.attr["dtype"].type = 1
        v.attr["shape"].shape.dim.add(size=2)
        read = graph.node.add(name=f"{name}/read", op="ReadVariableOp", input=[name])
        read.attr["dtype"].type = 1
    add = graph.node.add(name="out", op="AddN", input=[f"{name}/read" for name in names[:2]])
    add.attr["T"].type = 1
    return graph


def kept(graph: messages.GraphDef, variables: dict[str, Any] = VALUES, **options: Any) -> list[str]:
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), variables, "out", **options)
    assert {node.name for node in frozen.variables} | set(frozen.constants) == {"net/w", "net/b"}
    for name in ("net/w", "net/b"):
        is_kept = name in {node.name for node in frozen.variables}
        assert frozen[f"{name}/read"].op == ("ReadVariableOp" if is_kept else "Identity")
    return [node.name for node in frozen.variables]


def test_variables_stay_by_name_by_glob_and_by_regular_expression() -> None:
    graph = new_graph()
    assert kept(graph) == []
    assert kept(graph, keep="net/b") == kept(graph, keep=["net/b:0"]) == ["net/b"]
    assert kept(graph, keep=["net/*"]) == ["net/w", "net/b"]
    assert kept(graph, keep=re.compile("b$")) == ["net/b"]
    assert kept(graph, only="net/w") == kept(graph, only=["net/w", "unused"]) == ["net/b"]
    assert kept(graph, only=[]) == ["net/w", "net/b"]
    assert kept(graph, only="net/*", keep="net/w") == ["net/w"]
    # What stays needs no value, and what no output needs may be named.
    assert kept(graph, {"net/w": VALUES["net/w"]}, keep=["net/b", "unused"]) == ["net/b"]


@pytest.mark.parametrize("option", ["keep", "only"])
def test_a_name_that_no_variable_has_is_refused(option: str) -> None:
    graph = ckptfmt.Graph(new_graph())
    for pattern, message in (
        ("net/v", r"node 'net/v': not a variable of the graph; did you mean 'net/[bw]'"),
        ("out", "node 'out': not a variable of the graph"),
        ("other/*", r"node 'other/\*': not a variable of the graph"),
        (re.compile("^b"), r"no variable matches '\^b'"),
    ):
        options: Any = {option: ["net/w", pattern]}
        with pytest.raises(GraphError, match=message):
            ckptfmt.freeze(graph, VALUES, "out", **options)
    with pytest.raises(TypeError, match="want a glob"):
        ckptfmt.freeze(graph, VALUES, "out", keep=[1])  # type: ignore[list-item]


def test_a_variable_within_a_function_can_stay() -> None:
    graph = new_graph()
    function = graph.library.function.add()
    function.signature.name = "f"
    function.node_def.add(name="inner", op="VarHandleOp").attr["dtype"].type = 1
    graph.node.add(name="call", op="StatefulPartitionedCall").attr["f"].func.name = "f"
    with pytest.raises(GraphError, match="VarHandleOp within function 'f'"):
        ckptfmt.freeze(ckptfmt.Graph(graph), VALUES, "call")
    assert "call" in ckptfmt.freeze(ckptfmt.Graph(graph), VALUES, "call", keep="inner")


def test_a_variable_that_is_written_can_stay() -> None:
    graph = new_graph()
    graph.node.add(name="write", op="AssignVariableOp", input=["net/b", "net/w/read"])
    next(node for node in graph.node if node.name == "out").input.append("^write")
    with pytest.raises(GraphError, match="AssignVariableOp writes variable 'net/b'"):
        ckptfmt.freeze(ckptfmt.Graph(graph), VALUES, "out")
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), VALUES, "out", keep="net/b")
    assert frozen["write"].op == "AssignVariableOp"


def test_a_function_cannot_have_a_constant_in_one_call_and_a_variable_in_another() -> None:
    graph = new_graph()
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=RESOURCE)
    for name in ("net/w", "net/b"):
        call = graph.node.add(name=f"call_{name[-1]}", op="PartitionedCall", input=[name])
        call.attr["f"].func.name = "f"
        call.attr["Tin"].list.type.append(RESOURCE)
    graph.node.add(name="both", op="NoOp", input=["^call_w", "^call_b"])
    with pytest.raises(GraphError, match="is not a frozen variable in this call, as in another") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), VALUES, "both", keep="net/b")
    assert caught.value.node == "call_b"


# --- names of variables in the mapping -------------------------------------------------------------------


def test_variables_are_found_by_shared_names_and_by_names_of_tensors() -> None:
    graph = new_graph(("scope/w", "scope/b"))
    for node in graph.node:
        if node.op == "VarHandleOp":
            node.attr["shared_name"].s = node.name.replace("scope", "net").encode()
    for suffix in ("", ":0"):
        for scope in ("net", "scope"):
            values = {f"{scope}/{name}{suffix}": VALUES[f"net/{name}"] for name in "wb"}
            frozen = ckptfmt.freeze(ckptfmt.Graph(graph), values, "out")
            assert frozen.constants["scope/b"].tolist() == [3, 4]
    mixed = {"net/w": VALUES["net/w"], "scope/b:0": VALUES["net/b"]}
    with pytest.raises(GraphError, match="variable has no value: the mapping has no 'scope/w'"):
        ckptfmt.freeze(ckptfmt.Graph(graph), mixed, "out")


def with_parts(*shapes: tuple[int, ...]) -> messages.GraphDef:
    graph = messages.GraphDef()
    for i, shape in enumerate(shapes):
        v = graph.node.add(name=f"w/part_{i}", op="VariableV2")
        v.attr["dtype"].type = 1
        for size in shape:
            v.attr["shape"].shape.dim.add(size=size)
    return graph


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        (((2, 4), (1, 4)), [(slice(0, 2), slice(None)), (slice(2, 3), slice(None))]),
        (((3, 2), (3, 2)), [(slice(None), slice(0, 2)), (slice(None), slice(2, 4))]),
        (((3, 4),), [(slice(None), slice(None))]),
    ],
)
@pytest.mark.parametrize("suffix", ["", ":0"])
def test_parts_of_a_variable_are_found_by_their_shapes(
    shapes: tuple[tuple[int, ...], ...], parts: list[Any], suffix: str
) -> None:
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    graph = ckptfmt.Graph(with_parts(*shapes))
    for i, part in enumerate(parts):
        frozen = ckptfmt.freeze(graph, {f"w{suffix}": whole}, f"w/part_{i}")
        np.testing.assert_array_equal(frozen.constants[f"w/part_{i}"], whole[part])


@pytest.mark.parametrize("shapes", [((2, 4), (2, 4)), ((2, 4), (1, 3)), ((2, 4),), ((3,), (4,)), ((), ())])
def test_parts_that_do_not_fill_a_tensor_are_no_parts_of_it(shapes: tuple[tuple[int, ...], ...]) -> None:
    graph = ckptfmt.Graph(with_parts(*shapes))
    with pytest.raises(GraphError, match="variable has no value"):
        ckptfmt.freeze(graph, {"w": np.zeros((3, 4), np.float32)}, "w/part_0")
