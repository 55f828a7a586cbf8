"""``ckptfmt graph`` as its users see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.proto import messages
from tests.support.command_line import on_terminal, run, run_json
from tests.support.table_writer import write_bundle


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = messages.GraphDef()
    graph.versions.producer = 24
    x = graph.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = messages.DataType.DT_FLOAT
    x.attr["shape"].shape.dim.add(size=-1)
    x.attr["shape"].shape.dim.add(size=2)
    w = graph.node.add(name='scope/w"\x1b', op="Const", device="/GPU:0")
    w.attr["value"].tensor.CopyFrom(ckptfmt.to_proto([1.0, 2.0]))
    w.attr["dtype"].type = messages.DataType.DT_FLOAT
    graph.node.add(name="parts", op="Split", input=["x", 'scope/w"\x1b'])
    graph.node.add(name="out", op="MyOwnOp", input=["parts:1", "^x"])
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=1)
    function.node_def.add(name="n", op="g", input=["a"])
    call = function.node_def.add(name="m", op="PartitionedCall", input=["a"])
    call.attr["f"].func.name = "h"
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return path


def test_a_summary_says_what_goes_in_and_out(model: Path) -> None:
    result = run("graph", model)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["nodes", "4"]
    assert "x  float32[?,2]" in result.stdout
    assert "output" in result.stdout
    assert "MyOwnOp  1" in result.stdout
    assert "1\tSplit" in lines
    document = run_json("graph", model)
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 2]}]
    assert document["outputs"] == ["out"]
    assert document["custom_ops"] == {"MyOwnOp": 1, "g": 1}
    assert document["ops"]["Const"] == 1
    assert (document["functions"], document["constants"]["count"], document["producer"]) == (1, 1, 24)


def test_nodes_are_listed_by_a_glob(model: Path) -> None:
    result = run("graph", model, "--nodes", "*o*")
    assert result.stdout == 'scope/w"\\x1b\tConst\t\nout\tMyOwnOp\tparts:1, ^x\n'
    document = run_json("graph", model, "--nodes", "out")
    assert document == {
        "nodes": [
            {"name": "out", "op": "MyOwnOp", "device": "", "inputs": ["parts:1"], "control_inputs": ["x"]}
        ]
    }
    missing = run("graph", model, "--nodes", "none*")
    assert (missing.exit_code, missing.stdout) == (4, "")
    assert "no node matches 'none*'" in missing.stderr


def test_one_node_is_shown_with_its_attributes_and_consumers(model: Path) -> None:
    result = run("graph", model, "--node", "x:0")
    text = " ".join(result.stdout.split())
    assert text == (
        "node x op Placeholder output x:0 float32[?,2] for parts for out dtype float32 shape (None, 2)"
    )
    document = run_json("graph", model, "--node", 'scope/w"\x1b')
    assert document["device"] == "/GPU:0"
    assert document["attributes"]["value"] == "float32[2] [1. 2.]"
    assert document["consumers"] == ["parts"]
    assert run("graph", model, "--node", "xx").exit_code == 4


def test_constants_and_functions_are_listed(model: Path) -> None:
    name, dtype, shape, _ = run("graph", model, "--consts").stdout.rstrip("\n").split("\t")
    assert (name, dtype, shape) == ('scope/w"\\x1b', "float32", "[2]")
    assert run("graph", model, "--functions").stdout == "f\t1\t0\t2\th\n"
    assert run_json("graph", model, "--functions")["functions"][0]["calls"] == ["h"]


def test_the_graph_is_written_in_other_forms(model: Path, tmp_path: Path) -> None:
    text = run("graph", model, "--to", "pbtxt").stdout
    (tmp_path / "again.pbtxt").write_text(text)
    assert ckptfmt.read_graph(tmp_path / "again.pbtxt") == ckptfmt.read_graph(model)
    document = json.loads(run("graph", model, "--to", "json").stdout)
    assert [node["name"] for node in document["node"]] == ["x", 'scope/w"\x1b', "parts", "out"]
    dot = run("graph", model, "--to", "dot").stdout
    assert '  "scope/w\\"\\\\x1b" -> "parts";' in dot.splitlines()
    assert '  "x" -> "out" [style=dotted];' in dot.splitlines()
    mermaid = run("graph", model, "--to", "mermaid").stdout.splitlines()
    assert "  n2 -->|1| n3" in mermaid
    assert "  n0 -.-> n3" in mermaid
    assert '  n1["scope/w#34;#92;x1b<br/>Const"]' in mermaid


def test_a_graph_as_bytes_is_the_graph(model: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "ckptfmt", "graph", str(model), "--to", "pb"], capture_output=True, check=True
    )
    assert done.stdout == model.read_bytes()


def test_wrong_usage_and_wrong_files_are_errors(model: Path, tmp_path: Path) -> None:
    assert run("graph", model, "--consts", "--functions").exit_code == 2
    assert run("graph", tmp_path / "none").exit_code == 4
    (tmp_path / "text").write_text("hello")
    result = run("graph", tmp_path / "text")
    assert result.exit_code == 3
    assert "text: a text file, not a graph" in result.stderr


def test_a_checkpoint_is_not_taken_for_a_graph(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model")
    for path, noun in ((prefix, "prefix"), (f"{prefix}.index", "index")):
        result = run("graph", path)
        assert result.exit_code == 3
        said = f"ckptfmt: {path}: the {noun} of a checkpoint, not a graph: "
        said += "ckptfmt.open reads it and 'ckptfmt ls' lists it"
        assert result.stderr == f"{said}\n"
        Path(f"{prefix}.meta").touch()
        assert run("graph", path).stderr == f"{said}; its graph is in {prefix}.meta\n"
        Path(f"{prefix}.meta").unlink()


def test_a_training_directory_without_meta_files_tells_of_other_graphs(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model.ckpt-7", {"w": np.zeros(2, np.float32)})
    paths = (tmp_path, prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00001")
    reader = "ckptfmt.read_graph reads it and 'ckptfmt graph' shows it\n"
    for path in paths:
        assert "graph is in" not in run("graph", path).stderr
    events = tmp_path / "events.out.tfevents.1.host"
    events.write_bytes(b"")
    for path in paths:
        assert run("graph", path).stderr.endswith(f"; a graph may be in the event file {events}: {reader}")
    graph = messages.GraphDef()
    graph.node.add(name="x", op="Placeholder")
    (tmp_path / "a.pbtxt").write_text("item { id: 1 }")
    for name, data in (
        ("z.pb", graph.SerializeToString()),
        ("graph.pbtxt", b'node { name: "x" op: "NoOp" }'),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        for path in paths:
            assert run("graph", path).stderr.endswith(f"; a graph is in {file}: {reader}")
    (tmp_path / "model.ckpt-7.meta").write_bytes(b"")
    assert run("graph", tmp_path).stderr.endswith(f"; a graph is in {tmp_path}/model.ckpt-7.meta\n")


def test_a_saved_model_is_chosen_by_its_tags(tmp_path: Path, model: Path) -> None:
    graph = messages.GraphDef.FromString(model.read_bytes())
    saved = messages.SavedModel(saved_model_schema_version=1)
    for tags in (["serve"], ["serve", "gpu"]):
        meta = saved.meta_graphs.add(graph_def=graph)
        meta.meta_info_def.tags.extend(tags)
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert run_json("graph", tmp_path, "--tags", "gpu,serve")["nodes"] == 4
    result = run("graph", tmp_path)
    assert result.exit_code == 2
    assert "serve; gpu, serve" in result.stderr


def test_a_terminal_gets_tables(model: Path) -> None:
    code, shown = on_terminal("graph", model, "--consts")
    assert code == 0
    assert "constant" in shown
    assert "\t" not in shown
    code, shown = on_terminal("graph", model, "--to", "pb")
    assert code == 2
    assert "redirect" in shown
