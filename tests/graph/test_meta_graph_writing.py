"""Meta graphs made and written: signatures, collections, files, and what a checkpoint for them lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.errors import (
    AlreadyExistsError,
    CorruptError,
    GraphError,
    NameNotFoundError,
    TensorNotFoundError,
)
from ckptfmt.graph.meta.collection import AnyMessage, Asset, Partition, Variable
from ckptfmt.graph.meta.signature import SparseTensor
from ckptfmt.proto import messages
from tests.support import corpus
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.variable_graphs import build, mixed, plain

METAS = [
    pytest.param(path, marks=pytest.mark.corpus, id=path.relative_to(corpus.CORPUS).as_posix())
    for path in sorted(corpus.CORPUS.glob("**/*.meta"))
]

GRAPH = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }
node { name: "w" op: "VariableV2" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "shape" value { shape { dim { size: 3 } dim { size: 2 } } } } }
node { name: "w/init" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 3 } dim { size: 2 } }
                                            float_val: 0 } } } }
node { name: "w/Assign" op: "Assign" input: "w" input: "w/init" attr { key: "T" value { type: DT_FLOAT } } }
node { name: "w/read" op: "Identity" input: "w" attr { key: "T" value { type: DT_FLOAT } } }
node { name: "y" op: "MatMul" input: "x" input: "w/read" attr { key: "T" value { type: DT_FLOAT } } }
node { name: "init" op: "NoOp" input: "^w/Assign" }
node { name: "mine" op: "MyOwnOp" input: "y" }
"""


@pytest.fixture
def graph() -> ckptfmt.Graph:
    return ckptfmt.read_graph(GRAPH.encode())


# --- signatures --------------------------------------------------------------------------------------------


def test_a_signature_gets_dtypes_and_shapes_from_the_graph(graph: ckptfmt.Graph) -> None:
    short = {"inputs": {"in": "x"}, "outputs": {"out": "y:0"}}
    meta = ckptfmt.make_meta_graph(graph, signatures={"serving_default": short})
    signature = meta.signatures["serving_default"]
    assert signature.method == "tensorflow/serving/predict"
    assert signature.inputs == {"in": ckptfmt.TensorInfo("x:0", ckptfmt.as_dtype("float32"), (None, 3))}
    assert signature.outputs == {"out": ckptfmt.TensorInfo("y:0", ckptfmt.as_dtype("float32"), None)}


def test_a_signature_may_say_all_that_a_file_can(graph: ckptfmt.Graph) -> None:
    info = ckptfmt.TensorInfo("mine:0", ckptfmt.as_dtype("int64"), (None,))
    sparse = SparseTensor("y:0", "x:0", "w")
    full = {
        "inputs": {"x": graph.tensor("x"), "sparse": sparse},
        "outputs": {"mine": info},
        "method": "",
        "defaults": {"x": [[1, 2, 3]]},
    }
    meta = ckptfmt.make_meta_graph(graph, signatures={"full": full, "op": {"outputs": {"init": "init"}}})
    signature = meta.signatures["full"]
    assert signature.method == ""
    assert signature.outputs == {"mine": info}
    assert signature.inputs["sparse"].tensor == SparseTensor("y:0", "x:0", "w:0")
    np.testing.assert_array_equal(signature.defaults["x"], np.array([[1, 2, 3]], np.float32))
    assert meta.message.signature_def["op"].outputs["init"].name == "init"
    # A signature that was read is one, and so is its message.
    again = {"full": signature, "op": meta.message.signature_def["op"]}
    assert (
        ckptfmt.make_meta_graph(graph, signatures=again).message.signature_def == meta.message.signature_def
    )


