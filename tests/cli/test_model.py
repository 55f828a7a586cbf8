"""``ckptfmt model`` as its users see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ckptfmt.proto import messages
from tests.cli.running import run, run_json
from tests.support.table_writer import write_bundle


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
        signature.outputs["s"].coo_sparse.values_tensor_name = "v:0"
        meta.signature_def["__saved_model_init_op"].outputs["init"].name = "init"
        meta.asset_file_def.add(filename="words.txt").tensor_info.name = "a:0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    (tmp_path / "variables").mkdir()
    write_bundle(tmp_path / "variables" / "variables", {"stored\x1b": np.zeros(2, np.float32)})
    return tmp_path


def test_everything_in_the_directory_is_shown(model: Path) -> None:
    result = run("model", model)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:5] == [
        "serve",
        "TensorFlow 1.15.0",
        "graph 7 nodes, 0 functions",
        "predict tensorflow/serving/predict",
        "input x float32[?] x:0",
    ]
    assert "gpu, serve" in lines
    assert "variables: 1, 8 B" in lines
    assert "v float32[2] <- stored\\x1b" in lines
    assert "asset: words.txt -> a:0 MISSING" in lines
    assert "init" not in result.stdout


def test_json_has_all_of_it(model: Path) -> None:
    document = run_json("model", model, "--tags", "gpu,serve")
    (meta,) = document["meta_graphs"]
    assert (meta["tags"], meta["nodes"]) == (["gpu", "serve"], 7)
    signature = meta["signatures"]["predict"]
    assert signature["inputs"] == {"x": {"tensor": "x:0", "dtype": "float32", "shape": [None]}}
    assert signature["outputs"]["s"]["tensor"] == ["v:0", "", ""]
    assert document["variables"] == [
        {"name": "v", "key": "stored\x1b", "dtype": "float32", "shape": [2], "nbytes": 8}
    ]
    assert document["assets"] == [{"filename": "words.txt", "tensor": "a:0", "exists": False}]
    assert document["fingerprint"] is None


def test_what_is_not_there_is_told(model: Path, tmp_path: Path) -> None:
    result = run("model", model, "--signature", "none")
    assert result.exit_code == 4
    assert "no signature 'none'; did you mean 'predict'?" in result.stderr
    assert list(run_json("model", model, "--signature", "predict")["meta_graphs"][0]["signatures"]) == [
        "predict"
    ]
    assert run("model", model, "--tags", "train").exit_code == 3
    assert run("model", tmp_path / "none").exit_code == 4
    (model / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff")
    assert run("model", model).exit_code == 3
