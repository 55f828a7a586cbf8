"""``ckptfmt model`` as its users see it."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.proto import keras_metadata, messages
from tests.support.command_line import run, run_json
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries
from tests.support.golden import GOLDEN
from tests.support.keras_models import sequential
from tests.support.table_writer import write_bundle

GOLDEN_MODEL = GOLDEN / "saved_model" / "model"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    saved = messages.SavedModel(saved_model_schema_version=1)
    for tags in (["serve"], ["serve", "gpu"]):
        meta = saved.meta_graphs.add()
        meta.meta_info_def.tags.extend(tags)
        meta.meta_info_def.tensorflow_version = "1.15.0"
        v = meta.graph_def.node.add(name="v", op="VarHandleOp")
        v.attr["dtype"].type = 1
        v.attr["shape"].shape.dim.add(size=2)
        names = meta.graph_def.node.add(name="names", op="Const")
        names.attr["value"].tensor.dtype = messages.DataType.DT_STRING
        names.attr["value"].tensor.tensor_shape.dim.add(size=1)
        names.attr["value"].tensor.string_val.append(b"stored\x1b")
        slices = meta.graph_def.node.add(name="slices", op="Const")
        slices.attr["value"].tensor.CopyFrom(names.attr["value"].tensor)
        slices.attr["value"].tensor.string_val[0] = b""
        restore = meta.graph_def.node.add(name="restore", op="RestoreV2", input=["p", "names", "slices"])
        restore.attr["dtypes"].list.type.append(1)
        meta.graph_def.node.add(name="p", op="Placeholder")
        meta.graph_def.node.add(name="assign", op="AssignVariableOp", input=["v", "restore"])
        meta.graph_def.node.add(name="all", op="NoOp", input=["^assign"])
        meta.saver_def.restore_op_name = "all"
        signature = meta.signature_def["predict"]
        signature.method_name = "tensorflow/serving/predict"
        signature.inputs["x"].name, signature.inputs["x"].dtype = "x:0", 1
        signature.inputs["x"].tensor_shape.dim.add(size=-1)
        sparse = signature.outputs["s"].coo_sparse
        sparse.values_tensor_name = "v:0"
        sparse.indices_tensor_name, sparse.dense_shape_tensor_name = "names:0", "slices:0"
        meta.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "init"
        meta.asset_file_def.add(filename="words.txt").tensor_info.name = "a:0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    (tmp_path / "variables").mkdir()
    write_bundle(tmp_path / "variables" / "variables", {"stored\x1b": np.zeros(2, np.float32)})
    return tmp_path


def test_everything_in_the_directory_is_shown(model: Path) -> None:
    result = run("model", model)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:4] == [
        "serve",
        "TensorFlow 1.15.0",
        "graph 7 nodes, 0 functions",
        "ops Const 2, VarHandleOp 1, RestoreV2 1, Placeholder 1, AssignVariableOp 1, NoOp 1",
    ]
    at = lines.index("predict tensorflow/serving/predict")
    assert lines[at + 1 : at + 3] == ["input x float32[?] x:0", "output s invalid[] v:0, names:0, slices:0"]
    assert "gpu, serve" in lines
    assert "variables: 1, 8 B" in lines
    assert "v float32[2] <- stored\\x1b" in lines
    assert "asset: words.txt -> a:0 MISSING unused" in lines
    assert lines.count("init op init") == 2  # not as a signature
    assert "__saved_model_init_op" not in result.stdout


def test_json_has_everything(model: Path) -> None:
    document = run_json("model", model, "--tags", "gpu,serve")
    (meta,) = document["meta_graphs"]
    assert (meta["tags"], meta["nodes"], meta["init_op"]) == (["gpu", "serve"], 7, "init")
    signature = meta["signatures"]["predict"]
    assert signature["inputs"] == {"x": {"tensor": "x:0", "dtype": "float32", "shape": [None]}}
    assert signature["outputs"]["s"]["tensor"] == ["v:0", "names:0", "slices:0"]
    assert document["variables"] == [
        {
            "name": "v",
            "key": "stored\x1b",
            "dtype": "float32",
            "shape": [2],
            "nbytes": 8,
            "stored": True,
            "used": True,
        }
    ]
    assert document["assets"] == [{"filename": "words.txt", "tensor": "a:0", "exists": False, "used": False}]
    assert document["fingerprint"] is None


def test_missing_signatures_tags_and_files_are_errors(model: Path, tmp_path: Path) -> None:
    result = run("model", model, "--signature", "none")
    assert result.exit_code == 4
    assert "no signature named 'none'; did you mean 'predict'?" in result.stderr
    assert list(run_json("model", model, "--signature", "predict")["meta_graphs"][0]["signatures"]) == [
        "predict"
    ]
    assert run("model", model, "--tags", "train").exit_code == 2
    assert run("model", tmp_path / "none").exit_code == 4
    (model / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff")
    assert run("model", model).exit_code == 3


# --- what is used, and what can be called ----------------------------------------------------------------


def lines_of(*args: object, code: int = 0) -> list[str]:
    result = run("model", *args)
    assert result.exit_code == code, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_what_signatures_use_and_what_none_uses_is_shown() -> None:
    lines = lines_of(GOLDEN_MODEL)
    assert "uses 2 variables of 36 B, 2 functions" in lines
    assert "unused 1 variable of 8 B, 1 asset, 2 functions" in lines
    assert "step int64[] <- step/.ATTRIBUTES/VARIABLE_VALUE unused" in lines
    assert "b float32[3] <- b/.ATTRIBUTES/VARIABLE_VALUE" in lines
    assert "asset: vocabulary.txt -> asset_path_initializer:0 unused" in lines
    (meta,) = run_json("model", GOLDEN_MODEL)["meta_graphs"]
    reach = meta["signatures"]["serving_default"]["reach"]
    assert (reach["variables"], reach["bytes"], reach["assets"]) == (["w", "b"], 36, [])
    assert (meta["unreached"]["variables"], meta["unreached"]["bytes"]) == (["step"], 8)
    assert meta["unreached"]["assets"] == ["vocabulary.txt"]
    functions = {*reach["functions"], *meta["unreached"]["functions"]}
    assert len(functions) == meta["functions"]
    assert meta["ops"]["MatMul"] == 1


def test_functions_are_shown_as_they_are_called() -> None:
    lines = lines_of(GOLDEN_MODEL)
    assert "function __call__(x: float32[?,2]) -> float32[?,3]" in lines
    assert not any("signatures/" in line for line in lines)
    hidden = run("model", GOLDEN_MODEL).stderr
    assert hidden == "1 function of other objects hidden; pass --functions to show it\n"
    every = run("model", GOLDEN_MODEL, "--functions")
    assert every.stderr == ""
    assert "function  signatures/serving_default(x: float32[?,2]) -> {output_0: float32[?,3]}" in every.stdout
    (meta,) = run_json("model", GOLDEN_MODEL)["meta_graphs"]
    call, wrapper = meta["object_functions"]
    assert (call["path"], call["aliases"], call["parameters"]) == ("__call__", [], ["x"])
    assert wrapper["path"] == "signatures/serving_default"
    assert {*call["traces"], *wrapper["traces"]} == set(meta["concrete_functions"])
    x = {"kind": "tensor", "name": "x", "dtype": "float32", "shape": [None, 2]}
    trace = meta["concrete_functions"][call["traces"][0]]
    assert trace["arguments"] == [{"name": "x", "value": x}]
    assert trace["keyword_arguments"] == {}
    assert trace["outputs"]["dtype"] == "float32"
    wrapped = meta["concrete_functions"][wrapper["traces"][0]]
    assert (wrapped["arguments"], wrapped["keyword_arguments"]) == ([], {"x": x})


@pytest.fixture
def objects(tmp_path: Path) -> Callable[[Callable[[messages.MetaGraphDef], None]], Path]:
    """Return a model made of the objects that a function creates."""

    def make(change: Callable[[messages.MetaGraphDef], None]) -> Path:
        saved = messages.SavedModel(saved_model_schema_version=1)
        meta = saved.meta_graphs.add()
        meta.meta_info_def.tags.append("serve")
        meta.object_graph_def.nodes.add()
        change(meta)
        (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
        return tmp_path

    return make


def add_function(meta: messages.MetaGraphDef, name: str, *traces: str, parent: int = 0) -> int:
    graph = meta.object_graph_def
    if not graph.nodes:
        graph.nodes.add()
    number = len(graph.nodes)
    graph.nodes[parent].children.add(node_id=number, local_name=name)
    graph.nodes.add().function.concrete_functions.extend(traces)
    return number


def tensor(value: messages.StructuredValue, name: str, *shape: int, dtype: int = 1) -> None:
    value.tensor_spec_value.name, value.tensor_spec_value.dtype = name, dtype
    value.tensor_spec_value.shape.SetInParent()
    for size in shape:
        value.tensor_spec_value.shape.dim.add(size=size)


def test_arguments_of_any_kind_are_shown(objects) -> None:
    def change(meta: messages.MetaGraphDef) -> None:
        number = add_function(meta, "f.g\x1b", "trace")
        spec = meta.object_graph_def.nodes[number].function.function_spec
        spec.is_method = True
        fields = spec.fullargspec.named_tuple_value
        fields.name = "FullArgSpec"
        names = fields.values.add(key="args").value.list_value
        for name in ("self", "x", "mode", "many", "point", "ragged", "kind", "const", "rate"):
            names.values.add().string_value = name
        trace = meta.object_graph_def.concrete_functions["trace"]
        positional, keywords = (trace.canonicalized_input_signature.tuple_value.values.add() for _ in "ab")
        given = positional.tuple_value.values
        tensor(given.add(), "x", -1, 2)
        given.add().string_value = "fast\n"
        inner = given.add().dict_value
        tensor(inner.fields["a"], "many/a")
        tensor(inner.fields["b"].list_value.values.add(), "other", 3)
        point = given.add().named_tuple_value
        point.name = "Point"
        tensor(point.values.add(key="left").value, "left", 1)
        ragged = given.add().type_spec_value
        ragged.type_spec_class_name = "tf.RaggedTensorSpec"
        ragged.type_state.tuple_value.values.add().int64_value = 1
        given.add().tensor_dtype_value = 7
        given.add().tensor_value.CopyFrom(ckptfmt.to_proto([1.0, float("nan")]))
        given.add().float64_value = float("inf")
        bounded = given.add().bounded_tensor_spec_value
        bounded.name, bounded.dtype = "more", 3
        bounded.shape.SetInParent()
        bounded.minimum.CopyFrom(ckptfmt.to_proto(0))
        bounded.maximum.CopyFrom(ckptfmt.to_proto(9))
        keywords.dict_value.fields["training"].bool_value = True
        trace.output_signature.list_value.values.add().none_value.SetInParent()

    path = objects(change)
    (line,) = (line for line in lines_of(path) if line.startswith("function"))
    assert line == (
        "function f..g\\x1b(x: float32[?,2], mode='fast\\n', many: {a: float32[], b: [float32[3] as other]}, "
        "point: Point(left: float32[1]), ragged: tf.RaggedTensorSpec((1,)), kind: string, "
        "const: an array of float32[2], rate='Infinity', int32[] within bounds as more, training=True) "
        "-> [None]"
    )
    (meta,) = run_json("model", path)["meta_graphs"]
    arguments = meta["concrete_functions"]["trace"]["arguments"]
    assert [argument["name"] for argument in arguments][-2:] == ["rate", None]
    by_name = {argument["name"]: argument["value"] for argument in arguments}
    assert by_name["const"] == {"kind": "array", "dtype": "float32", "shape": [2], "values": [1.0, "NaN"]}
    assert by_name["kind"] == {"kind": "dtype", "dtype": "string"}
    assert by_name["ragged"]["state"] == {"kind": "tuple", "items": [1]}
    assert by_name[None]["maximum"]["values"] == 9


def test_functions_have_several_names_and_share_traces(objects) -> None:
    def change(meta: messages.MetaGraphDef) -> None:
        meta.object_graph_def.nodes[0].children.add(node_id=1, local_name="alias")
        first = add_function(meta, "call", "t1", "t2")
        meta.object_graph_def.nodes[0].children.add(node_id=first, local_name="self")
        add_function(meta, "deep", "t1", parent=first)
        add_function(meta, "again", "t2")
        add_function(meta, "never")
        for name in ("t1", "t2"):
            trace = meta.object_graph_def.concrete_functions[name]
            tensor(trace.canonicalized_input_signature.tuple_value.values.add(), "x")

    lines = [line for line in lines_of(objects(change)) if line.startswith("function")]
    assert lines == [
        "function again((float32[] as x,)) -> None",
        "function alias, call, self((float32[] as x,)) -> None",
        "function never never traced",
    ]


def test_a_long_chain_of_objects_is_walked_in_little_memory(objects) -> None:
    def change(meta: messages.MetaGraphDef) -> None:
        graph = meta.object_graph_def
        for number in range(20_000):
            graph.nodes[number].children.add(node_id=number + 1, local_name="a" * 10)
            graph.nodes.add()
        add_function(meta, "f", parent=20_000)
        add_function(meta, "f", parent=100)
        graph.nodes[20_000].children.add(node_id=0, local_name="root")
        graph.nodes[7].children.add(node_id=1 << 30, local_name="nowhere")

    (meta,) = run_json("model", objects(change))["meta_graphs"]
    assert [function["path"] for function in meta["object_functions"]] == [
        "/".join(["a" * 10] * 100 + ["f"]),
        None,
    ]


# --- layers ----------------------------------------------------------------------------------------------


def test_layers_are_shown_with_their_weights(tmp_path: Path) -> None:
    model = sequential()
    model.layer(0, "layer-2", "drop\x1b", "Dropout")
    model.describe(model.layer(0, "layer-3", "bare"), {})
    folder = model.write(tmp_path)
    assert [line for line in lines_of(folder) if line.startswith("layer")] == [
        "layer: net Sequential 3 weights 21 parameters root",
        "layer: dense Dense kernel float32[2,3], bias float32[3] 9 parameters root.layer-0",
        "layer: lstm LSTM 1 weight 12 parameters root.layer-1",
        "layer: lstm_cell LSTMCell kernel float32[3,4] 12 parameters root.layer-1.cell",
        "layer: drop\\x1b Dropout root.layer-2",
        "layer: layer-3 ? root.layer-3",
    ]
    layers = run_json("model", folder)["keras_layers"]
    assert [layer["name"] for layer in layers] == ["net", "dense", "lstm", "lstm_cell", "drop\x1b", "layer-3"]
    dense = layers[1]
    keys = [weight.pop("key") for weight in dense["weights"]]
    assert dense == {
        "path": "root.layer-0",
        "name": "dense",
        "class_name": "Dense",
        "weights": [
            {"name": "kernel", "dtype": "float32", "shape": [2, 3]},
            {"name": "bias", "dtype": "float32", "shape": [3]},
        ],
        "parameters": 9,
    }
    with ckptfmt.open(folder) as ckpt:
        np.testing.assert_array_equal(ckpt[keys[0]], [[0, 1, 2], [3, 4, 5]])


def test_layers_of_a_model_with_several_meta_graphs_are_shown(tmp_path: Path) -> None:
    model = sequential()
    other = model.message.meta_graphs.add()
    other.CopyFrom(model.meta)
    other.meta_info_def.tags[:] = ["train"]
    next(
        each for each in other.object_graph_def.nodes[0].children if each.local_name == "layer-1"
    ).local_name = "x"
    model.message.meta_graphs.add().meta_info_def.tags.append("none")
    layers = run_json("model", model.write(tmp_path))["keras_layers"]
    assert [layer["path"] for layer in layers] == [
        *("root", "root.layer-0", "root.layer-1", "root.layer-1.cell"),
        *("root.x", "root.x.cell"),
    ]


# --- what cannot be read ---------------------------------------------------------------------------------


def parts(document: Any, path: str = "") -> Iterator[str]:
    """Return the places in a document that have an error instead of a part."""
    if isinstance(document, dict):
        if set(document) == {"error"}:
            yield path
        else:
            for key, value in document.items():
                yield from parts(value, f"{path}/{key}")
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from parts(value, f"{path}/{number}")


def edit(folder: Path, change: Callable[[messages.MetaGraphDef], None]) -> None:
    saved = messages.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for meta in saved.meta_graphs:
        change(meta)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def damage_index(folder: Path) -> None:
    index = folder / "variables" / "variables.index"
    content = bytearray(index.read_bytes())
    content[3] ^= 0xFF
    index.write_bytes(content)


def break_input(meta: messages.MetaGraphDef) -> None:
    meta.graph_def.node.add(name="y", op="Identity", input=["gone"])
    meta.signature_def["predict"].outputs["y"].name = "y:0"


def break_arguments(meta: messages.MetaGraphDef) -> None:
    add_function(meta, "f", "bad", "fine", "gone")
    functions = meta.object_graph_def.concrete_functions
    functions["fine"].SetInParent()
    value = functions["bad"].canonicalized_input_signature.tensor_value
    value.dtype, value.tensor_content = 1, b"abc"


FIRST = "/meta_graphs/0"
DAMAGE: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "checkpoint": (
        damage_index,
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached", "/variables/0"],
        "variables.index @0x",
    ),
    "input of a node": (
        lambda folder: edit(folder, break_input),
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached"],
        "takes its input from 'gone', which does not exist",
    ),
    "output of a signature": (
        lambda folder: edit(
            folder, lambda meta: setattr(meta.signature_def["other"].outputs["y"], "name", "gone:0")
        ),
        [f"{FIRST}/signatures/other/reach", f"{FIRST}/unreached"],
        "signature 'other' returns 'y' from 'gone:0', which does not exist",
    ),
    "default": (
        lambda folder: edit(
            folder,
            lambda meta: meta.signature_def["other"].defaults["x"].MergeFrom(messages.TensorProto(dtype=99)),
        ),
        [f"{FIRST}/signatures/other", f"{FIRST}/unreached"],
        "99",
    ),
    "functions of one name": (
        lambda folder: edit(
            folder,
            lambda meta: meta.graph_def.library.function.extend(
                [messages.FunctionDef(), messages.FunctionDef(ret={"y": "x"})]
            ),
        ),
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached"],
        "several functions have the same name",
    ),
    "nodes of one name": (
        lambda folder: edit(folder, lambda meta: meta.graph_def.node.append(meta.graph_def.node[0])),
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached"],
        "2 nodes are named 'v'",
    ),
    "names of variables": (
        lambda folder: edit(folder, lambda meta: setattr(meta.saver_def, "restore_op_name", "gone")),
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached", "/variables/0"],
        "gone",
    ),
    "arguments": (
        lambda folder: edit(folder, break_arguments),
        [f"{FIRST}/concrete_functions/bad", f"{FIRST}/concrete_functions/gone"],
        "no concrete function named 'gone'",
    ),
    "assets": (
        lambda folder: edit(folder, lambda meta: setattr(meta.asset_file_def[0], "filename", "../../etc")),
        [f"{FIRST}/signatures/predict/reach", f"{FIRST}/unreached", "/assets/0"],
        "asset '../../etc' leads out of the model",
    ),
    "fingerprint": (
        lambda folder: (folder / "fingerprint.pb").write_bytes(b"\xff") and None,
        ["/fingerprint"],
        "not a tensorflow.FingerprintDef message",
    ),
    "layers": (
        lambda folder: (
            (folder / "keras_metadata.pb").write_bytes(
                keras_metadata.SavedMetadata(
                    nodes=[keras_metadata.SavedMetadata().nodes.add(node_path="root", metadata="{")]
                ).SerializeToString()
            )
            and None
        ),
        ["/keras_layers/0"],
        "layer 'root': not JSON",
    ),
}
"""A change that damages the model, the parts that are then missing, and the error."""


@pytest.mark.parametrize("case", DAMAGE.values(), ids=list(DAMAGE))
def test_a_part_that_cannot_be_read_does_not_hide_others(
    model: Path, case: tuple[Callable[[Path], None], list[str], str]
) -> None:
    change, missing, said = case
    change(model)
    document = run_json("model", model, "--tags", "serve", code=3)
    assert list(parts(document)) == missing
    result = run("model", model, "--tags", "serve")
    assert result.exit_code == 3
    assert said in result.stdout
    assert "? (" in result.stdout
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "TensorFlow 1.15.0" in lines
    assert "predict tensorflow/serving/predict" in lines
    assert any(line.startswith("v float32[2]") for line in lines) or "/variables/0" in missing


def test_missing_variables_are_listed_as_the_graph_declares_them(model: Path) -> None:
    for path in (model / "variables").iterdir():
        path.unlink()
    document = run_json("model", model)
    (row,) = document["variables"]
    assert (row["dtype"], row["shape"], row["nbytes"], row["stored"]) == ("float32", [2], 8, False)
    reach = document["meta_graphs"][0]["signatures"]["predict"]["reach"]
    assert (reach["variables"], reach["bytes"]) == (["v"], None)
    lines = lines_of(model)
    assert "v float32[2] <- stored\\x1b MISSING" in lines
    assert "uses 1 variable" in lines
    write_bundle(model / "variables" / "variables", {"other": np.zeros(1, np.float32)})
    assert "v float32[2] <- stored\\x1b MISSING" in lines_of(model)


def test_meta_graphs_with_the_same_tags_and_with_none_are_listed(model: Path) -> None:
    edit(model, lambda meta: meta.meta_info_def.tags.__delitem__(slice(1, None)))
    assert [meta["tags"] for meta in run_json("model", model)["meta_graphs"]] == [["serve"], ["serve"]]
    (model / "saved_model.pb").write_bytes(b"\x08\x01")
    assert run_json("model", model)["meta_graphs"] == []


def test_assets_beside_custom_operations_are_not_called_unused(model: Path) -> None:
    edit(model, lambda meta: meta.graph_def.node.add(name="own", op="MyOwnOp") and None)
    assert run_json("model", model)["assets"][0]["used"] is None
    assert "asset: words.txt -> a:0 MISSING" in lines_of(model)


def test_a_damaged_model_is_listed_or_refused(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN_MODEL, tmp_path / "model")
    path = tmp_path / "model" / "saved_model.pb"
    content = path.read_bytes()
    codes = set()
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        codes.add(run("model", tmp_path / "model", *(["--json"] if at % 2 else ["--functions"])).exit_code)
    assert codes <= {0, 3}


# --- models of other people ------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_every_model_of_the_corpus_is_listed(entry: dict[str, Any]) -> None:
    path = CORPUS / entry["path"]
    if entry["name"] == "reviews_pbtxt":  # TensorFlow refuses it too
        assert run("model", path).exit_code == 3
        return
    document = run_json("model", path)
    assert not list(parts(document))
    text = run("model", path, "--functions")
    assert text.exit_code == 0
    assert "? (" not in text.stdout
    with ckptfmt.open_saved_model(path) as model:
        for meta, described in zip(model.meta_graphs, document["meta_graphs"], strict=True):
            names = {variable["name"] for variable in document["variables"]}
            used = [signature["reach"] for signature in described["signatures"].values()]
            assert {name for reach in used for name in reach["variables"]} <= names
            stored = meta.message.object_graph_def.concrete_functions
            assert set(described["concrete_functions"]) == set(stored)
            traced = {name for each in described["object_functions"] for name in each["traces"]}
            assert traced <= set(stored)
            for function in described["object_functions"]:
                if function["traces"]:
                    assert f"  function  {function['path']}" in text.stdout


def shown_by_tensorflow(tensorflow: ModuleType, path: Path) -> str:
    from tensorflow.python.tools import saved_model_cli

    shown = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(shown):
        warnings.simplefilter("ignore")
        saved_model_cli._show_all(str(path))
    return shown.getvalue()


_SPEC = re.compile(r"TensorSpec\(shape=(<unknown>|\(.*?\)), dtype=tf\.(\w+), name=(?:'([^']*)'|None)\)")


def tensors_in(value: Any) -> Iterator[tuple[str, str, str]]:
    """The tensors in a described value, in the words of :data:`_SPEC`."""
    if isinstance(value, dict):
        if value.get("kind") == "tensor":
            shape = value["shape"]
            text = "<unknown>" if shape is None else str(tuple(shape))
            yield text, value["dtype"], value["name"]
        else:
            for inner in value.values():
                yield from tensors_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from tensors_in(inner)


@pytest.mark.tensorflow
@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_whatever_saved_model_cli_shows_is_shown(entry: dict[str, Any], tensorflow: ModuleType) -> None:
    path = CORPUS / entry["path"]
    try:
        theirs = shown_by_tensorflow(tensorflow, path)
    except Exception as error:
        pytest.skip(f"TensorFlow does not show it: {type(error).__name__}")
    document = run_json("model", path)
    ops = [
        set(re.findall(r"'([^']+)'", text)) for text in re.findall(r"following ops: (\{.*\}|set\(\))", theirs)
    ]
    ours = [set(meta["ops"]) for meta in document["meta_graphs"]]
    assert all(any(these <= those for those in ours) for these in ops)
    _, _, functions = theirs.partition("\nConcrete Functions:")
    for text in functions.split("  Function Name: ")[1:]:
        name = text.partition("\n")[0].strip("'")
        (meta,) = document["meta_graphs"]
        (function,) = (f for f in meta["object_functions"] if name in (f["path"], *f["aliases"]))
        traces = [meta["concrete_functions"][trace] for trace in function["traces"]]
        # A trace without arguments has no option.
        options = [Counter(_SPEC.findall(option)) for option in text.split("    Option #")[1:]]
        known = [Counter(tensors_in([trace["arguments"], trace["keyword_arguments"]])) for trace in traces]
        for option in options:
            assert option in known, name
            known.remove(option)
        assert not any(known)
        values = re.findall(r"DType: (?:bool|int|float|str)\n +Value: (.*)", text)
        plain = [
            str(value)
            for trace in traces
            for value in (
                *(each["value"] for each in trace["arguments"]),
                *trace["keyword_arguments"].values(),
            )
            if isinstance(value, (bool, int, float, str))
        ]
        assert not Counter(values) - Counter(plain)