@pytest.mark.parametrize(
    ("signature", "error", "what"),
    [
        ({"outputs": {"y": "z:0"}}, NameNotFoundError, "signature 's': no node named 'z'"),
        ({"outputs": {"y": "y:1"}}, TensorNotFoundError, "signature 's': no tensor named 'y:1'"),
        ({"outputs": {"y": "mine"}}, GraphError, "its dtype is not known: pass a TensorInfo"),
        ({"outputs": {"y": 3}}, GraphError, "signature 's': got 3, want the name of a tensor"),
        ({"output": {"y": "y"}}, GraphError, "want a mapping with 'inputs' and 'outputs'"),
        ({"outputs": {"y": "y"}, "name": ""}, GraphError, "signature 's': got 'name', want one of 'inputs'"),
        ("y:0", GraphError, "signature 's': got 'y:0', want a mapping"),
        (
            {"outputs": ["y"]},
            GraphError,
            "signature 's': outputs: got .*, want a mapping of names to tensors",
        ),
    ],
)
def test_a_wrong_signature_is_refused(
    graph: ckptfmt.Graph, signature: Any, error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        ckptfmt.make_meta_graph(graph, signatures={"s": signature})


@pytest.mark.corpus
@pytest.mark.parametrize(
    "path", sorted(corpus.CORPUS.glob("**/saved_model.pb*")), ids=lambda p: p.parent.name
)
def test_the_signatures_of_a_saved_model_are_made_again(path: Path) -> None:
    if path.parent.name == "reviews_pbtxt":
        pytest.skip("damaged on its way")
    for meta in ckptfmt.open_saved_model(path.parent).meta_graphs:
        bare = ckptfmt.make_meta_graph(meta.graph, saver=False)
        made = ckptfmt.make_meta_graph(bare, saver=False, signatures=meta.signatures)
        assert dict(made.signatures) == dict(meta.signatures.items())


# --- collections -------------------------------------------------------------------------------------------


def test_collections_hold_names_messages_and_numbers(graph: ckptfmt.Graph) -> None:
    variable = Variable("w:0", "w/Assign", "w/read:0", "w/init:0", True, False, None, "auto", "none")
    assert ckptfmt.make_meta_graph(graph).variables == (variable,)
    collections: dict[str, Any] = {
        "losses": ["y:0", "init"],
        "train_op": "init",
        "steps": [1, 2],
        "rates": [0.5],
        "raw": [b"\x00\xff"],
        "local_variables": [variable],
        "saved_model_assets": [Asset("words.txt", "x:0")],
        "any": [AnyMessage("type.googleapis.com/mine", b"1")],
        "empty": [],
    }
    meta = ckptfmt.make_meta_graph(graph, collections=collections)
    got = {name: list(meta.collections[name]) for name in collections}
    assert got == {**collections, "train_op": ["init"]}


def test_wrong_collections_are_refused(graph: ckptfmt.Graph) -> None:
    with pytest.raises(NameNotFoundError, match="no node for collection 'losses' named 'loss:0'"):
        ckptfmt.make_meta_graph(graph, collections={"losses": ["loss:0"]})
    with pytest.raises(GraphError, match="collection 'mixed': got items of int, str, want one kind"):
        ckptfmt.make_meta_graph(graph, collections={"mixed": ["y", 1]})
    with pytest.raises(GraphError, match="collection 'none': got items of NoneType"):
        ckptfmt.make_meta_graph(graph, collections={"none": [None]})  # type: ignore[list-item]


def test_a_meta_graph_keeps_what_it_has(graph: ckptfmt.Graph) -> None:
    first = ckptfmt.make_meta_graph(graph, tags=["serve"], collections={"losses": ["y:0"]})
    again = ckptfmt.make_meta_graph(first, tags=["serve", "gpu"], signatures={"s": {"outputs": {"y": "y"}}})
    assert again.tags == {"serve", "gpu"}
    assert again.graph == first.graph
    assert again.saver == first.saver
    assert again.collections["losses"] == ("y:0",)
    assert list(first.signatures) == []
    assert ckptfmt.make_meta_graph(graph, saver=False).saver is None


def test_a_graph_without_variables_has_no_saver() -> None:
    graph = ckptfmt.read_graph(b'node { name: "x" op: "Placeholder" }')
    meta = ckptfmt.make_meta_graph(graph)
    assert meta.saver is None
    assert len(meta.collections) == 0
    assert meta.graph == graph


def test_a_variable_that_nothing_initialises_is_saved_but_not_collected() -> None:
    graph = ckptfmt.read_graph(GRAPH.encode()).extract_subgraph(["y"])
    meta = ckptfmt.make_meta_graph(graph)
    assert list(meta.saved_variables) == ["w"]
    assert meta.variables == ()


@pytest.mark.parametrize(
    "place",
    [
        Partition("w", (3, 2), (0,), (3, 2)),
        Partition("w", (3, 2), (0, 0), (4, 2)),
        Partition("w", (3, 2), (-1, 0), (3, 2)),
        Partition("w", (), (0, 0), (3, 2)),
        Partition("w", (3,), (0, 0), (3, 2)),
    ],
)
def test_a_part_where_none_can_be_is_refused(graph: ckptfmt.Graph, place: Partition) -> None:
    variable = ckptfmt.make_meta_graph(graph).variables[0]._replace(partition=place, snapshot="gone:0")
    with pytest.raises(CorruptError, match="<bytes>: a part of variable 'w': "):
        ckptfmt.make_meta_graph(graph, collections={"variables": [variable]})


def test_a_part_whose_snapshot_is_gone_is_saved_itself(graph: ckptfmt.Graph) -> None:
    place = Partition("w", (6, 2), (0, 0), (3, 2))
    variable = ckptfmt.make_meta_graph(graph).variables[0]._replace(partition=place, snapshot="gone:0")
    meta = ckptfmt.make_meta_graph(graph, collections={"variables": [variable]})
    assert meta.graph["save/SaveV2"].inputs[3].node == "w"
    assert meta.saved_variables["w"].shape == (6, 2)


def test_arguments_of_other_kinds_are_taken_or_refused(graph: ckptfmt.Graph) -> None:
    assert ckptfmt.make_meta_graph(graph, tags="serve", collections={"losses": "y"}).tags == {"serve"}
    assert list(ckptfmt.make_meta_graph(graph, saver="w").saved_variables) == ["w"]
    with pytest.raises(TypeError, match=r"graph: got 'graph\.pb', want what read_graph"):
        ckptfmt.make_meta_graph("graph.pb")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="no variables to save"):
        ckptfmt.make_meta_graph(graph, saver=[])


