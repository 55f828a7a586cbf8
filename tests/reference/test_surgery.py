"""Subgraphs, stripped, merged and renamed graphs are node for node those that TensorFlow makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, GraphError, NameConflictError
from ckptfmt.proto import messages
from tests.support.corpus import GRAPH_FILES, read_graphs
from tests.support.tensorflow_graphs import build_graph

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1
util = v1.graph_util


def ours(definition: Any) -> ckptfmt.Graph:
    return ckptfmt.Graph(messages.GraphDef.FromString(definition.SerializeToString()))


def theirs(graph: ckptfmt.Graph) -> Any:
    return v1.GraphDef.FromString(graph.to_bytes())


def nodes_of(definition: Any) -> list[bytes]:
    return [node.SerializeToString(deterministic=True) for node in definition.node]


@pytest.fixture
def definition(control_flow: int) -> Any:
    """A GraphDef with most of what one can hold."""
    return build_graph().as_graph_def()


@pytest.mark.parametrize("outputs", [["out"], ["y", "words"], ["halves", "layer/b"]], ids=" ".join)
def test_a_subgraph_has_the_nodes_that_its_outputs_need(definition: Any, outputs: list[str]) -> None:
    got = ours(definition).extract_subgraph(outputs)
    assert theirs(got) == util.extract_sub_graph(definition, outputs)
    assert ours(definition).extract_subgraph([f"{name}:0" for name in outputs]) == got


@pytest.mark.parametrize("protected", [[], ["out"], ["layer/w/read", "out"]], ids=len)
def test_training_nodes_are_removed(definition: Any, protected: list[str]) -> None:
    got = ours(definition).remove_training_nodes(protected)
    want = util.remove_training_nodes(definition, protected)
    assert nodes_of(got.message) == nodes_of(want)
    assert "out" in got or "out" not in protected


def test_checks_of_numbers_are_removed_as_training_nodes() -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [2], name="x")
        checked = v1.check_numerics(x, "no", name="check")
        with tf.control_dependencies([checked]):
            y = tf.add(x, 1.0, name="y")
        tf.identity(checked + y, name="out")
    got = ours(graph.as_graph_def()).remove_training_nodes("out")
    assert "check" not in got
    # TensorFlow drops the input of the sum that came through the check, so run the graph instead.
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(theirs(got), name="")
        assert session.run("out:0", {"x:0": [1.0, 2.0]}).tolist() == [3.0, 5.0]


@pytest.mark.parametrize("dtypes", [tf.float32, {"layer/w": "float32", "x": "float32"}, None])
def test_unused_nodes_are_stripped(definition: Any, dtypes: Any) -> None:
    from tensorflow.python.tools import strip_unused_lib

    got = ours(definition).strip_unused(["x", "layer/w"], ["y"], dtypes)
    want = strip_unused_lib.strip_unused(definition, ["x", "layer/w"], ["y"], tf.float32.as_datatype_enum)
    assert nodes_of(got.message) == nodes_of(want)  # it drops the library and the versions


def test_devices_are_cleared(definition: Any) -> None:
    got = ours(definition).clear_devices()
    assert any(node.device for node in definition.node)
    assert not any(node.device for node in got.values())
    for node in definition.node:
        node.device = ""
    assert nodes_of(got.message) == nodes_of(definition)


def test_imported_under_a_prefix_with_other_inputs_a_graph_is_as_tensorflow_imports_it(
    definition: Any,
) -> None:
    with tf.Graph().as_default() as target:
        new = v1.placeholder(tf.float32, [None, 3], name="new")
        tf.import_graph_def(definition, name="scope", input_map={"x:0": new})
    base = tf.Graph()
    with base.as_default():
        v1.placeholder(tf.float32, [None, 3], name="new")
    graph = ours(definition).imported("scope", {"x:0": "new:0"})
    together = ours(base.as_graph_def()).merge(graph)
    want = target.as_graph_def()
    assert set(together) == {node.name for node in want.node}
    for node in want.node:
        mine = together[node.name].message
        assert (mine.op, list(mine.input)) == (node.op, list(node.input)), node.name
        assert mine.attr["_class"].list.s == node.attr["_class"].list.s
    assert {f.signature.name for f in want.library.function} == set(together.functions)
    assert theirs(together).versions == want.versions


def test_the_graph_of_the_tutorial_takes_another_input() -> None:
    graph = tf.Graph()
    with graph.as_default():
        a = v1.placeholder(tf.float32, name="input")
        b = tf.constant([[7.0], [8.0]], name="b")
        tf.add(a, b, name="add")
    other = tf.Graph()
    with other.as_default():
        tf.constant(4.0, name="new")
    moved = ours(graph.as_graph_def()).with_inputs({"input:0": "new:0"})
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(theirs(moved.merge(ours(other.as_graph_def()))), name="")
        assert session.run("add:0").tolist() == [[11.0], [12.0]]


def test_graphs_that_share_names_merge_only_under_prefixes(definition: Any) -> None:
    graph = ours(definition)
    with pytest.raises(NameConflictError, match="'x' by 'graph 0', 'graph 1'"):
        graph.merge(graph)
    merged = graph.merge(graph.prefixed("a"), graph.prefixed("b/"))
    assert len(merged) == 3 * len(graph)
    assert len(merged.functions) == len(graph.functions)
    with tf.Graph().as_default():
        tf.import_graph_def(theirs(merged), name="")


@pytest.mark.parametrize("name", ["graph.pb", "graph.pbtxt", "graph"])
def test_tensorflow_reads_a_written_graph(definition: Any, tmp_path: Path, name: str) -> None:
    from google.protobuf import text_format

    path = tmp_path / name
    graph = ours(definition)
    graph.write(path)
    if name.endswith("txt"):
        assert text_format.Parse(path.read_text(), v1.GraphDef()) == definition
    else:
        assert v1.GraphDef.FromString(path.read_bytes()) == definition
    assert ckptfmt.read_graph(path) == graph
    with pytest.raises(FileExistsError, match="file exists"):
        graph.write(path)
    before = path.read_bytes()
    graph.write(path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_node_is_an_error_that_names_it(definition: Any) -> None:
    graph = ours(definition)
    for make in (
        lambda: graph.extract_subgraph("gone"),
        lambda: graph.strip_unused("gone", "out"),
        lambda: graph.with_inputs({"gone:0": "x:0"}),
    ):
        with pytest.raises(GraphError, match="'gone'") as caught:
            make()
        assert caught.value.node == "gone"
    with pytest.raises(GraphError, match="outputs"):
        graph.strip_unused("x:0", "out", "float32")
    with pytest.raises(GraphError, match="pass dtypes="):
        ckptfmt.Graph(messages.GraphDef(node=[messages.NodeDef(name="a", op="NoOp")])).strip_unused("a", "a")
    message = messages.GraphDef(node=[messages.NodeDef(name="a", op="Identity", input=["gone"])])
    with pytest.raises(CorruptError, match="'gone'"):
        ckptfmt.Graph(message).extract_subgraph("a")


@pytest.mark.skipif(not GRAPH_FILES, reason="the corpus is not here")
def test_subgraphs_of_the_corpus_have_the_nodes_that_tensorflow_keeps() -> None:
    compared = 0
    for graph in read_graphs().values():
        definition = theirs(graph)
        names = [node.name for node in graph.outputs] or [next(iter(graph))]
        for outputs in (names[:1], names[-2:]):
            try:
                want = util.extract_sub_graph(definition, outputs)
            except KeyError:
                with pytest.raises(CorruptError):
                    graph.extract_subgraph(outputs)
                continue
            assert theirs(graph.extract_subgraph(outputs)) == want
        if not graph.ops["CheckNumerics"]:
            kept = graph.remove_training_nodes(names)
            assert nodes_of(kept.message) == nodes_of(util.remove_training_nodes(definition, names))
        compared += 1
    assert compared > 40
