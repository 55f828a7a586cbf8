"""Graphs have the nodes, inputs, attributes and functions that TensorFlow sees in them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.dtypes import DType
from ckptfmt.graph.meta.collection import Variable
from ckptfmt.graph.ops import known_ops
from ckptfmt.proto import messages
from tests.support.corpus import CORPUS, GRAPH_FILES, read_graphs
from tests.support.tensorflow_graphs import build_graph

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1
variable_pb2 = pytest.importorskip("tensorflow.core.framework.variable_pb2")


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values of an attribute are equal."""
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, DType):
        return bool(tf.as_dtype(theirs).as_datatype_enum == ours.code)
    if isinstance(ours, np.ndarray):
        return bool(np.array_equal(ours, tf.make_ndarray(theirs)))
    if isinstance(ours, tuple) or ours is None:
        shape = tf.TensorShape(theirs)
        return (None if shape.rank is None else tuple(shape.as_list())) == ours
    if hasattr(ours, "attributes"):
        return bool(ours.name == theirs.name)
    return bool(ours == theirs)


def compare(ours: ckptfmt.Graph, theirs: Any) -> None:
    """Compare a graph with one that TensorFlow imported or built."""
    operations = theirs.get_operations()
    assert set(ours) == {op.name for op in operations}
    for op in operations:
        node = ours[op.name]
        assert (node.op, node.device) == (op.type, op.device)
        assert [(one.node, one.number) for one in node.inputs] == [
            (tensor.op.name, tensor.value_index) for tensor in op.inputs
        ]
        assert set(node.control_inputs) == {control.name for control in op.control_inputs}
        for name, value in node.attributes.items():
            if not name.startswith("_"):
                assert same(value, op.get_attr(name)), (op.name, name)
        tensors = list(ours.tensors(op.name))
        assert [(one.name, one.dtype and one.dtype.code) for one in tensors] == [
            (tensor.name, tensor.dtype.as_datatype_enum) for tensor in op.outputs
        ]
        for mine, tensor in zip(tensors, op.outputs, strict=True):
            assert tensor.shape.is_compatible_with(tf.TensorShape(mine.shape)), mine
        takers = {taker.name for tensor in op.outputs for taker in tensor.consumers()}
        takers |= {other.name for other in operations if op in other.control_inputs}
        assert {taker.name for taker in ours.consumers(op.name)} == takers
    assert {node.name for node in ours.inputs} == {
        op.name for op in operations if op.type.startswith("Placeholder")
    }


@pytest.mark.parametrize("as_text", [False, True])
def test_a_graph_is_the_one_that_tensorflow_built(tmp_path: Path, control_flow: int, as_text: bool) -> None:
    graph = build_graph()
    v1.train.write_graph(graph.as_graph_def(), str(tmp_path), "graph", as_text=as_text)
    ours = ckptfmt.read_graph(tmp_path / "graph")
    compare(ours, graph)
    definition = graph.as_graph_def()
    assert ours.ops == Counter(node.op for node in definition.node)
    assert ours.versions.producer == definition.versions.producer
    assert not ours.custom_ops
    assert set(ours.functions) == {function.signature.name for function in definition.library.function}
    extracted = v1.graph_util.extract_sub_graph(definition, ["out"])
    assert {node.name for node in ours.ancestors("out:0")} == {node.name for node in extracted.node}
    np.testing.assert_array_equal(ours.constants["words"], [b"a", b"\xff"])


def test_functions_have_the_arguments_of_concrete_functions() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return x * 2.0, x + 1.0

    @tf.function
    def outer(x: Any) -> Any:
        first, second = inner(x)
        return {"a": tf.split(first, 2)[1], "b": second}

    concrete = outer.get_concrete_function(tf.TensorSpec([4], tf.float32))
    definition = concrete.graph.as_graph_def(add_shapes=True)
    graph = ckptfmt.Graph(messages.GraphDef.FromString(definition.SerializeToString()))
    (name,) = graph.functions
    function = graph.functions[name]
    theirs = concrete.graph.as_graph_def().library.function[0]
    assert [argument.name for argument in function.inputs] == [a.name for a in theirs.signature.input_arg]
    assert [argument.dtype for argument in function.outputs] == ["float32", "float32"]
    assert [str(output) for output in function.returns.values()] == [
        theirs.ret[argument.name] for argument in theirs.signature.output_arg
    ]
    assert graph.functions.called_by(graph.message.node) == {name}
    for node in function.nodes.values():
        assert [str(one) if one.name else one.node for one in node.inputs] == [
            text for text in node.message.input if not text.startswith("^")
        ]


GPU_OPS = {"_CopyFromGpuToHost", "_CopyFromHostToGpu"}
"""Ops that a build without GPU support leaves out."""


