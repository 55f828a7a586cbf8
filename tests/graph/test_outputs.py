"""The outputs of graphs: what people fetch."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, GraphError, NameNotFoundError
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS, read_graphs

FETCHED = {
    "assoc_lstm_v1/save-60000.meta": ["softmax/Mean", "Mean"],
    "dl4j_frozen/bool_mask.pb": ["boolean_mask/GatherV2"],
    "dl4j_frozen/gru_double.pb": ["output"],
    "dl4j_frozen/train_iris.pb": [
        *("Softmax", "softmax_cross_entropy_loss/value"),
        *("Softmax_1", "softmax_cross_entropy_loss_1/value"),
    ],
    "dqn_v1/model.ckpt.meta": ["Mean"],
    "sjnr_events/ckpt/latest.ckpt.meta": ["add_4"],
    "speech_frozen/conv_actions_frozen.pb": ["labels_softmax"],
    "t2onnx_frozen/lstm.pb": ["output"],
    "t2onnx_regression/frozen.pb": ["pred"],
    "tfnet_metas/cond_test.meta": ["cond/Merge"],
    "tfnet_metas/word2vec.meta": ["Mean", "MatMul_1"],
    "tfnet_metas/xor.meta": ["loss"],
    "tfx_trainer/graph.pbtxt": [
        *("head/predictions/logistic", "head/predictions/probabilities", "head/predictions/str_classes"),
        "head/losses/weighted_loss/value",
    ],
    "unique_mnist/graph.pbtxt": ["ArgMax", "softmax_tensor", "mean_squared_error/value"],
}
"""What the programs that made these graphs fetch: predictions, losses and metrics."""

NEVER = ("Assign", "Save", "NoOp", "Placeholder", "Summary", "IsInitialized", "Restore", "Const", "Shape")
"""Parts of the names of ops that no graph of the corpus has as outputs."""


def names(graph: ckptfmt.Graph) -> list[str]:
    return [node.name for node in graph.outputs]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
@pytest.mark.parametrize("file", FETCHED)
def test_outputs_of_training_and_frozen_graphs(file: str) -> None:
    assert names(ckptfmt.read_graph(CORPUS / file)) == FETCHED[file]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
def test_every_graph_has_outputs_that_are_no_bookkeeping() -> None:
    for path, graph in read_graphs().items():
        outputs = graph.outputs
        assert outputs, path
        try:
            is_called = bool(ckptfmt.read_meta_graph(path).signatures)
        except CkptfmtError:
            is_called = False
        for node in [] if is_called else outputs:
            assert not any(part in node.op for part in NEVER), (path, node)
            assert not {"gradients", "save", "Initializer"}.intersection(node.name.split("/")[:-1]), node


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
def test_a_model_without_a_signature_of_tensorflow_2_has_its_call_as_output() -> None:
    for path, graph in read_graphs().items():
        called = [name for name in names(graph) if name.startswith("StatefulPartitionedCall")]
        if called and len(called) == len(graph.outputs):
            bare = ckptfmt.Graph(graph.message)  # knows no signatures
            assert set(names(bare)) <= set(called), path


def test_signatures_say_what_the_outputs_are() -> None:
    meta = messages.MetaGraphDef()
    for name, inputs in (("x", []), ("y", ["x"]), ("loss", ["y"])):
        node = meta.graph_def.node.add(name=name, op="Identity" if inputs else "Placeholder", input=inputs)
        node.attr["T" if inputs else "dtype"].type = messages.DataType.DT_FLOAT
    meta.signature_def["serve"].outputs["y"].name = "y:0"
    meta.signature_def["gone"].outputs["y"].name = "gone:0"
    meta.signature_def["__saved_model_train_op"].outputs["op"].name = "x"
    graph = ckptfmt.read_meta_graph(meta.SerializeToString()).graph
    assert names(graph) == ["y"]
    assert names(pickle.loads(pickle.dumps(graph))) == ["y"]


def graph_of(nodes: Mapping[str, tuple[str, ...]]) -> ckptfmt.Graph:
    message = messages.GraphDef()
    for name, (op, *inputs) in nodes.items():
        node = message.node.add(name=name, op=op, input=inputs)
        for attribute in ("T", "dtype"):
            node.attr[attribute].type = messages.DataType.DT_FLOAT
    return ckptfmt.Graph(message)


def test_what_trains_is_not_an_output() -> None:
    graph = graph_of(
        {
            "x": ("Placeholder",),
            "unused": ("Placeholder",),
            "w": ("VariableV2",),
            "w/Initializer/zeros": ("Const",),
            "w/Assign": ("Assign", "w", "w/Initializer/zeros"),
            "w/read": ("Identity", "w"),
            "w/Adam": ("VariableV2",),
            "w/Adam/read": ("Identity", "w/Adam"),
            "y": ("Mul", "x", "w/read"),
            "loss": ("Mean", "y"),
            "loss/shape": ("Shape", "y"),
            "gradients/loss_grad/Mul": ("Mul", "loss", "y"),
            "clipped": ("Mul", "gradients/loss_grad/Mul", "w/read"),
            "Adam/update_w/ApplyAdam": ("ApplyAdam", "w", "w/Adam", "clipped"),
            "Adam": ("NoOp", "^Adam/update_w/ApplyAdam"),
            "loss_1": ("ScalarSummary", "loss"),
            "Merge/MergeSummary": ("MergeSummary", "loss_1"),
            "save/Const": ("Const",),
            "save/control_dependency": ("Identity", "save/Const"),
            "save/restore_all": ("NoOp",),
            "init": ("NoOp", "^w/Assign"),
        }
    )
    assert names(graph) == ["loss"]


def test_a_graph_that_is_not_fed_has_outputs_too() -> None:
    assert names(graph_of({"a": ("Const",), "b": ("Const",), "c": ("Add", "a", "b"), "d": ("Const",)})) == [
        "c"
    ]
    assert names(graph_of({"w": ("VariableV2",), "w/read": ("Identity", "w")})) == ["w/read"]
    assert names(graph_of({"x": ("Placeholder",), "y": ("Identity", "x")})) == ["y"]
    assert names(graph_of({"x": ("Placeholder",), "w": ("Const",)})) == ["w"]
    assert names(graph_of({"x": ("Placeholder",), "init": ("NoOp",)})) == []
    # A constant of a frozen graph, such as the names of its classes, was kept on purpose.
    frozen = {"x": ("Placeholder",), "classes": ("Const",), "y": ("Neg", "x")}
    assert names(graph_of(frozen)) == ["classes", "y"]
    assert names(graph_of({**frozen, "w": ("VariableV2",)})) == ["y"]
    assert names(graph_of({})) == []


def test_a_loop_and_names_that_lead_nowhere_are_no_trouble() -> None:
    graph = graph_of({"a": ("Add", "b", "none"), "b": ("Add", "a", "a"), "c": ("Neg", "a")})
    assert names(graph) == ["c"]


def test_many_outputs_of_one_conditional_are_looked_at_once() -> None:
    nodes = {"x": ("Placeholder",), "if": ("If", "x")}
    nodes |= {f"if/{number}": ("Identity", f"if:{number}") for number in range(20_000)}
    assert len(names(graph_of(nodes))) == 20_000  # the square of that took minutes


def test_near_names_of_nodes_are_suggested(tmp_path: Path) -> None:
    graph = graph_of({"x": ("Placeholder",), "net/softmax": ("Softmax", "x")})
    for call in (
        lambda: graph.extract_subgraph("softmaxx:0"),
        lambda: graph.strip_unused("x", "softmaxx"),
        lambda: graph.strip_unused("softmaxx", "x"),
        lambda: graph.with_inputs({"softmaxx:0": "x:0"}),
        lambda: ckptfmt.freeze(graph, {}, "softmaxx"),
        lambda: graph["softmaxx"],
        lambda: graph.tensor("softmaxx:0"),
        lambda: list(graph.ancestors("softmaxx")),
    ):
        with pytest.raises((GraphError, NameNotFoundError), match="did you mean") as raised:
            call()
        assert raised.value.close_matches == ("net/softmax",)
