"""``ckptfmt graph --to dot|mermaid|svg`` as its users see it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from ckptfmt.cli.render import graphviz
from ckptfmt.cli.render.diagram import TIMES
from ckptfmt.proto import keras_metadata, messages
from tests.support.command_line import run
from tests.support.corpus import CORPUS, GRAPH_FILES

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")

FLOAT = messages.DataType.DT_FLOAT

HOSTILE = 'a"];evil[label=<b>&lt;&bad;\\N\\l</b>];"|#quot;`end`\x1b</script><script>x'
"""A name that would end a string, or mean something, in DOT, Mermaid or SVG."""


def add(nodes: Any, name: str, op: str, *inputs: str, **functions: str) -> messages.NodeDef:
    node: messages.NodeDef = nodes.add(name=name, op=op, input=inputs)
    node.attr["T"].type = FLOAT
    for attribute, function in functions.items():
        node.attr[attribute].func.name = function
    return node


def add_function(graph: messages.GraphDef, name: str, arguments: str, results: str) -> messages.FunctionDef:
    """Add a function; ``results`` are pairs ``name=tensor``."""
    function: messages.FunctionDef = graph.library.function.add()
    function.signature.name = name
    for argument in arguments.split():
        function.signature.input_arg.add(name=argument, type=FLOAT)
    for pair in results.split():
        result, tensor = pair.split("=")
        function.signature.output_arg.add(name=result, type=FLOAT)
        function.ret[result] = tensor
    return function


def calling_graph() -> messages.GraphDef:
    """A graph that calls a function twice; the function calls another one, which has a scope of nodes."""
    graph = messages.GraphDef()
    x = add(graph.node, "x", "Placeholder")
    x.attr["dtype"].type = FLOAT
    x.attr["shape"].shape.dim.add(size=-1)
    for name, source in (("first", "x"), ("second", "first")):
        call = add(graph.node, name, "PartitionedCall", source, f="outer")
        call.attr["Tin"].list.type.append(FLOAT)
        call.attr["Tout"].list.type.append(FLOAT)
    add(graph.node, "y", "Neg", "second")
    outer = add_function(graph, "outer", "a", "b=inner:output:0")
    add(outer.node_def, "inner", "StatefulPartitionedCall", "a", f="inner").attr["Tout"].list.type.append(
        FLOAT
    )
    inner = add_function(graph, "inner", "c", "d=net/sum:z:0")
    add(inner.node_def, "net/exp", "Exp", "c")
    add(inner.node_def, "net/log", "Log", "c")
    add(inner.node_def, "net/sum", "Add", "net/exp:y:0", "net/log:y:0")
    return graph


def write(path: Path, message: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(message.SerializeToString(deterministic=True))
    return path


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return write(tmp_path / "calls.pb", calling_graph())


def read_mermaid(text: str) -> tuple[dict[str, list[str]], list[tuple[str, str, str]], dict[str, list[str]]]:
    """Return lines of the boxes, arrows between their first lines, and the boxes in each cluster."""
    boxes: dict[str, list[str]] = {}
    arrows, clusters, open_clusters, titles = [], {}, [], {}
    for encoded in map(str.strip, text.splitlines()[1:]):
        # Quotes and bars stay encoded, so that they do not end what they are in.
        line = re.sub(r"#(?!34;|124;|60;)(\d+);", lambda entity: chr(int(entity[1])), encoded)
        if cluster := re.fullmatch(r'subgraph (f\d+)\["([^"]*)"\]', line):
            titles[cluster[1]] = cluster[2]
            clusters[cluster[2]] = []
            open_clusters.append(cluster[2])
        elif line == "end":
            open_clusters.pop()
        elif box := re.fullmatch(r'(n\d+)(?:\["|\("|\(\[")([^"]*)(?:"\]|"\)|"\]\))', line):
            boxes[box[1]] = box[2].split("<br/>")
            if open_clusters:
                clusters[open_clusters[-1]].append(boxes[box[1]][0])
        else:
            arrow = re.fullmatch(r'(n\d+) -\.?->(?:\|"?([^"|]*)"?\|)? ([nf]\d+)', line)
            assert arrow, line
            target = titles[arrow[3]] if arrow[3] in titles else boxes[arrow[3]][0]
            arrows.append((boxes[arrow[1]][0], arrow[2] or "", target))
    assert not open_clusters
    return boxes, arrows, clusters


def draw(*args: object) -> tuple[dict[str, list[str]], list[tuple[str, str, str]], dict[str, list[str]]]:
    result = run("graph", *args, "--to", "mermaid")
    assert result.exit_code == 0, result.stderr
    return read_mermaid(result.stdout)


# --- functions -------------------------------------------------------------------------------------------


def test_functions_are_clusters_that_their_calls_point_to(calls: Path) -> None:
    _, arrows, clusters = draw(calls)
    assert clusters == {
        "outer": ["a", "b", "inner"],
        "inner": ["c", "d", "net/exp", "net/log", "net/sum"],
    }
    assert {("first", "", "outer"), ("second", "", "outer"), ("inner", "", "inner")} <= set(arrows)
    assert {
        ("x", "float32[?]", "first"),
        ("a", "", "inner"),
        ("c", "", "net/exp"),
        ("net/sum", "", "d"),
    } <= set(arrows)


def test_inlined_functions_take_the_place_of_their_calls(calls: Path) -> None:
    boxes, arrows, clusters = draw(calls, "--inline")
    assert clusters == {
        "first: outer": [],
        "inner: inner": ["net/exp", "net/log", "net/sum"],  # twice
        "second: outer": [],
    }
    assert sorted(lines[1] for lines in boxes.values()) == sorted(
        ["Placeholder", "Neg", *2 * ["Exp", "Log", "Add"]]
    )
    assert arrows.count(("net/sum", "", "net/exp")) == 1
    assert ("net/sum", "", "y") in arrows
    assert ("x", "float32[?]", "net/log") in arrows


def test_a_conditional_takes_what_its_branches_return(tmp_path: Path) -> None:
    graph = messages.GraphDef()
    for name in ("p", "x"):
        add(graph.node, name, "Placeholder").attr["dtype"].type = FLOAT
    add(graph.node, "if", "If", "p", "x", then_branch="yes", else_branch="no").attr["Tout"].list.type.append(
        FLOAT
    )
    add(graph.node, "y", "Neg", "if")
    for name, op in (("yes", "Exp"), ("no", "Log")):
        function = add_function(graph, name, "a", f"r={name}:y:0")
        add(function.node_def, name, op, "a")
    _, arrows, clusters = draw(write(tmp_path / "g.pb", graph), "--inline")
    assert clusters == {"if: yes": ["yes"], "if: no": ["no"]}
    assert sorted(arrows) == sorted(
        [
            *(("p", "", "if"), ("x", "", "yes"), ("x", "", "no")),
            *(("yes", "", "if"), ("no", "", "if"), ("if", "", "y")),
        ]
    )


def test_functions_that_call_themselves_or_do_not_exist_are_drawn(tmp_path: Path) -> None:
    graph = messages.GraphDef()
    add(graph.node, "x", "Placeholder")
    add(graph.node, "call", "PartitionedCall", "x", f="f")
    add(graph.node, "lost", "PartitionedCall", "none", f="none")
    add(graph.node, "circle", "PartitionedCall", "circle", f="same")
    add(graph.node, "z", "Neg", "circle")
    function = add_function(graph, "f", "a", "r=again:output:0")
    add(function.node_def, "again", "PartitionedCall", "a", f="f")
    add_function(graph, "same", "a", "r=a")
    add_function(graph, "empty", "", "")
    path = write(tmp_path / "g.pb", graph)
    boxes, arrows, _ = draw(path, "--inline")
    assert sorted(lines[0] for lines in boxes.values()) == ["again", "lost", "x", "z"]
    assert arrows == [("x", "", "again")]
    _, arrows, clusters = draw(path)
    assert clusters["empty"] == ["(empty)"]
    assert ("again", "", "f") in arrows


# --- scopes ----------------------------------------------------------------------------------------------


def test_scopes_are_collapsed_to_a_depth(tmp_path: Path) -> None:
    graph = messages.GraphDef()
    add(graph.node, "x", "Placeholder")
    for name, *inputs in (
        ("a/b/one", "x", "x"),
        ("a/b/two", "a/b/one"),
        ("a/three", "a/b/two", "a/b/one"),
        ("c/four", "a/b/one", "a/b/two", "a/three"),
        ("c/five", "c/four"),
        ("d", "c/five", "^c/four", "^x"),
    ):
        add(graph.node, name, "AddN", *inputs)
    path = write(tmp_path / "g.pb", graph)
    boxes, arrows, _ = draw(path, "--depth", "1")
    assert list(boxes.values()) == [
        ["x", "Placeholder"],
        ["a", "3 nodes"],
        ["c", "2 nodes"],
        ["d", "AddN"],
    ]
    assert arrows == [
        ("x", f"{TIMES}2", "a"),
        ("a", f"{TIMES}3", "c"),
        ("c", "", "d"),
        ("c", "", "d"),
        ("x", "", "d"),
    ]
    boxes, arrows, _ = draw(path, "--depth", "2")
    assert ["a/b", "2 nodes"] in boxes.values()
    assert ("a/b", f"{TIMES}2", "a/three") in arrows
    assert len(draw(path, "--depth", "3")[0]) == len(draw(path)[0]) == 7


def test_a_collapsed_scope_hides_what_its_nodes_call(calls: Path, tmp_path: Path) -> None:
    graph = calling_graph()
    for node in graph.node:
        node.name = f"net/{node.name}"
        for number, name in enumerate(node.input):
            node.input[number] = f"net/{name}"
    path = write(tmp_path / "net.pb", graph)
    boxes, arrows, clusters = draw(path, "--depth", "1", "--inline")
    assert (list(boxes.values()), arrows, clusters) == ([["net", "12 nodes"]], [], {})
    boxes, _, _ = draw(calls, "--depth", "1", "--inline")
    assert list(boxes.values()).count(["net", "3 nodes"]) == 2


def test_large_graphs_are_collapsed_until_they_fit(tmp_path: Path) -> None:
    graph = messages.GraphDef()
    for number in range(3_000):
        inputs = [f"s{(number - 1) // 100}/n{number - 1}"] if number else []
        add(graph.node, f"s{number // 100}/n{number}", "Neg", *inputs)
    path = write(tmp_path / "g.pb", graph)
    for target in ("dot", "mermaid", "svg") if shutil.which("dot") else ("dot", "mermaid"):
        result = run("graph", path, "--to", target)
        assert result.exit_code == 0
        assert (
            result.stderr == "scopes are collapsed to depth 1, so that the picture stays small; see --depth\n"
        )
        assert result.stdout.count("100 nodes") == 30
    assert len(draw(path, "--depth", "2")[0]) == 3_000


def test_too_large_a_picture_is_an_error(tmp_path: Path) -> None:
    graph = messages.GraphDef()
    for number in range(100_001):
        graph.node.add(name=f"n{number}", op="NoOp")
    result = run("graph", write(tmp_path / "flat.pb", graph), "--to", "dot")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "boxes at depth 1: 100001 exceeds the limit of 100000" in result.stderr
    # Each function calls the one before it twice: 2^40 bodies.
    graph = messages.GraphDef()
    add(graph.node, "call", "PartitionedCall", f="f40")
    for number in range(1, 41):
        function = add_function(graph, f"f{number}", "", "")
        for name in "ab":
            add(function.node_def, name, "PartitionedCall", f=f"f{number - 1}")
    add_function(graph, "f0", "", "")
    path = write(tmp_path / "doubling.pb", graph)
    result = run("graph", path, "--to", "dot", "--inline")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "inlined" in result.stderr
    assert run("graph", path, "--to", "dot").exit_code == 0


def test_deep_scopes_deep_calls_and_many_outputs_take_no_time(tmp_path: Path) -> None:
    """Each of these took minutes, or hours, if it took the square of its size."""
    scopes = messages.GraphDef()
    for number in range(1_001):
        scopes.node.add(name="a/" * 1_000 + str(number), op="NoOp")
    result = run("graph", write(tmp_path / "scopes.pb", scopes), "--to", "dot")
    assert "1,001 nodes" in result.stdout
    assert "depth 1000" in result.stderr
    calls = messages.GraphDef()
    calls.node.add(name="call", op="f0")
    for number in range(10_000):
        add(add_function(calls, f"f{number}", "", "").node_def, "inner", f"f{number + 1}")
    boxes, _, _ = draw(write(tmp_path / "calls.pb", calls), "--inline", "--depth", "9")
    assert list(boxes.values()) == [["inner", "f100"]]  # calls are inlined up to a depth
    outputs = messages.GraphDef()
    numbers = range(10_000)
    function = add_function(outputs, "f", "", " ".join(f"o{number}=k:y:0" for number in numbers))
    add(function.node_def, "k", "Opaque")
    outputs.node.add(name="call", op="f")
    outputs.node.add(name="taker", op="Opaque", input=[f"call:{number}" for number in numbers])
    path = write(tmp_path / "outputs.pb", outputs)
    _, arrows, _ = draw(path, "--inline", "--depth", "9")
    assert [label for _, label, _ in arrows] == [f"{TIMES}10,000"]


# --- layers ----------------------------------------------------------------------------------------------


def keras_model(folder: Path, config: dict[str, Any], layers: dict[str, dict[str, Any]]) -> Path:
    """Write a SavedModel that Keras describes, without any function."""
    model = messages.SavedModel()
    meta = model.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.node.add(name="init", op="NoOp")
    meta.object_graph_def.nodes.add().user_object.identifier = "_tf_keras_network"
    described = keras_metadata.SavedMetadata()
    for number, (path, metadata) in enumerate({"root": {"config": config}, **layers}.items()):
        described.nodes.add(
            node_id=number, node_path=path, identifier="_tf_keras_layer", metadata=json.dumps(metadata)
        )
    write(folder / "saved_model.pb", model)
    write(folder / "keras_metadata.pb", described)
    return folder


def layer(class_name: str, name: str, inbound: list[Any], **config: Any) -> dict[str, Any]:
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": inbound,
    }


def test_a_functional_model_shows_its_layers_and_shapes(tmp_path: Path) -> None:
    tensor = ["image", 0, 0]
    config = {
        "layers": [
            layer("InputLayer", "image", [], batch_input_shape=[None, 4], dtype="float32"),
            layer("Dense", "left", [[[*tensor, {}]]]),
            layer("Sequential", "right", [[[*tensor, {}]]], layers=[{}, {}]),
            layer("TFOpLambda", "tf.math.add", [["left", 0, 0, {"y": ["right", 0, 0]}]], function="math.add"),
            # Keras 3 describes tensors as objects.
            layer(
                *("Multiply", HOSTILE),
                [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["left", 0, 0]}}]}],
            ),
        ]
    }
    path = keras_model(
        tmp_path / "m", config, {"root.layer-1": {"name": "left", "build_input_shape": [None, 4]}}
    )
    boxes, arrows, _ = draw(path)
    lines = list(boxes.values())
    assert lines[:4] == [
        ["image", "InputLayer", "float32[?,4]"],
        ["left", "Dense"],
        ["right", "Sequential", "2 layers"],
        ["tf.math.add", "TFOpLambda math.add"],
    ]
    assert arrows[:4] == [
        ("image", "float32[?,4]", "left"),
        ("image", "float32[?,4]", "right"),
        ("left", "", "tf.math.add"),
        ("right", "", "tf.math.add"),
    ]
    assert arrows[4][0] == "left"
    assert draw(path / "saved_model.pb")[0] == boxes
    assert list(draw(path, "--depth", "3")[0].values()) == [["init", "NoOp"]]


@pytest.mark.corpus
@needs_corpus
def test_layers_of_the_corpus() -> None:
    _, arrows, _ = draw(CORPUS / "spam_keras")
    assert arrows == [
        ("input_1", "int32[?,20]", "embedding"),
        ("embedding", "float32[?,20,7]", "global_average_pooling1d"),
        ("global_average_pooling1d", "float32[?,7]", "dense"),
        ("dense", "float32[?,7]", "dropout"),
        ("dropout", "float32[?,7]", "dense_1"),
    ]
    boxes, _, _ = draw(CORPUS / "spam_keras")
    assert ["dense_1", "Dense", "float32[?,2]"] in boxes.values()
    boxes, arrows, _ = draw(CORPUS / "tfnet_lstm")
    assert ["lstm", "LSTM"] in boxes.values()
    assert ("lstm", "float32[?,32]", "dense") in arrows
    # Without the file that describes the layers, they are the scopes of nodes.
    _, arrows, _ = draw(CORPUS / "cartpole_policy")
    assert ("sequential/dense", "float32[?,64]", "sequential/dense_1") in arrows


# --- programs that draw ----------------------------------------------------------------------------------


def hostile_graph(path: Path) -> Path:
    graph = messages.GraphDef()
    add(graph.node, HOSTILE, "Custom")
    add(graph.node, "\\3", "Neg", HOSTILE)
    add(graph.node, "long" * 10_000, "Neg", f"{HOSTILE}:1", "\\3")
    function = add_function(graph, HOSTILE, "a", "")
    add(function.node_def, "n", "Neg", "a")
    return write(path / "hostile.pb", graph)


@needs_dot
@pytest.mark.parametrize("options", [(), ("--inline",), ("--depth", "1")])
def test_hostile_names_are_inert(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = hostile_graph(tmp_path)
    dot = run("graph", path, "--to", "dot", *options).stdout
    done = subprocess.run(["dot", "-Tdot_json"], input=dot, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    drawn = json.loads(done.stdout)
    assert sum("nodes" not in each for each in drawn["objects"]) == (3 if options == ("--inline",) else 5)
    svg = run("graph", path, "--to", "svg", *options).stdout
    root = ET.fromstring(svg)
    assert not [each for each in root.iter() if each.tag.endswith(("script", "}b", "image"))]
    texts = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")]
    assert any('a"];evil[' in text and "&lt;&bad;" in text for text in texts)
    assert all(len(text) < 200 for text in texts)
    mermaid = run("graph", path, "--to", "mermaid", *options).stdout
    assert "<script" not in mermaid
    assert "`" not in mermaid
    read_mermaid(mermaid)


@needs_dot
def test_an_svg_has_every_box(calls: Path) -> None:
    result = run("graph", calls, "--to", "svg")
    assert result.exit_code == 0
    root = ET.fromstring(result.stdout)
    texts = {"".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")}
    assert {"x", "first", "outer", "net/exp", "float32[?]"} <= texts


def test_an_svg_without_graphviz_is_one_clear_sentence(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = run("graph", calls, "--to", "svg")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs the program dot of Graphviz, which is not installed" in result.stderr


def test_an_svg_that_takes_too_long_is_given_up(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setattr(graphviz, "TIMEOUT", 0.2)
    result = run("graph", calls, "--to", "svg")
    assert result.exit_code == 2
    assert "dot did not draw this in 0.2 seconds" in result.stderr
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    monkeypatch.setattr(graphviz, "TIMEOUT", 60)
    result = run("graph", calls, "--to", "svg")
    assert (result.exit_code, "dot failed: broken" in result.stderr) == (2, True)


def test_depth_and_inlining_are_of_pictures(calls: Path) -> None:
    for options in (
        ("--depth", "1"),
        ("--inline",),
        ("--inline", "--to", "pb"),
        ("--to", "dot", "--depth", "0"),
    ):
        assert run("graph", calls, *options).exit_code == 2


@pytest.mark.corpus
@needs_corpus
@pytest.mark.parametrize("options", [(), ("--depth", "1"), ("--inline", "--depth", "2")], ids=" ".join)
def test_every_graph_of_the_corpus_is_drawn(options: tuple[str, ...]) -> None:
    drawn = 0
    for path in GRAPH_FILES:
        result = run("graph", path, "--to", "mermaid", *options)
        if result.exit_code == 0:
            boxes, _, _ = read_mermaid(result.stdout)
            assert boxes
            assert bool(options) or len(boxes) <= 1_000
            drawn += 1
    assert drawn > 50


@pytest.mark.tensorflow
def test_models_that_keras_exports_show_their_layers(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    image = keras.Input((4,), name="image")
    branches = [keras.layers.Dense(3, name=name)(image) for name in ("left", "right")]
    outputs = keras.layers.Dense(2, name="head")(keras.layers.Add(name="both")(branches))
    keras.Model(image, outputs, name="net").export(str(tmp_path / "net"), verbose=False)
    boxes, arrows, _ = draw(tmp_path / "net")
    # Keras numbers scopes; names are told by their last parts.
    short = {
        lines[0]: re.sub(r"^serving_default_|_\d+$", "", lines[0].rpartition("/")[2])
        for lines in boxes.values()
    }
    assert sorted((short[source], label, short[target]) for source, label, target in arrows) == [
        ("both", "float32[?,3]", "head"),
        ("image", "float32[?,4]", "left"),
        ("image", "float32[?,4]", "right"),
        ("left", "float32[?,3]", "both"),
        ("right", "float32[?,3]", "both"),
    ]