def test_the_known_ops_are_those_of_this_tensorflow() -> None:
    from protos.ops import op_list

    ops = op_list()
    left_out = set() if tf.test.is_built_with_cuda() else GPU_OPS
    assert set(known_ops()) - left_out == {op.name for op in ops.op}
    for op in ops.op:
        assert known_ops()[op.name].SerializeToString(deterministic=True) == op.SerializeToString(
            deterministic=True
        )


@pytest.mark.skipif(not GRAPH_FILES, reason="the corpus is not here")
def test_every_graph_of_the_corpus_is_the_one_that_tensorflow_imports() -> None:
    compared = 0
    for ours in read_graphs().values():
        if len(ours) >= 3000:
            continue
        definition = v1.GraphDef.FromString(ours.message.SerializeToString())
        graph = tf.Graph()
        try:
            with graph.as_default():
                tf.import_graph_def(definition, name="")
        except (ValueError, tf.errors.OpError):
            continue  # it has custom ops
        compared += 1
        for op in graph.get_operations():
            assert [(one.node, one.number) for one in ours[op.name].inputs] == [
                (tensor.op.name, tensor.value_index) for tensor in op.inputs
            ]
    assert compared > 20


@pytest.mark.parametrize("path", [p for p in GRAPH_FILES if p.suffix == ".meta"], ids=lambda p: p.parent.name)
def test_collections_and_the_saver_of_a_meta_graph_are_those_that_tensorflow_reads(path: Path) -> None:
    meta = ckptfmt.read_meta_graph(path)
    theirs = v1.MetaGraphDef.FromString(meta.message.SerializeToString())
    for name, collection in theirs.collection_def.items():
        ours = meta.collections[name]
        kind = collection.WhichOneof("kind")
        values = getattr(collection, kind).value if kind else []
        assert len(ours) == len(values)
        if kind == "bytes_list" and name in ("variables", "trainable_variables"):
            for variable, data in zip(ours, values, strict=True):
                known = variable_pb2.VariableDef.FromString(data)
                assert isinstance(variable, Variable)
                assert variable[:4] == (
                    *(known.variable_name, known.initializer_name, known.snapshot_name),
                    known.initial_value_name,
                )
                assert (variable.trainable, variable.is_resource) == (known.trainable, known.is_resource)
                part = known.save_slice_info_def
                assert (variable.partition is not None) == known.HasField("save_slice_info_def")
                if variable.partition is not None:
                    assert variable.partition == (
                        *(part.full_name, tuple(part.full_shape)),
                        *(tuple(part.var_offset), tuple(part.var_shape)),
                    )
    saver = meta.saver
    if theirs.HasField("saver_def"):
        assert saver is not None
        assert saver.restore_op == theirs.saver_def.restore_op_name
        assert saver.sharded == theirs.saver_def.sharded
    assert meta.tensorflow_version == theirs.meta_info_def.tensorflow_version


@pytest.mark.skipif(not GRAPH_FILES, reason="the corpus is not here")
def test_the_text_of_a_graph_of_the_corpus_reads_back_here_and_in_tensorflow(tmp_path: Path) -> None:
    from google.protobuf import text_format

    compared = 0
    for path, graph in read_graphs().items():
        if path.stat().st_size > 300_000:
            continue
        text = graph.to_text()
        (tmp_path / "again.pbtxt").write_text(text, encoding="utf-8")
        theirs = text_format.Parse(text, v1.GraphDef())
        assert theirs == v1.GraphDef.FromString(graph.to_bytes())
        assert ckptfmt.read_graph(tmp_path / "again.pbtxt") == graph
        compared += 1
    assert compared > 20


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_signatures_are_those_that_saved_model_cli_shows() -> None:
    from tensorflow.python.tools import saved_model_cli as cli
    from tensorflow.python.tools import saved_model_utils

    compared = 0
    for path in sorted({each.parent for each in CORPUS.rglob("saved_model.pb")}):
        for tags in saved_model_utils.get_saved_model_tag_sets(str(path)):
            theirs = saved_model_utils.get_meta_graph_def(str(path), ",".join(tags))
            ours = ckptfmt.open_saved_model(path, tags=tags).signatures
            assert set(ours) == set(theirs.signature_def) - {"__saved_model_init_op"}
            for name, signature in ours.items():
                for infos, get in (
                    (signature.inputs, cli._get_inputs_tensor_info_from_meta_graph_def),
                    (signature.outputs, cli._get_outputs_tensor_info_from_meta_graph_def),
                ):
                    shown = get(theirs, name)
                    assert set(infos) == set(shown)
                    for key, info in infos.items():
                        assert info.dtype.code == shown[key].dtype
                        assert isinstance(info.tensor, str) == (shown[key].WhichOneof("encoding") == "name")
                        assert info.tensor == shown[key].name or not isinstance(info.tensor, str)
                        shape = tf.TensorShape(shown[key].tensor_shape)
                        known = None if shape.rank is None else tuple(shape.as_list())
                        assert info.shape == known
                    compared += 1
    assert compared > 50
