"""Frozen graphs that keep variables are those of TensorFlow, and TensorFlow runs them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from tests.support.command_line import run as run_command

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def bookkeeping(resource: bool) -> None:
    """A variable is written on the way to the output, so it cannot be frozen."""
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    w = v1.get_variable("w", [3, 2], use_resource=resource)
    b = v1.get_variable("scope/b", [2], use_resource=resource)
    count = v1.get_variable("scope/count", [], use_resource=resource, initializer=v1.ones_initializer())
    with tf.control_dependencies([v1.assign_add(count, 1.0)]):
        tf.add(x @ w, b * tf.identity(count), name="out")


def branches(resource: bool) -> None:
    """Variables are read in the branches of a condition, and in a loop."""
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    w = v1.get_variable("w", [3, 3], use_resource=resource)
    b = v1.get_variable("scope/b", [3], use_resource=resource)
    count = v1.get_variable("scope/count", [], use_resource=resource, initializer=v1.ones_initializer())
    y = tf.cond(tf.reduce_sum(x) > 0, lambda: x @ w + b * count, lambda: x * count - b)
    _, y = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y @ w) * count), [0, y])
    tf.identity(y, name="out")


def run(graph: Any, values: dict[str, Any]) -> Any:
    """Run a graph whose variables get values first."""
    with tf.Graph().as_default() as new, v1.Session() as session:
        tf.import_graph_def(graph, name="")
        for name, value in values.items():
            node = new.get_operation_by_name(name)
            if node.type == "VarHandleOp":
                session.run(tf.raw_ops.AssignVariableOp(resource=node.outputs[0], value=value))
            else:
                session.run(tf.raw_ops.Assign(ref=node.outputs[0], value=value))
        return session.run("out:0", {"x:0": X})


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("program", [bookkeeping, branches])
def test_keep_and_only_are_the_lists_of_tensorflow(
    program: Callable[[bool], None], resource: bool, control_flow: int, tmp_path: Path
) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.set_random_seed(3)
        program(resource)
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(tmp_path / "model"))
        values = {v.op.name: session.run(v) for v in v1.global_variables()}
        want = session.run("out:0", {"x:0": X})
        given = [
            {"variable_names_blacklist": ["scope/count"]},
            {"variable_names_whitelist": ["w", "scope/b"]},
            {"variable_names_whitelist": ["w", "scope/count"], "variable_names_blacklist": ["scope/count"]},
        ]
        definition = graph.as_graph_def()
        convert = v1.graph_util.convert_variables_to_constants
        theirs = [convert(session, definition, ["out"], **lists) for lists in given]
    meta = ckptfmt.read_meta_graph(f"{prefix}.meta")
    with ckptfmt.open(prefix) as checkpoint:
        for lists, their in zip(given, theirs, strict=True):
            frozen = ckptfmt.freeze(
                *(meta, checkpoint, "out"),
                keep=lists.get("variable_names_blacklist", ()),
                only=lists.get("variable_names_whitelist"),
            )
            kept = [node.name for node in frozen.variables]
            assert kept == [node.name for node in their.node if node.op in ("VarHandleOp", "VariableV2")]
            assert list(frozen) == [node.name for node in their.node]
            assert [frozen[node.name].op for node in their.node] == [node.op for node in their.node]
            ours = run(v1.GraphDef.FromString(frozen.to_bytes()), {name: values[name] for name in kept})
            np.testing.assert_allclose(ours, want, rtol=1e-6, atol=1e-7)
        every = ckptfmt.freeze(meta, checkpoint, "out", keep=["scope/*", re.compile("^w")])
        assert len(every.variables) == 3
        mixed = ckptfmt.freeze(meta, checkpoint, "out", only="w:0")
        assert [node.name for node in mixed.variables] == ["scope/b", "scope/count"]


def test_a_variable_of_a_saved_model_of_tensorflow_2_stays(tmp_path: Path) -> None:
    class Model(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.w = tf.Variable(tf.random.normal([3, 2]), name="w")
            self.count = tf.Variable(2.0, name="count")

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def __call__(self, x: Any) -> Any:
            self.count.assign_add(1.0)
            return {"y": x @ self.w * self.count}

    module = Model()
    tf.saved_model.save(module, str(tmp_path / "model"))
    want = X @ module.w.numpy() * 3.0
    with ckptfmt.open_saved_model(tmp_path / "model") as model:
        output = model.signatures["serving_default"].outputs["y"].tensor
        frozen = ckptfmt.freeze(model.meta_graph, model.variables, output, keep="count")
    assert [node.name for node in frozen.variables] == ["count"]
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(frozen.to_bytes()), name="")
        handle = graph.get_tensor_by_name("count:0")
        session.run(tf.raw_ops.AssignVariableOp(resource=handle, value=tf.constant(2.0)))
        got = session.run(output, {"serving_default_x:0": X})
    np.testing.assert_allclose(got, want, rtol=1e-5)


# --- the graph in a file of its own ----------------------------------------------------------------------


def references() -> Any:
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    return x @ v1.get_variable("w", [3, 2], use_resource=False)


def resources() -> Any:
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    return x @ v1.get_variable("w", [3, 2], use_resource=True)


def partitions() -> Any:
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    for axis, resource in ((0, False), (1, True)):
        w = v1.get_variable(
            *(f"w{axis}", [3, 3]),
            partitioner=v1.fixed_size_partitioner(2, axis),
            use_resource=resource,
        )
        x = x @ w
    return x


@pytest.mark.parametrize("has_saver", [False, True])
@pytest.mark.parametrize("program", [references, resources, partitions])
def test_a_graph_without_a_saver_is_frozen_by_the_names_of_its_variables(
    program: Callable[[], Any], has_saver: bool, tmp_path: Path
) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.identity(program(), name="out")
        session.run(v1.global_variables_initializer())
        files = ("graph.pbtxt", "graph.pb")
        if not has_saver:
            for file in files:
                tf.io.write_graph(graph, str(tmp_path), file, as_text=file.endswith("txt"))
        prefix = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"), write_meta_graph=False)
        if has_saver:
            for file in files:
                tf.io.write_graph(graph, str(tmp_path), file, as_text=file.endswith("txt"))
        want = session.run("out:0", {"x:0": X})
    for file in files:
        for start in ([prefix, "--graph", tmp_path / file], ["--graph", tmp_path / file, tmp_path]):
            target = tmp_path / "frozen.pb"
            result = run_command("freeze", *start, "-o", target, "--outputs", "out", "--overwrite")
            assert result.exit_code == 0, result.stderr
            np.testing.assert_array_equal(run(v1.GraphDef.FromString(target.read_bytes()), {}), want)


def test_freeze_graph_of_tensorflow_makes_the_same(tmp_path: Path) -> None:
    from tensorflow.python.tools import freeze_graph

    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.identity(references(), name="out")
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(tmp_path / "model.ckpt-1"), write_meta_graph=False)
        tf.io.write_graph(graph, str(tmp_path), "graph.pbtxt")
    theirs = freeze_graph.freeze_graph(
        *(
            str(tmp_path / "graph.pbtxt"),
            "",
            False,
            prefix,
            "out",
            "",
            "",
            str(tmp_path / "theirs.pb"),
            False,
        ),
        "",
    )
    with ckptfmt.open(prefix) as checkpoint:
        ours = ckptfmt.freeze(ckptfmt.read_graph(tmp_path / "graph.pbtxt"), checkpoint, "out")
    assert list(ours) == [node.name for node in theirs.node]
    np.testing.assert_array_equal(
        run(v1.GraphDef.FromString(ours.to_bytes()), {}),
        run(v1.GraphDef.FromString((tmp_path / "theirs.pb").read_bytes()), {}),
    )
