"""Freezing lookup tables without TensorFlow: what is named, what is refused, and graphs made to take long."""

from __future__ import annotations

import os
import pickle
import random
import time
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError, FreezeWarning, GraphError, LimitError
from ckptfmt.proto import messages
from tests.support.memory_filesystem import MemoryFilesystem

STRING, INT64, RESOURCE = (
    messages.DataType.DT_STRING,
    messages.DataType.DT_INT64,
    messages.DataType.DT_RESOURCE,
)
CONTENTS = {"t-keys": np.array([b"a", b"b"], object), "t-values": np.array([1, 2])}


def add_table(graph: messages.GraphDef, name: str, op: str = "HashTableV2") -> messages.NodeDef:
    """Add a table, and a node ``out_NAME`` that looks something up in it."""
    table = graph.node.add(name=name, op=op)
    table.attr["key_dtype"].type, table.attr["value_dtype"].type = STRING, INT64
    graph.node.add(name=f"out_{name}", op="LookupTableFindV2", input=[name, "x", "default"])
    return table


def new_graph(*tables: str, op: str = "HashTableV2") -> messages.GraphDef:
    graph = messages.GraphDef()
    for name in ("x", "default"):
        graph.node.add(name=name, op="Placeholder")
    for name in tables:
        add_table(graph, name, op)
    return graph


def fill(graph: messages.GraphDef, name: str, table: str, op: str = "InitializeTableV2") -> None:
    graph.node.add(name=name, op=op, input=[table, "keys", "values"])
    if not any(node.name == "keys" for node in graph.node):
        for constant in ("keys", "values"):
            graph.node.add(name=constant, op="Const")


def with_asset(directory: str = "assets") -> messages.SavedModel:
    """Return a model whose output is the path of an asset, through a variable as in TensorFlow 2."""
    model = messages.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    graph = meta.graph_def
    graph.node.add(name="path", op="Placeholder").attr["dtype"].type = STRING
    graph.node.add(name="v", op="VarHandleOp").attr["dtype"].type = STRING
    graph.node.add(name="assign", op="AssignVariableOp", input=["v", "path"])
    graph.node.add(name="read", op="ReadVariableOp", input=["v", "^assign"]).attr["dtype"].type = STRING
    graph.node.add(name="init", op="NoOp", input=["^assign"])
    asset = meta.asset_file_def.add(filename="words.txt")
    asset.tensor_info.name = "path:0"
    meta.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "init"
    return model


def test_a_node_that_fills_a_table_is_kept_and_named_with_the_graph_and_again_when_it_is_read(
    tmp_path: Path,
) -> None:
    graph = new_graph("t", "unused")
    fill(graph, "fill", "t")
    fill(graph, "fill_unused", "unused")
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out_t")
    assert list(frozen) == ["x", "default", "t", "out_t", "fill", "keys", "values"]
    assert frozen.initializers == ("fill",)
    for name in ("frozen.pb", "frozen.pbtxt"):
        frozen.write(tmp_path / name)
        assert ckptfmt.read_graph(tmp_path / name).initializers == ("fill",)
    assert pickle.loads(pickle.dumps(frozen)).initializers == ("fill",)
    assert frozen.prefixed("net").initializers == ("net/fill",)
    assert frozen.extract_subgraph("out_t").initializers == ()
    assert ckptfmt.freeze(frozen, {}, "out_t").initializers == ("fill",)


