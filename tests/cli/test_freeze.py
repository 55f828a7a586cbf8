"""``ckptfmt freeze`` and ``ckptfmt subgraph`` as their users see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import ckptfmt
from ckptfmt.proto import messages
from tests.support.command_line import COMMAND, run, run_json
from tests.support.table_writer import write_bundle

V = np.array([10, 20], np.float32)


def graph_def() -> messages.GraphDef:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    v = graph.node.add(name="v", op="VariableV2", device="/GPU:0")
    v.attr["dtype"].type = 1
    v.attr["shape"].shape.dim.add(size=2)
    graph.node.add(name="v/read", op="Identity", input=["v"]).attr["T"].type = 1
    graph.node.add(name="out", op="Mul", input=["x", "v/read"], device="/GPU:0").attr["T"].type = 1
    graph.node.add(name="other", op="Neg", input=["x"]).attr["T"].type = 1
    return graph


@pytest.fixture
def model(tmp_path: Path) -> str:
    prefix = write_bundle(tmp_path / "model", {"v": V, "v/ExponentialMovingAverage": V + 1})
    meta = messages.MetaGraphDef(graph_def=graph_def())
    meta.meta_info_def.tensorflow_version = "1.15.0"
    Path(f"{prefix}.meta").write_bytes(meta.SerializeToString())
    return prefix


def test_a_checkpoint_is_frozen_with_the_graph_beside_it(model: str, tmp_path: Path) -> None:
    target = tmp_path / "frozen.pb"
    result = run("freeze", model, "-o", target, "--outputs", "out:0")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{target}: 4 nodes, 1 constant, ")
    frozen = ckptfmt.read_graph(target)
    assert list(frozen) == ["x", "v", "v/read", "out"]
    np.testing.assert_array_equal(frozen.constants["v"], V)
    before = target.read_bytes()
    assert run("freeze", model, "-o", target, "--outputs", "out").exit_code == 2
    assert target.read_bytes() == before
    document = run_json("freeze", model, "-o", target, "--outputs", "out", "--ema", "--overwrite")
    assert document["constants"] == 1
    assert document["bytes"] == target.stat().st_size
    np.testing.assert_array_equal(ckptfmt.read_graph(target).constants["v"], V + 1)


def test_without_a_near_name_the_outputs_of_the_graph_are_named(model: str, tmp_path: Path) -> None:
    result = run("freeze", model, "-o", tmp_path / "frozen.pb", "--outputs", "softmax")
    assert result.exit_code == 2
    assert "node 'softmax': not in the graph; the graph's outputs seem to be 'out', 'other'" in result.stderr


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
def test_a_graph_written_to_a_pipe_has_no_size(model: str) -> None:
    arguments = ["freeze", model, "-o", "/dev/stdout", "--outputs", "out", "--overwrite"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=True)
    assert done.stderr == b"/dev/stdout: 4 nodes, 1 constant\n"
    assert list(ckptfmt.read_graph(done.stdout)) == ["x", "v", "v/read", "out"]


def test_the_graph_may_be_elsewhere_and_the_result_may_be_text(model: str, tmp_path: Path) -> None:
    Path(f"{model}.meta").rename(tmp_path / "elsewhere.meta")
    target = tmp_path / "frozen.pbtxt"
    args = ["-o", target, "--outputs", "out"]
    assert run("freeze", model, *args).exit_code == 4
    assert run("freeze", model, *args, "--graph", tmp_path / "elsewhere.meta").exit_code == 0
    assert 'op: "Const"' in target.read_text()


def test_a_saved_model_is_frozen_by_its_signature(model: str, tmp_path: Path) -> None:
    saved = messages.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add(graph_def=graph_def())
    meta.meta_info_def.tags.append("serve")
    meta.signature_def["serving_default"].outputs["y"].name = "out:0"
    meta.signature_def["negative"].outputs["y"].name = "other:0"
    (tmp_path / "dir" / "variables").mkdir(parents=True)
    (tmp_path / "dir" / "saved_model.pb").write_bytes(saved.SerializeToString())
    write_bundle(tmp_path / "dir" / "variables" / "variables", {"v": V})
    document = run_json("freeze", tmp_path / "dir", "-o", tmp_path / "a.pb")
    assert document["outputs"] == ["out:0"]
    document = run_json("freeze", tmp_path / "dir", "-o", tmp_path / "b.pb", "--signature", "negative")
    assert (document["nodes"], document["constants"]) == (2, 0)
    result = run("freeze", tmp_path / "dir", "-o", tmp_path / "c.pb", "--signature", "none")
    assert result.exit_code == 4
    assert "no signature named 'none'; did you mean 'negative' or 'serving_default'?" in result.stderr


def test_errors_say_what_is_missing(model: str, tmp_path: Path) -> None:
    target = tmp_path / "frozen.pb"
    result = run("freeze", model, "-o", target)
    assert result.exit_code == 2
    assert "--outputs or --signature is needed; signatures: none" in result.stderr
    result = run("freeze", model, "-o", target, "--outputs", "oud")
    assert result.exit_code == 2
    assert "'oud'" in result.stderr
    assert "did you mean 'out'?" in result.stderr
    write_bundle(model, {"w": V})
    result = run("freeze", model, "-o", target, "--outputs", "out")
    assert result.exit_code == 2
    assert "node 'v': variable has no value" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize("file", ["graph.pbtxt", "graph.pb", "saved_model.pb"])
def test_any_file_with_a_graph_will_do(model: str, tmp_path: Path, file: str) -> None:
    Path(f"{model}.meta").unlink()
    graph: messages.GraphDef | messages.SavedModel = graph_def()
    if file == "saved_model.pb":
        graph = messages.SavedModel(saved_model_schema_version=1)
        graph.meta_graphs.add(graph_def=graph_def())
    text = text_format.MessageToString(graph).encode()
    (tmp_path / file).write_bytes(text if file.endswith("txt") else graph.SerializeToString())
    rest = ["-o", tmp_path / "frozen.pb", "--outputs", "out", "--overwrite"]
    for start in ([model, "--graph", tmp_path / file], ["--graph", tmp_path / file, model]):
        result = run("freeze", *start, *rest)
        assert result.exit_code == 0, result.stderr
        frozen = ckptfmt.read_graph(tmp_path / "frozen.pb")
        np.testing.assert_array_equal(frozen.constants["v"], V)


def test_a_graph_that_lies_beside_the_checkpoint_is_proposed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = Path(f"{model}.meta")
    target = tmp_path / "frozen.pb"
    other = meta.rename(tmp_path / "model-5.meta")
    result = run("freeze", model, "-o", target, "--outputs", "out")
    assert result.exit_code == 4
    assert f"{meta} is missing; pass --graph {other}" in result.stderr
    (tmp_path / "graph.pbtxt").write_text("node { name: 'x' op: 'Placeholder' }")
    result = run("freeze", model, "-o", target, "--outputs", "out")
    assert f"{meta} is missing; pass --graph {tmp_path / 'graph.pbtxt'}" in result.stderr
    monkeypatch.chdir(tmp_path)
    result = run("freeze", "model", "-o", target, "--outputs", "out")
    assert "model.meta is missing; pass --graph graph.pbtxt" in result.stderr
    (tmp_path / "graph.pbtxt").write_text("nothing of the kind")
    other.unlink()
    result = run("freeze", model, "-o", target, "--outputs", "out")
    assert f"{meta} is missing; pass --graph FILE" in result.stderr


def test_a_graph_in_place_of_the_checkpoint_is_told(model: str, tmp_path: Path) -> None:
    graph = tmp_path / "graph.pb"
    graph.write_bytes(graph_def().SerializeToString())
    result = run("freeze", graph, "-o", tmp_path / "frozen.pb", "--outputs", "out")
    assert result.exit_code == 3
    assert f"to freeze it, pass the path of its checkpoint, and --graph {graph}" in result.stderr
    result = run("freeze", model, "--graph", graph, "-o", tmp_path / "frozen.pb")
    assert result.exit_code == 2
    assert "--outputs is needed: a graph alone has no signatures" in result.stderr
    index = f"{model}.index"
    result = run("freeze", model, "--graph", index, "-o", tmp_path / "frozen.pb", "--outputs", "out")
    assert result.exit_code == 3
    assert "the index of a checkpoint, not a graph" in result.stderr


def test_variables_that_stay_are_named(model: str, tmp_path: Path) -> None:
    target = tmp_path / "frozen.pb"
    arguments = ("freeze", model, "-o", target, "--outputs", "out", "--overwrite")
    result = run(*arguments, "--keep", "v")
    assert result.exit_code == 0
    assert f"{target}: assign values first to the variables that were kept: 'v'\n" in result.stderr
    assert run_json(*arguments, "--only", "v")["variables"] == []
    assert run_json(*arguments, "--keep", "v*")["variables"] == ["v"]
    assert ckptfmt.read_graph(target)["v"].op == "VariableV2"
    result = run(*arguments, "--keep", "w")
    assert result.exit_code == 2
    assert "node 'w': not a variable of the graph, which has 'v'" in result.stderr


@pytest.fixture
def switched(model: str) -> str:
    """A model that a placeholder switches, with other placeholders that can be set."""
    graph = graph_def()
    for name, dtype in (("train", 10), ("keep_prob", 1), ("sizes", 3), ("mode", 7)):
        graph.node.add(name=name, op="Placeholder").attr["dtype"].type = dtype
    for name, inputs in (("s", ["out", "train"]), ("m", ["s:0", "t"])):
        graph.node.add(name=name, op="Switch" if name == "s" else "Merge", input=inputs).attr["T"].type = 1
    graph.node.add(name="t", op="Neg", input=["s:1"]).attr["T"].type = 1
    graph.node.add(name="all", op="NoOp", input=["^m", "^keep_prob", "^sizes", "^mode"])
    meta = messages.MetaGraphDef(graph_def=graph)
    meta.meta_info_def.tensorflow_version = "1.15.0"
    Path(f"{model}.meta").write_bytes(meta.SerializeToString())
    return model


def test_placeholders_are_set(switched: str, tmp_path: Path) -> None:
    target = tmp_path / "frozen.pb"
    for text, source in (("false", "s"), ("True", "t"), ("0", "s"), ("1", "t")):
        arguments = ("freeze", switched, "-o", target, "--outputs", "m", "--overwrite")
        assert run(*arguments, "--set", f"train={text}").exit_code == 0
        frozen = ckptfmt.read_graph(target)
        assert frozen["m"].op == "Identity"
        assert str(frozen["m"].inputs[0]) == f"{source}:0"
        arguments = ("subgraph", f"{switched}.meta", "-o", target, "--outputs", "m", "--overwrite")
        assert run(*arguments, "--set", f"train:0={text}").exit_code == 0
        assert str(ckptfmt.read_graph(target)["m"].inputs[0]) == f"{source}:0"


def test_values_to_set_are_those_of_the_placeholder(switched: str, tmp_path: Path) -> None:
    settings = [("keep_prob", "True"), ("sizes", "[2, 3]"), ("mode", "a=1")]
    options = [option for name, text in settings for option in ("--set", f"{name}={text}")]
    arguments = ("freeze", switched, "-o", tmp_path / "frozen.pb", "--outputs", "all,keep_prob,sizes,mode")
    assert run(*arguments, *options).exit_code == 0
    constants = ckptfmt.read_graph(tmp_path / "frozen.pb").constants
    assert (constants["keep_prob"].dtype, constants["keep_prob"]) == ("float32", 1)
    assert constants["sizes"].tolist() == [2, 3]
    assert constants["mode"].item() == b"a=1"
    for setting, message in (
        ("train", "got 'train', want NAME=VALUE"),
        ("train=maybe", "--set train: got 'maybe', want true or false (bool)"),
        ("sizes=maybe", "--set sizes: got 'maybe', want a number"),
        ("keep_prob=half", "--set keep_prob: got 'half', want a number, or a list"),
        ("trian=true", "node 'trian': not in the graph; did you mean 'train'?"),
        ("sizes=[1.5]", "value to set: got values of float64, want int32"),
    ):
        result = run(*arguments, "--overwrite", "--set", setting)
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_subgraph_is_what_outputs_need(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(graph_def().SerializeToString())
    target = tmp_path / "part.pbtxt"
    document = run_json("subgraph", path, "-o", target, "--outputs", "out")
    assert (document["nodes"], document["of"]) == (4, 5)
    result = run(
        *("subgraph", path, "-o", target, "--outputs", "out:0", "--inputs", "v"),
        *("--inference", "--clear-devices", "--overwrite"),
    )
    assert result.stderr == f"{target}: 3 nodes of 5\n"
    part = ckptfmt.read_graph(target)
    assert [(node.name, node.op, node.device) for node in part.values()] == [
        ("x", "Placeholder", ""),
        ("v", "Placeholder", ""),
        ("out", "Mul", ""),
    ]
    assert part["out"].message.input == ["x", "v"]
    assert run("subgraph", path, "-o", target, "--outputs", "out").exit_code == 2
    assert run("subgraph", path, "-o", tmp_path / "z", "--outputs", "missing").exit_code == 4
    assert run("subgraph", path, "-o", tmp_path / "z", "--outputs", ",").exit_code == 2