def test_a_graph_with_two_nodes_of_one_name_is_refused(graph: ckptfmt.Graph) -> None:
    message = graph.message
    message.node.add(name="y", op="NoOp")
    with pytest.raises(GraphError, match=r"node 'y': 2 nodes have this name; Graph\.without_duplicates"):
        ckptfmt.make_meta_graph(ckptfmt.Graph(message))


def test_large_constants_are_in_the_meta_graph(tmp_path: Path) -> None:
    message = messages.GraphDef()
    node = message.node.add(name="c", op="Const")
    value = np.arange(100_000, dtype=np.float32)
    node.attr["dtype"].type = 1
    node.attr["value"].tensor.CopyFrom(ckptfmt.to_proto(value))
    ckptfmt.Graph(message).write(tmp_path / "graph.pb")
    ckptfmt.make_meta_graph(ckptfmt.read_graph(tmp_path / "graph.pb")).write(tmp_path / "graph.meta")
    read = ckptfmt.read_meta_graph(tmp_path / "graph.meta")
    np.testing.assert_array_equal(read.graph.constants["c"], value)


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", METAS)
def test_what_is_written_is_what_was_read(path: Path, tmp_path: Path) -> None:
    meta = ckptfmt.read_meta_graph(path)
    for name in ("copy.meta", "copy.pbtxt"):
        meta.write(tmp_path / name)
        read = ckptfmt.read_meta_graph(tmp_path / name)
        # Text has the content of Any messages, the fields of which may then come in another order.
        messages_of_any = [
            [item for items in each.collections.values() for item in items if isinstance(item, AnyMessage)]
            for each in (read, meta)
        ]
        for got, want in zip(*messages_of_any, strict=True):
            assert (got.type_url, sorted(got.value)) == (want.type_url, sorted(want.value))
        wanted = messages.MetaGraphDef.FromString(meta.to_bytes())
        for message in (read.message, wanted):
            for collection in message.collection_def.values():
                for item in collection.any_list.value if collection.HasField("any_list") else ():
                    item.ClearField("value")
        assert read.message == wanted
    assert (tmp_path / "copy.meta").read_bytes() == meta.to_bytes()
    assert (tmp_path / "copy.pbtxt").read_text(encoding="utf-8") == meta.to_text()