def test_the_init_op_runs_only_what_fills_the_tables_that_are_needed() -> None:
    graph = new_graph("t", "unused")
    fill(graph, "fill", "t")
    fill(graph, "fill_unused", "unused")
    graph.node.add(name="v", op="VarHandleOp").attr["dtype"].type = 1
    graph.node.add(name="assign", op="AssignVariableOp", input=["v", "x"])
    graph.node.add(name="tables", op="NoOp", input=["^fill", "^fill_unused"])
    graph.node.add(name="init", op="NoOp", input=["^assign", "^tables"])
    meta = messages.MetaGraphDef(graph_def=graph)
    meta.collection_def["saved_model_main_op"].node_list.value.append("init")
    parsed = ckptfmt.MetaGraph(meta, "m")
    assert parsed.init_op == "init"
    assert parsed.graph.initializers == ("tables",)
    for outputs in (["out_t"], ["out_t:0", "init"], ["init", "out_t"]):
        frozen = ckptfmt.freeze(parsed, {}, outputs)
        assert frozen.initializers == ("init",)
        assert [str(output) for output in frozen["init"].message.input] == ["^fill"]
        assert "unused" not in frozen
        assert "v" not in frozen
    assert ckptfmt.freeze(parsed, {}, "x").initializers == ()
    assert list(ckptfmt.freeze(parsed, {}, "init")["init"].message.input) == ["^fill", "^fill_unused"]


@pytest.mark.parametrize(
    ("collection", "kind"),
    [("saved_model_main_op", "node"), ("legacy_init_op", "node"), ("legacy_init_op", "tensor")],
)
def test_the_init_op_is_found_where_each_version_names_it(collection: str, kind: str) -> None:
    meta = messages.MetaGraphDef(graph_def=new_graph())
    assert ckptfmt.MetaGraph(meta, "m").init_op is None
    meta.collection_def[collection].node_list.value.append("old" if kind == "node" else "old:0")
    assert ckptfmt.MetaGraph(meta, "m").init_op == "old"
    assert ckptfmt.MetaGraph(meta, "m").signatures.init_op is None
    meta.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "new:0"
    parsed = ckptfmt.MetaGraph(meta, "m")
    assert parsed.init_op == parsed.signatures.init_op == "new"
    assert list(parsed.signatures) == []
    meta.collection_def["table_initializer"].node_list.value.extend(["a", "b:0"])
    assert parsed.table_initializers == ("a", "b")


@pytest.mark.parametrize("op", ["HashTable", "HashTableV2", "AnonymousHashTable"])
def test_a_static_table_that_nothing_fills_is_refused_by_name(op: str) -> None:
    with pytest.raises(GraphError, match=f"nothing in the graph fills this {op}") as caught:
        ckptfmt.freeze(ckptfmt.Graph(new_graph("t", op=op)), {}, "out_t")
    assert caught.value.node == "t"
    assert "t" not in ckptfmt.freeze(ckptfmt.Graph(new_graph("t", op=op)), {}, "x")


@pytest.mark.parametrize(
    ("op", "importer"),
    [
        ("MutableHashTable", "LookupTableImport"),
        ("MutableHashTableV2", "LookupTableImportV2"),
        ("MutableHashTableOfTensorsV2", "LookupTableImportV2"),
        ("AnonymousMutableHashTable", "LookupTableImportV2"),
    ],
)
def test_contents_of_a_mutable_table_become_constants(op: str, importer: str) -> None:
    graph = new_graph("t", op=op)
    graph.node.add(name="t/keys", op="Const")  # a name that is taken
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), CONTENTS, "out_t")
    assert frozen.initializers == ("t/import",)
    assert frozen["t/import"].op == importer
    assert list(frozen["t/import"].message.input) == ["t", "t/keys_1", "t/values"]
    assert frozen["t/import"].attributes["Tin"] == "string"
    assert frozen.constants["t/keys_1"].tolist() == [b"a", b"b"]
    assert frozen.constants["t/values"].tolist() == [1, 2]
    assert not frozen["t"].op.startswith("Anonymous")


