"""Graphs in which several nodes have one name: shown as they are, and repaired."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import errors
from ckptfmt.proto import messages
from tests.support.command_line import run, run_json


def add_const(graph: messages.GraphDef, name: str, values: np.ndarray) -> None:
    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = 1
    tensor = node.attr["value"].tensor
    tensor.dtype, tensor.tensor_content = 1, values.tobytes()
    tensor.tensor_shape.dim.add(size=len(values))


def identical() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    for _ in range(2):
        # NaN: a message that has one is not equal to itself.
        add_const(graph, "w", np.full(20_000, math.nan, np.float32))
    graph.node[0].attr["nan"].f = graph.node[1].attr["nan"].f = math.nan
    graph.node.add(name="y", op="Identity", input=["w"]).attr["T"].type = 1
    return graph


def different() -> messages.GraphDef:
    graph = identical()
    add_const(graph, "w", np.arange(20_000, dtype=np.float32))
    return graph


def test_names_lead_to_the_first_and_all_are_listed() -> None:
    data = different().SerializeToString()
    graph = ckptfmt.read_graph(data)
    assert list(graph) == ["w", "y"]
    assert graph.ops["Const"] == 3
    assert graph.duplicates.keys() == {"w"}
    values = [node.attributes["value"] for node in graph.duplicates["w"]]
    np.testing.assert_array_equal(values[2], np.arange(20_000))
    np.testing.assert_array_equal(graph.constants["w"], values[0])
    np.testing.assert_array_equal(graph["w"].attributes["value"], values[0])
    # All of it is written: looking at a graph does not repair it.
    assert messages.GraphDef.FromString(graph.to_bytes()) == messages.GraphDef.FromString(data)
    assert len(pickle.loads(pickle.dumps(graph)).duplicates["w"]) == 3
    assert graph.clear_devices().duplicates.keys() == {"w"}
    assert ckptfmt.read_graph(graph.without_duplicates("first").to_bytes()).duplicates == {}


def test_one_of_identical_nodes_stays_and_different_ones_need_a_choice() -> None:
    assert [node.name for node in ckptfmt.Graph(identical()).without_duplicates().message.node] == ["w", "y"]
    graph = ckptfmt.Graph(different(), "g.pb")
    with pytest.raises(
        errors.GraphError, match=r"g\.pb: nodes or functions of one name differ: 'w'; keep the"
    ):
        graph.without_duplicates()
    with pytest.raises(ValueError, match="keep: got 'both'"):
        graph.without_duplicates("both")  # type: ignore[arg-type]
    first, last = graph.without_duplicates("first"), graph.without_duplicates("last")
    assert ([*first], [*last]) == (["w", "y"], ["y", "w"])
    assert np.isnan(first.constants["w"]).all()
    np.testing.assert_array_equal(last.constants["w"], np.arange(20_000))
    same = ckptfmt.Graph(last.message).without_duplicates()
    assert same == last


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.extract_subgraph("y"),
        lambda graph: graph.strip_unused("w", "y"),
        lambda graph: graph.remove_training_nodes(),
        lambda graph: graph.prefixed("a"),
        lambda graph: graph.with_inputs({"w": "x"}),
        lambda graph: graph.with_constants({"w": 1.0}),
        lambda graph: graph.merge(ckptfmt.Graph(messages.GraphDef())),
        lambda graph: ckptfmt.freeze(graph, {}, "y"),
    ],
)
def test_no_graph_is_made_from_one_with_duplicates(change: Callable[[ckptfmt.Graph], object]) -> None:
    with pytest.raises(
        errors.GraphError, match=r"2 nodes have this name; without_duplicates\(\) keeps one"
    ) as caught:
        change(ckptfmt.Graph(identical()))
    assert caught.value.node == "w"


def library(*functions: messages.FunctionDef) -> ckptfmt.Graph:
    graph = messages.GraphDef()
    graph.library.function.extend(functions)
    return ckptfmt.Graph(graph)


def function(*ops: str) -> messages.FunctionDef:
    message = messages.FunctionDef()
    message.signature.name = "f"
    for op in ops:
        message.node_def.add(name="n", op=op)
    return message


def test_functions_and_their_nodes_are_repaired_too() -> None:
    # TensorFlow accepts a function that is stored twice.
    twice = library(function("NoOp"), function("NoOp"))
    assert len(twice.functions) == 1
    assert len(twice.without_duplicates().message.library.function) == 1
    differing = library(function("NoOp"), function("Other"))
    with pytest.raises(errors.CorruptError, match="several functions have the same name: 'f'"):
        len(differing.functions)
    assert differing.without_duplicates("last").functions["f"].nodes["n"].op == "Other"
    body = library(function("NoOp", "Other"))
    with pytest.raises(errors.CorruptError, match="function 'f': 2 nodes are named 'n'"):
        body.functions["f"].nodes["n"]
    assert body.without_duplicates("first").functions["f"].nodes["n"].op == "NoOp"
    with pytest.raises(errors.GraphError, match="differ: 'n'"):
        body.without_duplicates()
    # Outputs of one name in several functions are no duplicates.
    other = function("Other")
    other.signature.name = "g"
    assert len(library(function("NoOp"), other).without_duplicates().functions) == 2


def test_the_command_line_shows_and_repairs(tmp_path: Path) -> None:
    path, out = tmp_path / "graph.pb", tmp_path / "out.pb"
    path.write_bytes(different().SerializeToString())
    result = run("graph", path)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split() == ["nodes", "4"]
    assert result.stderr == "ckptfmt: 3 different nodes are named 'w', which TensorFlow refuses\n"
    assert run("graph", path, "--nodes", "*").stdout == "w\tConst\t\n" * 3 + "y\tIdentity\tw:0\n"
    assert run("graph", path, "--without-duplicates").exit_code == 2
    shown = run_json("graph", path, "--keep-duplicate", "last")
    assert (shown["nodes"], shown["duplicates"]) == (2, {})
    assert json.loads(run("graph", path, "--json").stdout)["duplicates"] == {"w": 3}
    assert run("subgraph", path, "-o", out, "--outputs", "y").exit_code == 2
    assert run("subgraph", path, "-o", out, "--outputs", "y", "--keep-duplicate", "last").exit_code == 0
    np.testing.assert_array_equal(ckptfmt.read_graph(out).constants["w"], np.arange(20_000))
    path.write_bytes(identical().SerializeToString())
    assert "2 identical nodes are named 'w'" in run("graph", path).stderr
    assert run("graph", path, "--to", "pbtxt", "--without-duplicates").stderr == ""
    assert run("subgraph", path, "-o", out, "--outputs", "y", "--overwrite").exit_code == 0


@pytest.mark.tensorflow
def test_tensorflow_refuses_the_graph_and_takes_the_repaired_one(tensorflow: Any) -> None:
    tf1 = tensorflow.compat.v1
    graph = ckptfmt.Graph(identical())
    with tensorflow.Graph().as_default(), pytest.raises(ValueError, match="not unique"):
        tf1.import_graph_def(tf1.GraphDef.FromString(graph.to_bytes()))
    repaired = graph.without_duplicates().message
    for node in repaired.node:
        node.attr.pop("nan", None)
    with tensorflow.Graph().as_default():
        tf1.import_graph_def(tf1.GraphDef.FromString(repaired.SerializeToString()), name="")
        with tf1.Session() as session:
            assert np.isnan(session.run("y:0")).all()