@pytest.mark.parametrize("path", METAS)
def test_a_new_saver_restores_what_the_old_one_did(path: Path) -> None:
    meta = ckptfmt.read_meta_graph(path)
    if not meta.graph.variables:
        with pytest.raises(GraphError, match="no variables to save"):
            meta.with_saver()
        return
    for renewed in (meta.with_saver(replace=True), meta.with_saver()):
        saved = renewed.saved_variables
        # One was exported with a Saver for some of its variables only.
        assert {name: saved[name] for name in meta.saved_variables} == dict(meta.saved_variables)
        assert set(saved) - set(meta.saved_variables) <= {"global_step"}
    assert set(meta.graph) < set(renewed.graph)


def test_files_are_replaced_only_if_asked(graph: ckptfmt.Graph, tmp_path: Path) -> None:
    meta = ckptfmt.make_meta_graph(graph)
    target = tmp_path / "model.meta"
    meta.write(target)
    with pytest.raises(AlreadyExistsError, match="pass overwrite=True"):
        meta.write(target)
    meta.write(str(target), overwrite=True, as_text=True)
    assert target.read_text().startswith("meta_info_def {")
    assert ckptfmt.read_meta_graph(target).message == meta.message
    meta.write(tmp_path / "binary.pbtxt", as_text=False)
    assert (tmp_path / "binary.pbtxt").read_bytes() == meta.to_bytes()


def test_a_file_system_in_memory_gets_the_file(graph: ckptfmt.Graph) -> None:
    fs = MemoryFilesystem({})
    meta = ckptfmt.make_meta_graph(graph)
    meta.write("run/model.meta", fs=fs)
    assert ckptfmt.read_meta_graph("run/model.meta", fs=fs).message == meta.message


# --- tensors for a Saver -----------------------------------------------------------------------------------


def test_tensors_that_a_saver_lacks_are_named(graph: ckptfmt.Graph) -> None:
    meta = ckptfmt.make_meta_graph(graph)
    meta.check_tensors({"w": np.zeros((3, 2), np.float32), "more": 1})
    with pytest.raises(
        TensorNotFoundError, match=r"restores tensor 'w', which is missing; did you mean 'w1'"
    ):
        meta.check_tensors({"w1": np.zeros((3, 2), np.float32)})
    with pytest.raises(
        GraphError, match=r"do not fit the Saver: 'w': got float32\[2,3\], want float32\[3,2\]"
    ):
        meta.check_tensors({"w": np.zeros((2, 3), np.float32)})
    with pytest.raises(GraphError, match=r"'w': got float64\[3,2\], want float32\[3,2\]"):
        meta.check_tensors({"w": np.zeros((3, 2))})