def test_large_contents_are_written_whole(tmp_path: Path) -> None:
    keys = np.array([b"%d" % i for i in range(100_000)], object)
    values = np.arange(100_000)
    graph = ckptfmt.Graph(new_graph("t", op="MutableHashTableV2"))
    frozen = ckptfmt.freeze(graph, {"t-keys": keys, "t-values": values}, "out_t")
    frozen.write(tmp_path / "frozen.pb")
    read = ckptfmt.read_graph(tmp_path / "frozen.pb")
    np.testing.assert_array_equal(read.constants["t/keys"], keys)
    np.testing.assert_array_equal(read.constants["t/values"], values)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("t-keys", np.array([1, 2]), "keys: got int64, want string"),
        ("t-values", np.array([1.0, 2.0]), "values: got float64, want int64"),
        ("t-values", np.array([1]), r"keys of shape \[2\] and values of \[1\]"),
        ("t-keys", np.array(b"a", object), r"keys of shape \[\]"),
    ],
)
def test_contents_that_do_not_fit_are_refused(name: str, value: np.ndarray, message: str) -> None:
    graph = ckptfmt.Graph(new_graph("t", op="MutableHashTableV2"))
    with pytest.raises(GraphError, match=message) as caught:
        ckptfmt.freeze(graph, {**CONTENTS, name: value}, "out_t")
    assert caught.value.node == "t"


def test_a_mutable_table_without_contents_is_told() -> None:
    graph = new_graph("t", op="MutableHashTableV2")
    with pytest.warns(FreezeWarning, match="node 't': MutableHashTableV2 starts empty"):
        assert ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out_t").initializers == ()
    for name in ("first", "second"):
        fill(graph, name, "t", "LookupTableImportV2")
    with pytest.raises(GraphError, match="several nodes fill it: 'first', 'second'"):
        ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out_t")


@pytest.mark.parametrize("op", ["FIFOQueueV2", "RandomShuffleQueue", "IteratorV2", "TextLineReaderV2"])
def test_what_a_program_fills_as_it_runs_is_warned_of(op: str) -> None:
    graph = messages.GraphDef()
    graph.node.add(name="q", op=op)
    graph.node.add(name="out", op="Identity", input=["q"])
    with pytest.warns(FreezeWarning, match=f"node 'q': the contents of {op}"):
        ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out")


@pytest.mark.parametrize(
    "op", ["BoostedTreesEnsembleResourceHandleOp", "DecisionTreeEnsembleResourceHandleOp"]
)
def test_trees_are_refused_by_name(op: str) -> None:
    graph = messages.GraphDef()
    graph.node.add(name="trees", op=op)
    graph.node.add(name="out", op="BoostedTreesPredict", input=["trees"])
    with pytest.raises(GraphError, match=f"the contents of {op} cannot be frozen") as caught:
        ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out")
    assert caught.value.node == "trees"


# --- assets ----------------------------------------------------------------------------------------------


def test_assets_are_where_the_model_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(with_asset().SerializeToString())
    monkeypatch.chdir(tmp_path)
    want = os.fsencode(tmp_path / "model" / "assets" / "words.txt")
    for path in ("model", "model/saved_model.pb", tmp_path / "model", "./model/"):
        for meta in (ckptfmt.read_meta_graph(path), ckptfmt.open_saved_model(path).meta_graph):
            frozen = ckptfmt.freeze(meta, {}, ["read", "init"])
            assert frozen.constants["v"].item() == want
            assert frozen["read"].op == "Identity"
            assert "path" not in frozen
    monkeypatch.chdir(tmp_path / "model")
    assert ckptfmt.freeze(ckptfmt.read_meta_graph("."), {}, "read").constants["v"].item() == want
    assert ckptfmt.freeze(ckptfmt.read_meta_graph("saved_model.pb"), {}, "read").constants["v"].item() == want


def test_assets_of_another_file_system_keep_their_paths() -> None:
    fs = MemoryFilesystem({"bucket/model/saved_model.pb": with_asset().SerializeToString()})
    for meta in (
        ckptfmt.read_meta_graph("bucket/model", fs=fs),
        ckptfmt.open_saved_model("bucket/model", fs=fs).meta_graph,
    ):
        frozen = ckptfmt.freeze(meta, {}, "read")
        assert frozen.constants["v"].item() == b"bucket/model/assets/words.txt"


