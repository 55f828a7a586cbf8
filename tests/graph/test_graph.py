"""Graphs without TensorFlow: recognised by content, walks, functions, and files made to abuse a reader."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import (
    AlreadyExistsError,
    CkptfmtError,
    CorruptError,
    GraphError,
    LimitError,
    NameNotFoundError,
    UnsupportedError,
)
from ckptfmt.graph.attributes import AttributeName, FunctionCall
from ckptfmt.graph.meta.signature import CompositeTensor, SparseTensor
from ckptfmt.graph.node import OutputName
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text


def graph_def(*nodes: tuple[str, str, list[str]], producer: int = 24) -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = producer
    for name, op, inputs in nodes:
        graph.node.add(name=name, op=op, input=inputs)
    return graph


def adder() -> messages.GraphDef:
    graph = graph_def(
        ("x", "Placeholder", []),
        ("scope/c", "Const", []),
        ("sum", "AddV2", ["x", "scope/c:0"]),
        ("parts", "Split", ["scope/c", "sum"]),
        ("last", "Identity", ["parts:1", "^x"]),
        ("done", "NoOp", ["^last"]),
    )
    graph.node[1].attr["value"].tensor.CopyFrom(ckptfmt.to_proto([1.0, 2.0]))
    graph.node[1].attr["dtype"].type = messages.DataType.DT_FLOAT
    graph.node[3].attr["num_split"].i = 2
    return graph


# --- what a file holds -------------------------------------------------------------------------------------


def meta_graph(*, tags: tuple[str, ...] = (), version: str = "1.15.0") -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef(graph_def=adder())
    meta.meta_info_def.tags.extend(tags)
    meta.meta_info_def.tensorflow_version = version
    return meta


def saved_model(*tags: tuple[str, ...]) -> messages.SavedModel:
    graphs = [meta_graph(tags=each) for each in tags]
    return messages.SavedModel(saved_model_schema_version=1, meta_graphs=graphs)


@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "text"])
@pytest.mark.parametrize(
    "message", [adder(), meta_graph(), saved_model(("serve",))], ids=["graph", "meta", "model"]
)
@pytest.mark.parametrize("name", ["a.pb", "b.pbtxt", "c.meta", "d"])
def test_files_are_recognised_by_their_content(tmp_path: Path, message, as_text: bool, name: str) -> None:
    path = tmp_path / name
    data = format_text(message).encode() if as_text else message.SerializeToString()
    path.write_bytes(data)
    strided = bytearray(2 * len(data))
    strided[::2] = data
    for each in (path, str(path), data, bytearray(data), memoryview(data), memoryview(strided)[::2]):
        assert ckptfmt.read_graph(each) == ckptfmt.Graph(adder())
        if isinstance(message, messages.GraphDef):
            with pytest.raises(
                UnsupportedError, match=r"a GraphDef.*, not a MetaGraphDef: ckptfmt\.read_graph"
            ):
                ckptfmt.read_meta_graph(each)
        else:
            assert ckptfmt.read_meta_graph(each).tensorflow_version == "1.15.0"


@pytest.mark.parametrize(
    "graph",
    [
        graph_def(("only", "NoOp", [])),
        messages.GraphDef(node=[messages.NodeDef(name="only", op="NoOp")]),
        messages.GraphDef(node=[messages.NodeDef(name="only", op="NoOp")], version=7),
        messages.MetaGraphDef(
            graph_def=messages.GraphDef(), meta_info_def=messages.MetaGraphDef.MetaInfoDef(tags=["x"])
        ),
    ],
    ids=range(4),
)
def test_the_smallest_files_are_told_apart(tmp_path: Path, graph) -> None:
    (tmp_path / "g").write_bytes(graph.SerializeToString())
    want = graph if isinstance(graph, messages.GraphDef) else graph.graph_def
    assert ckptfmt.read_graph(tmp_path / "g").message == want


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"hello", b"\xff" * 100, b"\x0a\x02ab", b"node", b"node {", b"{}"]
)
def test_files_without_a_graph_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "g").write_bytes(data)
    for read in (ckptfmt.read_graph, ckptfmt.read_meta_graph):
        with pytest.raises((CorruptError, UnsupportedError)) as caught:
            read(tmp_path / "g")
        assert caught.value.file == str(tmp_path / "g")
        with pytest.raises(type(caught.value), match=r"^<bytes>"):
            read(data)


def test_a_saved_model_with_several_meta_graphs_needs_tags(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(
        saved_model(("serve",), ("serve", "gpu"), ()).SerializeToString()
    )
    with pytest.raises(GraphError, match=r"got no tags, .*: serve; gpu, serve; \(none\)"):
        ckptfmt.read_graph(tmp_path)
    assert ckptfmt.read_meta_graph(tmp_path, tags=["gpu", "serve"]).tags == {"gpu", "serve"}
    assert ckptfmt.read_meta_graph(tmp_path, tags="serve").tags == {"serve"}
    with pytest.raises(GraphError, match="got the tags train"):
        ckptfmt.read_graph(tmp_path, tags=["train"])
    with pytest.raises(FileNotFoundError):
        ckptfmt.read_graph(tmp_path / "none")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_graph_or_an_error(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g"
        path.write_bytes(data)
        try:
            graph = ckptfmt.read_graph(path)
        except CkptfmtError:
            with pytest.raises(CkptfmtError):
                ckptfmt.read_graph(data)
            return
        assert isinstance(graph, ckptfmt.Graph)
        assert ckptfmt.read_graph(data) == graph


# --- nodes and walks ---------------------------------------------------------------------------------------


def test_nodes_say_where_their_inputs_come_from() -> None:
    graph = ckptfmt.Graph(adder(), "g.pb")
    node = graph["last"]
    assert (node.name, node.op, node.device) == ("last", "Identity", "")
    assert node.inputs == (OutputName("parts", 1),)
    assert [(one.node, one.number) for one in graph["sum"].inputs] == [("x", 0), ("scope/c", 0)]
    assert node.control_inputs == ("x",)
    assert (graph.tensor("parts:1").node, graph.tensor("parts:1").number) == (graph["parts"], 1)
    assert graph.tensor("x").name == "x:0"
    assert [one.name for one in graph.inputs] == ["x"]
    assert [one.name for one in graph.outputs] == []  # what is left is a NoOp
    assert graph.ops["Const"] == 1
    assert graph.versions == (24, 0, ())
    with pytest.raises(
        NameNotFoundError, match=r"g\.pb: no node named 'scope/d'; did you mean 'scope/c'"
    ) as caught:
        graph["scope/d"]
    assert isinstance(caught.value, KeyError)
    assert graph.get("scope/d") is None
    with pytest.raises(KeyError):
        graph.tensor("scope/d:0")


def test_tensors_have_the_dtype_and_shape_that_the_file_says() -> None:
    message = adder()
    message.node.add(name="own", op="NobodysOp")
    copies = message.node.add(name="copies", op="IdentityN", input=["x", "own"])
    copies.attr["T"].list.type.extend([1, 9])
    copies.attr["_output_shapes"].list.shape.add(unknown_rank=True)
    copies.attr["_output_shapes"].list.shape.add().dim.add(size=-1)
    queued = message.node.add(name="parallel", op="ParallelConcat")
    queued.attr["T"].type = 3
    many = message.node.add(name="many", op="Split")
    many.attr["num_split"].i = 1 << 19
    many.attr["T"].type = 7
    message.node.add(name="v", op="VariableV2").attr["dtype"].type = 1
    graph = ckptfmt.Graph(message, "g.pb")
    assert [(t.name, t.dtype, t.shape) for t in graph.tensors("copies")] == [
        ("copies:0", "float32", None),
        ("copies:1", "int64", (None,)),
    ]
    constant = graph.tensor("scope/c")
    assert (constant.dtype, constant.shape) == ("float32", graph.constants["scope/c"].shape)
    assert graph.tensor("parallel").dtype == "int32"
    assert graph.tensor(f"many:{(1 << 19) - 1}").dtype == "string"
    assert graph.tensor("v").dtype.code == 101
    assert (graph.tensor("own:3").dtype, graph.tensor("own:3").shape) == (None, None)
    assert list(graph.tensors("own")) == []
    for absent in ("copies:2", f"many:{1 << 19}", "last:1", "^x", "v:1"):
        with pytest.raises(NameNotFoundError, match=r"g\.pb: no tensor"):
            graph.tensor(absent)
    for count in (-1, 1 << 62):
        many.attr["num_split"].i = count
        with pytest.raises(CorruptError, match=f"node 'many' \\(Split\\) has {count} outputs"):
            list(ckptfmt.Graph(message).tensors("many"))


def test_tensors_of_functions_are_arguments_and_named_outputs_of_nodes() -> None:
    message = messages.GraphDef()
    inner = message.library.function.add()
    inner.signature.name = "inner"
    inner.signature.output_arg.add(name="first", type=1)
    inner.signature.output_arg.add(name="second", type=9)
    outer = message.library.function.add()
    outer.signature.name = "outer"
    outer.signature.input_arg.add(name="a", type=3)
    outer.arg_attr[0].attr["_output_shapes"].list.shape.add().dim.add(size=5)
    outer.node_def.add(name="called", op="inner")
    top = outer.node_def.add(name="top", op="TopKV2", input=["called:first:0", "a"])
    top.attr["T"].type = 1
    function = ckptfmt.Graph(message).functions["outer"]
    named = {
        text: function.tensor(text) for text in ("a", "called:second:0", "top:values:0", "top:indices:0")
    }
    assert [tensor.name for tensor in named.values()] == list(named)
    assert [tensor.dtype for tensor in named.values()] == ["int32", "int64", "float32", "int32"]
    assert [tensor.number for tensor in named.values()] == [0, 1, 0, 1]
    assert named["a"].shape == (5,)
    assert named["a"].node is None
    for absent in ("b", "a:1", "called:third:0", "top:values:1"):
        with pytest.raises(NameNotFoundError, match="function outer: no tensor"):
            function.tensor(absent)


def test_walks_visit_each_node_once_and_tolerate_loops() -> None:
    message = adder()
    message.node.add(name="back", op="NextIteration", input=["merge"])
    message.node.add(name="merge", op="Merge", input=["sum", "back"])
    graph = ckptfmt.Graph(message)
    assert [node.name for node in graph.ancestors("merge:0")] == ["merge", "sum", "x", "scope/c", "back"]
    assert [node.name for node in graph.ancestors(["last"], control=False)] == [
        "last",
        "parts",
        "scope/c",
        "sum",
        "x",
    ]
    assert {node.name for node in graph.descendants("x")} == set(graph) - {"scope/c"}
    assert [node.name for node in graph.consumers("scope/c")] == ["sum", "parts"]


def test_a_chain_of_a_hundred_thousand_nodes_is_walked_in_linear_time() -> None:
    count = 100_000
    nodes = [("n0", "Const", []), *((f"n{i}", "Identity", [f"n{i - 1}"]) for i in range(1, count))]
    graph = ckptfmt.Graph(graph_def(*nodes))  # type: ignore[arg-type]
    start = time.perf_counter()
    assert sum(1 for _ in graph.ancestors(f"n{count - 1}")) == count
    assert sum(1 for _ in graph.descendants("n0")) == count
    assert time.perf_counter() - start < 60


def test_a_walk_reports_an_input_from_a_missing_node() -> None:
    graph = ckptfmt.Graph(graph_def(("a", "Identity", ["gone:3"])), "g.pb")
    assert graph["a"].inputs == (OutputName("gone", 3),)
    with pytest.raises(CorruptError, match=r"g\.pb: node 'a' \(Identity\) takes its input from 'gone'"):
        list(graph.ancestors("a"))


# --- attributes and constants ------------------------------------------------------------------------------


def test_attributes_are_python_values() -> None:
    node = messages.NodeDef(name="n", op="Op")
    node.attr["s"].s = b"x\xff"
    node.attr["i"].i = -3
    node.attr["f"].f = 0.5
    node.attr["b"].b = True
    node.attr["type"].type = messages.DataType.DT_BFLOAT16
    node.attr["shape"].shape.dim.add(size=-1)
    node.attr["shape"].shape.dim.add(size=3)
    node.attr["unknown"].shape.unknown_rank = True
    node.attr["tensor"].tensor.CopyFrom(ckptfmt.to_proto([1, 2]))
    node.attr["call"].func.name = "f"
    node.attr["call"].func.attr["T"].type = messages.DataType.DT_FLOAT
    node.attr["name"].placeholder = "T"
    node.attr["list"].list.i.extend([1, 2])
    node.attr["types"].list.type.extend([1, 9])
    node.attr["empty"].list.SetInParent()
    node.attr["nothing"].SetInParent()
    graph = ckptfmt.Graph(messages.GraphDef(node=[node]))
    got = graph["n"].attributes
    assert list(got) == sorted(node.attr)
    assert (got["s"], got["i"], got["f"], got["b"], got["type"]) == (b"x\xff", -3, 0.5, True, "bfloat16")
    assert got["shape"] == (None, 3)
    assert got["unknown"] is got["nothing"] is None
    np.testing.assert_array_equal(got["tensor"], np.array([1, 2], np.int32))  # type: ignore[arg-type]
    call = got["call"]
    assert isinstance(call, FunctionCall)
    assert (call.name, call.attributes["T"]) == ("f", "float32")
    for attributes, owner in ((got, "node 'n'"), (call.attributes, "node 'n': call of 'f'")):
        with pytest.raises(NameNotFoundError, match=f"^graph: {owner}: no attribute 'no'$") as caught:
            attributes["no"]
        assert (caught.value.name, isinstance(caught.value, KeyError)) == ("no", True)
        assert ("no" in attributes, attributes.get("no", 3)) == (False, 3)
    assert got["name"] == AttributeName("T")
    assert (got["list"], got["types"], got["empty"]) == ([1, 2], ["float32", "int64"], [])
    assert got.get("none") is None


def test_an_unknown_attribute_is_an_error_with_the_file_and_close_names(tmp_path: Path) -> None:
    message = messages.GraphDef()
    message.node.add(name="n", op="Op").attr["dtype"].type = 1
    (tmp_path / "graph.pb").write_bytes(message.SerializeToString())
    with pytest.raises(NameNotFoundError, match=r"did you mean 'dtype'\?$") as caught:
        ckptfmt.read_graph(tmp_path / "graph.pb")["n"].attributes["dtyp"]
    assert (caught.value.file, caught.value.close_matches) == (str(tmp_path / "graph.pb"), ("dtype",))


def test_constants_are_a_store_of_tensors() -> None:
    graph = ckptfmt.Graph(adder())
    assert list(graph.constants) == ["scope/c"]
    np.testing.assert_array_equal(graph.constants["scope/c"], np.array([1, 2], np.float32))
    with pytest.raises(NameNotFoundError, match="no constant named 'x'"):
        graph.constants["x"]


def constant(tensor: messages.TensorProto) -> ckptfmt.Graph:
    graph = graph_def(("c", "Const", []))
    graph.node[0].attr["value"].tensor.CopyFrom(tensor)
    return ckptfmt.Graph(graph, "g.pb")


def test_a_constant_of_a_few_bytes_takes_no_memory_or_is_refused() -> None:
    tensor = messages.TensorProto(dtype=1, float_val=[0.5])
    tensor.tensor_shape.dim.add(size=1 << 40)
    value = constant(tensor).constants["c"]
    assert value.shape == (1 << 40,)
    assert value[12345] == 0.5
    tensor.float_val.append(1.5)
    with pytest.raises(LimitError):
        constant(tensor).constants["c"]


def test_the_error_for_a_damaged_constant_names_it() -> None:
    tensor = messages.TensorProto(dtype=1, tensor_content=b"123")
    with pytest.raises(CorruptError, match=r"g\.pb: constant 'c': .*got 3 bytes, want 4"):
        constant(tensor).constants["c"]
    with pytest.raises(CorruptError, match="constant 'c' has no value"):
        ckptfmt.Graph(graph_def(("c", "Const", []))).constants["c"]


# --- functions ---------------------------------------------------------------------------------------------


def library(**calls: list[str]) -> messages.GraphDef:
    graph = graph_def(("start", "a", []))
    for name, called in calls.items():
        function = graph.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name="x", type=1)
        function.signature.output_arg.add(name="y", type_attr="T")
        function.ret["y"] = "n0:z:1"
        function.control_ret["side"] = "n0"
        for i, other in enumerate(called):
            node = function.node_def.add(
                name=f"n{i}", op="PartitionedCall", input=["x", f"n{i}:out:0", "^n0"]
            )
            node.attr["f"].func.name = other
    return graph


def test_functions_have_inputs_outputs_and_calls() -> None:
    graph = ckptfmt.Graph(library(a=["b", "a"], b=["c", "elsewhere"], c=["b"], alone=[]))
    function = graph.functions["a"]
    assert [(one.name, one.dtype) for one in function.inputs] == [("x", "float32")]
    assert [(one.name, one.dtype) for one in function.outputs] == [("y", None)]
    assert function.returns == {"y": OutputName("n0", 1, "z")}
    assert function.control_outputs == {"side": "n0"}
    assert function.nodes["n1"].inputs == (OutputName("x"), OutputName("n1", 0, "out"))
    assert str(function.nodes["n1"].inputs[1]) == "n1:out:0"
    assert graph.functions.calls["b"] == {"c", "elsewhere"}
    assert graph.functions.reached_from(["a"]) == {"a", "b", "c"}  # they call each other in circles
    assert graph.functions.called_by(graph.message.node) == {"a"}
    assert graph.custom_ops == {}
    assert [node.name for node in graph.outputs] == ["start"]
    with pytest.raises(NameNotFoundError, match="no function named 'd'"):
        graph.functions["d"]


def test_ops_that_tensorflow_lacks_are_custom() -> None:
    graph = ckptfmt.Graph(graph_def(("a", "MyOwnOp", []), ("b", "AddV2", [])))
    assert graph.custom_ops == {"MyOwnOp": 1}


# --- meta graphs -------------------------------------------------------------------------------------------


def test_signatures_have_all_three_encodings_and_defaults(tmp_path: Path) -> None:
    meta = meta_graph(tags=("serve",))
    signature = meta.signature_def["classify"]
    signature.method_name = "tensorflow/serving/predict"
    plain = signature.inputs["x"]
    plain.name, plain.dtype = "x:0", 1
    plain.tensor_shape.dim.add(size=-1)
    sparse = signature.inputs["s"].coo_sparse
    sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name = (
        "v:0",
        "i:0",
        "d:0",
    )
    ragged = signature.outputs["r"].composite_tensor
    ragged.type_spec.type_spec_class_name = "RaggedTensorSpec"
    ragged.components.add(name="r:0", dtype=9)
    signature.defaults["x"].CopyFrom(ckptfmt.to_proto([1.0]))
    meta.signature_def["__saved_model_init_op"].outputs["init"].name = "NoOp"
    read = ckptfmt.MetaGraph(meta, "m")
    assert list(read.signatures) == ["classify"]
    got = read.signatures["classify"]
    assert got.method == "tensorflow/serving/predict"
    assert got.inputs["x"] == ("x:0", "float32", (None,))
    assert got.inputs["s"].tensor == SparseTensor("v:0", "i:0", "d:0")
    composite = got.outputs["r"].tensor
    assert isinstance(composite, CompositeTensor)
    assert composite.components[0] == ("r:0", "int64", ())
    assert got.defaults["x"].tolist() == [1.0]


def test_collections_are_decoded_and_unknown_ones_are_kept() -> None:
    meta = meta_graph()
    meta.collection_def["names"].node_list.value.extend(["a", "b:0"])
    meta.collection_def["numbers"].int64_list.value.extend([1, -2])
    meta.collection_def["floats"].float_list.value.append(0.5)
    meta.collection_def["bytes"].bytes_list.value.append(b"\xff")
    anything = meta.collection_def["any"].any_list.value.add()
    anything.type_url, anything.value = "type.googleapis.com/my.Own", b"\x08\x01"
    asset = meta.collection_def["saved_model_assets"].any_list.value.add()
    asset.type_url = "type.googleapis.com/tensorflow.AssetFileDef"
    asset.value = messages.AssetFileDef(
        filename="vocab.txt", tensor_info=messages.TensorInfo(name="path:0")
    ).SerializeToString()
    variable = messages.VariableDef(variable_name="p/part_0:0", is_resource=True, trainable=True)
    variable.save_slice_info_def.full_name = "p"
    variable.save_slice_info_def.full_shape.extend([4, 1])
    variable.save_slice_info_def.var_offset.extend([0, 0])
    variable.save_slice_info_def.var_shape.extend([2, 1])
    meta.collection_def["variables"].bytes_list.value.append(variable.SerializeToString())
    meta.collection_def["local_variables"].bytes_list.value.append(b"\xff\xff")
    got = ckptfmt.MetaGraph(meta, "m")
    assert got.collections["names"] == ("a", "b:0")
    assert got.collections["numbers"] == (1, -2)
    assert got.collections["floats"] == (0.5,)
    assert got.collections["bytes"] == (b"\xff",)
    assert got.collections["any"] == (("type.googleapis.com/my.Own", b"\x08\x01"),)
    assert got.collections["saved_model_assets"] == (("vocab.txt", "path:0"),)
    (known,) = got.variables
    assert (known.name, known.is_resource, known.trainable) == ("p/part_0:0", True, True)
    assert known.partition == ("p", (4, 1), (0, 0), (2, 1))
    assert got.trainable_variables == ()
    with pytest.raises(CorruptError):
        got.collections["local_variables"]
    with pytest.raises(KeyError):
        got.collections["none"]
    assert got.saver is None
    meta.saver_def.restore_op_name = "save/restore_all"
    meta.saver_def.version = 2
    saver = ckptfmt.MetaGraph(meta, "m").saver
    assert saver is not None
    assert (saver.restore_op, saver.version) == ("save/restore_all", "v2")


def test_graphs_too_large_for_protobuf_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = ckptfmt.Graph(adder())
    assert graph.to_bytes() == graph.message.SerializeToString(deterministic=True)
    monkeypatch.setattr("ckptfmt.graph.graph.MAX_BYTES", len(graph.to_bytes()))
    for write in (graph.to_bytes, lambda: graph.write(tmp_path / "g.pb")):
        with pytest.raises(GraphError, match="bytes or more"):
            write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_read", [False, True], ids=["built", "read"])
def test_a_graph_is_split_if_the_name_says_so(tmp_path: Path, is_read: bool) -> None:
    message = adder()
    values = np.arange(50_000, dtype=np.float32)
    for name in ("large", "larger"):
        node = message.node.add(name=name, op="Const")
        node.attr["dtype"].type = 1
        node.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(values))
    graph = ckptfmt.Graph(message)
    if is_read:
        # The bytes of large constants stay in the file.
        graph.write(tmp_path / "graph.pb")
        graph = ckptfmt.read_graph(tmp_path / "graph.pb").without_duplicates()
    graph.write(tmp_path / "graph.cpb")
    with pytest.raises(AlreadyExistsError):
        graph.write(tmp_path / "graph.cpb")
    got = ckptfmt.read_graph(tmp_path / "graph.cpb")
    assert got.message == message
    np.testing.assert_array_equal(got.constants["larger"], values)


def test_a_graph_of_2_gib_says_how_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = ckptfmt.Graph(adder())
    monkeypatch.setattr("ckptfmt.graph.graph.MAX_BYTES", 10)
    with pytest.raises(GraphError, match=r"write\(\) splits it if the name of the file ends in \.cpb"):
        graph.write(tmp_path / "graph.pb")
    graph.write(tmp_path / "graph.cpb")
    assert ckptfmt.read_graph(tmp_path / "graph.cpb").message == graph.message