# --- beside TensorFlow -------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_text_is_what_tensorflow_writes(tensorflow: Any, tmp_path: Path) -> None:
    v1 = tensorflow.compat.v1
    graph = build(tensorflow, mixed, True)
    tensorflow.io.write_graph(graph.as_graph_def(), str(tmp_path), "graph.pbtxt")
    read = ckptfmt.read_graph(tmp_path / "graph.pbtxt")
    read.write(tmp_path / "ours.pbtxt")
    assert (tmp_path / "ours.pbtxt").read_bytes() == (tmp_path / "graph.pbtxt").read_bytes()
    with graph.as_default():
        v1.train.export_meta_graph(str(tmp_path / "theirs.meta"), as_text=True)
    meta = ckptfmt.read_meta_graph(tmp_path / "theirs.meta")
    meta.write(tmp_path / "ours.meta", as_text=True)
    assert (tmp_path / "ours.meta").read_bytes() == (tmp_path / "theirs.meta").read_bytes()


@pytest.mark.tensorflow
@pytest.mark.parametrize("as_text", [False, True])
def test_tensorflow_imports_signatures_collections_and_variables(
    tensorflow: Any, tmp_path: Path, as_text: bool
) -> None:
    v1 = tensorflow.compat.v1
    graph = build(tensorflow, mixed, False)
    meta = ckptfmt.make_meta_graph(
        ckptfmt.read_graph(graph.as_graph_def(add_shapes=True).SerializeToString()),
        signatures={"s": {"inputs": {"x": "other/net/x:0"}, "outputs": {"y": "other/net/y:0"}}},
        collections={"losses": ["other/net/y:0"], "train_op": ["other/net/train"], "steps": [3]},
    )
    meta.write(tmp_path / "model.meta", as_text=as_text)
    with tensorflow.Graph().as_default() as imported:
        v1.train.import_meta_graph(str(tmp_path / "model.meta"))
        wanted = [v.name for v in graph.get_collection("variables")]
        assert [v.name for v in v1.global_variables()] == wanted
        assert [t.name for t in imported.get_collection("losses")] == ["other/net/y:0"]
        assert [op.name for op in imported.get_collection("train_op")] == ["other/net/train"]
        assert imported.get_collection("steps") == [3]
        x, y = (imported.get_tensor_by_name(f"other/net/{name}:0") for name in "xy")
        predict = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
    got = meta.message.signature_def["s"].SerializeToString(deterministic=True)
    assert got == predict.SerializeToString(deterministic=True)


@pytest.mark.tensorflow
@pytest.mark.parametrize("use_resource", [False, True])
def test_training_goes_on_from_a_written_meta_graph(
    tensorflow: Any, tmp_path: Path, use_resource: bool
) -> None:
    """A new Saver and an initializer, made from the imported collections, work as in the first program."""
    v1 = tensorflow.compat.v1
    graph = build(tensorflow, plain, use_resource)
    data = graph.as_graph_def().SerializeToString()
    ckptfmt.make_meta_graph(ckptfmt.read_graph(data)).write(tmp_path / "model.meta")
    with tensorflow.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        v1.train.import_meta_graph(str(tmp_path / "model.meta"), clear_devices=True, import_scope="scope")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "new"), write_meta_graph=False)
    assert sorted(ckptfmt.open(tmp_path / "new")) == [
        f"scope/plain/{name}" for name in ("a", "b", "flag", "half", "text")
    ]


@pytest.mark.tensorflow
@pytest.mark.parametrize("as_text", [False, True])
def test_write_graph_is_that_of_tensorflow(tensorflow: Any, tmp_path: Path, as_text: bool) -> None:
    graph = build(tensorflow, mixed, True)
    theirs = tensorflow.io.write_graph(graph, str(tmp_path / "theirs"), "graph.txt", as_text)
    for given in (graph.as_graph_def(), ckptfmt.read_graph(theirs)):
        path = compat.write_graph(given, tmp_path / "new" / "ours", "graph.txt", as_text)
        assert path == str(tmp_path / "new" / "ours" / "graph.txt")
        assert Path(path).read_bytes() == Path(theirs).read_bytes()