def test_assets_of_a_model_without_a_path_are_refused() -> None:
    meta = ckptfmt.read_meta_graph(with_asset().SerializeToString())
    with pytest.raises(GraphError, match=r"path of asset 'words.txt' is not known") as caught:
        ckptfmt.freeze(meta, {}, "read")
    assert caught.value.node == "path"


def test_assets_that_lead_out_of_the_model_are_refused(tmp_path: Path) -> None:
    model = with_asset()
    model.meta_graphs[0].asset_file_def[0].filename = "../../etc/passwd"
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(CorruptError, match="leads out of the model"):
        ckptfmt.freeze(ckptfmt.read_meta_graph(tmp_path), {}, "read")


# --- graphs made to take long ----------------------------------------------------------------------------


def call(body: object, name: str, function: str, inputs: list[str]) -> None:
    node = body.add(name=name, op="PartitionedCall", input=inputs)  # type: ignore[attr-defined]
    node.attr["f"].func.name = function
    node.attr["Tin"].list.type.extend([RESOURCE] * len(inputs))


def test_functions_that_call_each_other_twice_take_linear_time() -> None:
    graph = new_graph("t")
    count = 200
    for i in range(count):
        function = graph.library.function.add()
        function.signature.name = f"f{i}"
        for name in ("a", "b"):
            function.signature.input_arg.add(name=name, type=RESOURCE)
        if i:
            call(function.node_def, "first", f"f{i - 1}", ["a", "b"])
            call(function.node_def, "second", f"f{i - 1}", ["b", "a"])
        else:
            function.node_def.add(name="fill", op="InitializeTableV2", input=["a", "b", "b"])
    call(graph.node, "fill", f"f{count - 1}", ["t", "t"])
    call(graph.node, "circle", "circle", ["t"])
    circle = graph.library.function.add()
    circle.signature.name = "circle"
    circle.signature.input_arg.add(name="a", type=RESOURCE)
    circle.signature.output_arg.add(name="r", type=RESOURCE)
    call(circle.node_def, "again", "circle", ["a"])
    circle.ret["r"] = "again:output:0"
    start = time.perf_counter()
    assert ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out_t").initializers == ("fill",)
    assert time.perf_counter() - start < 5


def test_too_many_ways_to_fill_tables_are_a_limit() -> None:
    graph = new_graph("t")
    width, shuffle = 64, random.Random(0)
    arguments = [f"a{i}" for i in range(width)]
    for level in range(20):
        function = graph.library.function.add()
        function.signature.name = f"f{level}"
        for name in arguments:
            function.signature.input_arg.add(name=name, type=RESOURCE)
        if not level:
            function.node_def.add(name="fill", op="InitializeTableV2", input=arguments[:3])
            continue
        call(function.node_def, "same", f"f{level - 1}", arguments)
        call(function.node_def, "moved", f"f{level - 1}", shuffle.sample(arguments, width))
    call(graph.node, "fill", "f19", ["t"] * width)
    start = time.perf_counter()
    with pytest.raises(LimitError, match=r"function 'f\d+' fills tables"):
        ckptfmt.freeze(ckptfmt.Graph(graph), {}, "out_t")
    assert time.perf_counter() - start < 20


def test_many_tables_and_long_chains_take_linear_time() -> None:
    count = 500
    graph = new_graph(*(f"t{i}" for i in range(count)))
    previous = "t0"
    for i in range(10_000):
        graph.node.add(name=f"n{i}", op="Identity", input=[previous])
        previous = f"n{i}"
    fill(graph, "fill0", previous)
    for i in range(1, count):
        # Each is filled from the one before, so that each is found to be needed only after it.
        fill(graph, f"fill{i}", f"t{i}")
        graph.node[-1].input[1] = f"out_t{i - 1}"
        graph.node.add(name=f"unused{i}", op="NoOp", input=[f"^fill{i}"])
    start = time.perf_counter()
    frozen = ckptfmt.freeze(ckptfmt.Graph(graph), {}, f"out_t{count - 1}")
    assert time.perf_counter() - start < 10
    assert len(frozen.initializers) == count
