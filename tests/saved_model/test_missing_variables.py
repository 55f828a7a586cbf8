"""SavedModels without their variables, or without some: one sentence says what is missing, everywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, GraphError, NameNotFoundError
from ckptfmt.proto import messages
from tests.support.command_line import run, run_json
from tests.support.golden import GOLDEN
from tests.support.table_writer import write_bundle


def constant(graph: messages.GraphDef, name: str, strings: list[bytes]) -> None:
    tensor = graph.node.add(name=name, op="Const").attr["value"].tensor
    tensor.dtype = messages.DataType.DT_STRING
    tensor.tensor_shape.dim.add(size=len(strings))
    tensor.string_val.extend(strings)


def write_model(folder: Path, names: list[str]) -> None:
    """Write a SavedModel that adds up its variables, two floats each, which it saves under ``key/NAME``."""
    saved = messages.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    graph = meta.graph_def
    graph.versions.producer = 24
    constant(graph, "names", [f"key/{name}".encode() for name in names])
    constant(graph, "slices", [b""] * len(names))
    graph.node.add(name="path", op="Placeholder")
    restore = graph.node.add(name="restore", op="RestoreV2", input=["path", "names", "slices"])
    restore.attr["dtypes"].list.type.extend([1] * len(names))
    for number, name in enumerate(names):
        variable = graph.node.add(name=name, op="VarHandleOp")
        variable.attr["dtype"].type = 1
        variable.attr["shape"].shape.dim.add(size=2)
        graph.node.add(name=f"{name}/assign", op="AssignVariableOp", input=[name, f"restore:{number}"])
        graph.node.add(name=f"{name}/read", op="ReadVariableOp", input=[name]).attr["dtype"].type = 1
    graph.node.add(name="all", op="NoOp", input=[f"^{name}/assign" for name in names])
    graph.node.add(name="sum", op="AddN", input=[f"{name}/read" for name in names]).attr["N"].i = len(names)
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    meta.saver_def.restore_op_name = "all"
    for key, output in (("serving_default", "sum:0"), ("echo", "x:0")):
        meta.signature_def[key].outputs["y"].name = output
        meta.signature_def[key].outputs["y"].dtype = 1
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def values_of(*names: str) -> dict[str, np.ndarray]:
    return {f"key/{name}": np.array([number, 7], np.float32) for number, name in enumerate(names)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    write_model(folder, ["v", "w"])
    (folder / "variables").mkdir()
    write_bundle(folder / "variables" / "variables", values_of("v", "w"))
    return folder


def remove(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def empty(folder: Path) -> None:
    for path in (folder / "variables").iterdir():
        path.unlink()


def put_beside(folder: Path) -> None:
    for path in (folder / "variables").iterdir():
        path.rename(folder / path.name)
    (folder / "variables").rmdir()


def keep_data_only(folder: Path) -> None:
    (folder / "variables" / "variables.index").unlink()


SENTENCE = "a SavedModel without variables: {}/variables/variables.index does not exist"

GONE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (remove, ""),
    "an empty folder": (empty, ""),
    "files beside": (
        put_beside,
        "; variables.index, variables.data-00000-of-00001 are in the directory itself: "
        "move them to {}/variables",
    ),
    "no index": (keep_data_only, "; variables.data-00000-of-00001 exists, but variables.index does not"),
}


@pytest.mark.parametrize("case", GONE.values(), ids=list(GONE))
def test_one_sentence_says_which_file_is_missing(
    case: tuple[Callable[[Path], None], str], model: Path, tmp_path: Path
) -> None:
    change, hint = case
    change(model)
    sentence = f"{model}: {(SENTENCE + hint).replace('{}', str(model))}"
    with ckptfmt.open_saved_model(model) as opened:
        variables = opened.variables
        assert opened.checkpoint is None
        assert opened.object_variables == ()
        for read in (
            lambda: variables["v"],
            variables.read,
            lambda: variables.read(["w"]),
            lambda: variables.get("v"),
            lambda: dict(variables),
            lambda: ckptfmt.freeze(opened.meta_graph, variables, "sum"),
        ):
            with pytest.raises(CheckpointNotFoundError) as caught:
                read()
            assert str(caught.value) == sentence
        # What the graph says is not lost.
        assert list(variables) == ["v", "w"]
        assert len(variables) == 2
        assert "v" in variables
        assert "u" not in variables
        with pytest.raises(NameNotFoundError, match="no variable named 'u'"):
            variables["u"]
        assert opened.reach("serving_default")[:2] == (("v", "w"), None)
        assert opened.reach("echo")[:2] == ((), 0)
        assert opened.unreached()[:2] == ((), 0)
    result = run("freeze", model, "-o", tmp_path / "f.pb")
    assert (result.exit_code, result.stderr) == (4, f"ckptfmt: {sentence}\n")
    assert not (tmp_path / "f.pb").exists()
    assert run("freeze", model, "-o", tmp_path / "f.pb", "--signature", "echo").exit_code == 0
    result = run("model", model)
    assert result.stderr == f"ckptfmt: {sentence}\n"
    assert "uses    2 variables\n" in result.stdout
    for verb in (["ls", model / "saved_model.pb"], ["show", model / "saved_model.pb", "key/v"]):
        result = run(*verb)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith(f"ckptfmt: {sentence}")


def test_files_beside_the_message_open_as_the_checkpoint_of_the_directory(model: Path) -> None:
    put_beside(model)
    assert [line.split("\t")[0] for line in run("ls", model).stdout.splitlines()] == ["key/v", "key/w"]
    with ckptfmt.open(model) as checkpoint, ckptfmt.open_saved_model(model) as opened:
        frozen = ckptfmt.freeze(opened.meta_graph, checkpoint, "sum")
    assert frozen["v"].op == "Const"


def test_a_single_file_beside_is_told_in_the_singular(model: Path) -> None:
    put_beside(model)
    (model / "variables.data-00000-of-00001").unlink()
    with pytest.raises(
        CheckpointNotFoundError, match=r"variables\.index is in the directory itself: move it "
    ):
        ckptfmt.open_saved_model(model).variables.read()


def test_a_model_by_a_relative_path_has_relative_paths_in_its_sentence(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(model)
    monkeypatch.chdir(model)
    for path in (".", "saved_model.pb"):
        with pytest.raises(CheckpointNotFoundError, match=r"variables/variables\.index does not exist$") as e:
            ckptfmt.open_saved_model(path).variables["v"]
        assert e.value.file == "."


def test_a_missing_data_file_is_told_by_what_needs_it(model: Path) -> None:
    data = model / "variables" / "variables.data-00000-of-00001"
    data.unlink()
    with ckptfmt.open_saved_model(model) as opened:
        assert list(opened.variables) == ["v", "w"]
        assert opened.reach("serving_default").nbytes == 16
        for read in (lambda: opened.variables["v"], opened.variables.read):
            with pytest.raises(CheckpointNotFoundError, match=str(data)):
                read()
    assert f"ckptfmt: {data}: a data file of the checkpoint is missing\n" == run("model", model).stderr
    assert run("freeze", model, "-o", model / "f.pb").exit_code == 4


def test_variables_that_the_checkpoint_lacks_are_sources_only(model: Path) -> None:
    write_bundle(model / "variables" / "variables", values_of("v"))
    prefix = model / "variables" / "variables"
    with ckptfmt.open_saved_model(model) as opened:
        variables = opened.variables
        assert (list(variables), len(variables)) == (["v"], 1)
        assert list(variables.sources) == ["v", "w"]
        assert "w" not in variables
        assert variables.get("w") is None
        assert list(variables.read()) == ["v"]
        for read in (lambda: variables["w"], lambda: variables.read(["v", "w"])):
            with pytest.raises(NameNotFoundError) as caught:
                read()
            assert caught.value.what == f"variable 'w' has no value: {prefix} has no tensor 'key/w'"
            assert caught.value.names == ("w",)
        for values in (variables, opened.checkpoint):
            assert values is not None
            with pytest.raises(GraphError, match="node 'w': variable has no value"):
                ckptfmt.freeze(opened.meta_graph, values, "sum")
    result = run("model", model)
    assert f"variable 'w' has no value: {prefix} has no tensor 'key/w'" in result.stderr
    assert "w  float32[2] <- key/w  MISSING" in result.stdout


def test_many_missing_variables_are_told_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder, [f"v{number}" for number in range(50)])
    (folder / "variables").mkdir()
    write_bundle(folder / "variables" / "variables", {"other": np.zeros(1, np.float32)})
    (line,) = run("model", folder).stderr.splitlines()
    assert "50 variables have no value" in line
    assert line.endswith("has no tensors 'key/v0', 'key/v1', 'key/v2', 'key/v3', 'key/v4' and 45 more")


def test_variables_are_read_in_bulk(model: Path) -> None:
    with ckptfmt.open_saved_model(model) as opened:
        read = opened.variables.read(copy=True)
        assert {name: array.tolist() for name, array in read.items()} == {"v": [0, 7], "w": [1, 7]}
        assert read["v"].flags.writeable
        assert list(opened.variables.read(["w"])) == ["w"]
        assert opened.variables.read([]) == {}
        with pytest.raises(TypeError, match="want a list of names"):
            opened.variables.read("w")
        with pytest.raises(NameNotFoundError, match="no variable named 'x'") as caught:
            opened.variables.read(["w", "x"])
        assert caught.value.names == ("x",)


def test_a_damaged_index_is_reported_on_stderr_once(model: Path) -> None:
    (model / "variables" / "variables.index").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    result = run("model", model)
    assert result.exit_code == 3
    (line,) = result.stderr.splitlines()
    assert "Git LFS pointer" in line
    result = run("model", model, "--json")
    assert "Git LFS pointer" in result.stderr
    assert "error" in json.loads(result.stdout)["variables"][0]


def test_damage_of_many_parts_is_told_in_a_few_lines(model: Path) -> None:
    saved = messages.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    for number in range(100):
        signature = saved.meta_graphs[0].signature_def[f"s{number:03}"]
        signature.outputs["y"].name, signature.outputs["y"].dtype = f"gone{number}:0", 1
    (model / "saved_model.pb").write_bytes(saved.SerializeToString())
    result = run("model", model)
    lines = result.stderr.splitlines()
    assert result.exit_code == 3
    assert len(lines) == 11
    assert lines[-1] == "ckptfmt: and 90 more"


def test_missing_assets_are_told(model: Path) -> None:
    saved = messages.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].asset_file_def.add(filename="words.txt").tensor_info.name = "x:0"
    (model / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert run("model", model).stderr == f"ckptfmt: {model}: an asset is missing: 'words.txt'\n"


def test_models_without_variables_say_nothing_alarming(tmp_path: Path) -> None:
    saved = messages.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    meta.signature_def["serving_default"].outputs["y"].name = "x:0"
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with ckptfmt.open_saved_model(tmp_path) as opened:
        assert opened.checkpoint is None
        assert dict(opened.variables) == opened.variables.read() == {}
        assert opened.reach("serving_default").nbytes == 0
        with pytest.raises(NameNotFoundError, match="no variable named 'w'"):
            opened.variables["w"]
    result = run("model", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert run_json("model", tmp_path)["variables"] == []
    assert run("freeze", tmp_path, "-o", tmp_path / "f.pb").exit_code == 0


def test_an_intact_model_of_tensorflow_says_nothing_on_stderr() -> None:
    result = run("model", GOLDEN / "saved_model" / "model", "--functions")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_message_without_meta_graphs_says_so(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    for read in (ckptfmt.read_graph, lambda path: ckptfmt.open_saved_model(path).variables):
        with pytest.raises(CkptfmtError, match=r"a SavedModel without any meta graph$"):
            read(tmp_path)
