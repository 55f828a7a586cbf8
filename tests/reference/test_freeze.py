"""Frozen graphs have the nodes of TensorFlow's, and give the same numbers when TensorFlow runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, GraphError
from tests.support.corpus import CORPUS
from tests.support.corpus import entries as corpus_entries

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1
X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def references() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 3], use_resource=False)
    b = v1.get_variable("b", [3], use_resource=False)
    return tf.nn.softmax(x @ w + b, name="out")


def resources() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    with v1.variable_scope("scope"):
        w = v1.get_variable("w", [4, 3], use_resource=True)
        b = v1.get_variable("b", [1], use_resource=True)
    v1.get_variable("unused", [1000], use_resource=True)
    return tf.identity(tf.nn.relu(x @ w) + b, name="out")


def partitions() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    for resource in (False, True):
        w = v1.get_variable(
            f"w{resource}", [4, 3], partitioner=v1.fixed_size_partitioner(3), use_resource=resource
        )
        x = tf.pad(x @ w, [[0, 0], [0, 1]])
    return tf.identity(x, name="out")


def gathers() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    table = v1.get_variable("table", [10, 4], use_resource=True)
    rows = tf.cast(tf.abs(x[:, 0]) * 3, tf.int64)
    nd = tf.gather_nd(table, tf.stack([rows, rows % 4], 1))
    return tf.add(tf.gather(table, rows) + x, nd[:, None], name="out")


def conditions() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 4], use_resource=True)
    r = v1.get_variable("r", [4], use_resource=False)
    y = tf.cond(tf.reduce_sum(x) > 0, lambda: x @ w + r, lambda: x @ tf.transpose(w) - r)
    return tf.identity(y, name="out")


def loops() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 4], use_resource=True)
    r = v1.get_variable("r", [4], use_resource=False)
    _, y = tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(v @ w + r)), [0, x])
    return tf.identity(y, name="out")


def batch_norm() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    mean = v1.get_variable("moving_mean", [4], use_resource=False)
    variance = v1.get_variable("moving_variance", [4], use_resource=False)
    gamma, beta = (v1.get_variable(name, [4], use_resource=True) for name in ("gamma", "beta"))
    return tf.nn.batch_normalization(x, mean, tf.abs(variance), beta, gamma, 1e-3, "out") + 0.0


def large() -> Any:
    """Variables of 64 KiB and more."""
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 5000], use_resource=False)
    partitioner = v1.fixed_size_partitioner(2, axis=1)
    parts = v1.get_variable("parts", [5000, 40], partitioner=partitioner, use_resource=True)
    half = v1.get_variable("half", [40, 1000], tf.bfloat16, use_resource=True)
    return tf.identity(x @ w @ parts @ tf.cast(half, tf.float32), name="out")


PROGRAMS: dict[str, Callable[[], Any]] = {
    program.__name__: program
    for program in (references, resources, partitions, gathers, conditions, loops, batch_norm, large)
}


def handle_of_a_condition() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    a, b, c = (v1.get_variable(name, [4, 4], use_resource=True) for name in "abc")
    _, handle = tf.cond(tf.reduce_sum(x) > 0, lambda: (x, a.handle), lambda: (-x, b.handle))
    read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)
    return tf.identity(x @ read @ c, name="out")


def handle_of_a_loop() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = (v1.get_variable(name, [4, 4], use_resource=True) for name in "wr")

    def body(i: Any, y: Any, handle: Any, other: Any) -> Any:
        read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)
        return i + 1, tf.ensure_shape(tf.tanh(y @ read), [None, 4]), handle, other

    _, y, _, handle = tf.while_loop(lambda i, *_: i < 3, body, [0, x, w.handle, r.handle])
    return tf.matmul(y, tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32), name="out")


def handles_of_calls() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = (v1.get_variable(name, [4, 4], use_resource=True) for name in "wr")

    @tf.function(autograph=False)
    def inner(a: Any, b: Any) -> Any:
        return tf.constant(2.0), tf.identity(b), a

    @tf.function(autograph=False)
    def outer(a: Any, b: Any) -> Any:
        scale, first, _ = inner(a, b)
        _, _, second = inner(a, b)
        return first, second, scale * tf.raw_ops.ReadVariableOp(resource=first, dtype=tf.float32)

    first, second, third = outer(w.handle, r.handle)
    reads = [tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32) for handle in (first, second)]
    _, last, _ = inner(r.handle, w.handle)
    reads += [third, tf.raw_ops.ReadVariableOp(resource=last, dtype=tf.float32)]
    for read in reads:
        x = tf.tanh(x @ read)
    return tf.identity(x, name="out")


def functions_as_ops() -> Any:
    from tensorflow.python.framework import function

    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = (v1.get_variable(name, [4, 4], use_resource=True) for name in "wr")

    @function.Defun(tf.float32, tf.resource, tf.resource)
    def called(y: Any, first: Any, second: Any) -> Any:
        read = tf.raw_ops.ReadVariableOp(resource=first, dtype=tf.float32)
        return y @ read, tf.identity(second), tf.identity(first)

    y, second, first = called(x, w.handle, r.handle)
    for handle in (second, first):
        y = y @ tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)
    return tf.identity(y, name="out")


def loops_in_a_function_called_twice() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = v1.get_variable("w", [4], use_resource=True), v1.get_variable("r", [2, 4], use_resource=True)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.resource)])
    def called(handle: Any) -> Any:
        _, again = tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, h), [0, handle])
        read = tf.raw_ops.ReadVariableOp(resource=again, dtype=tf.float32)
        return tf.cast(tf.reduce_prod(tf.shape(read)), tf.float32) + tf.reduce_sum(read)

    return tf.add(x * called(w.handle), called(r.handle), name="out")


def initialized_or_not() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4], use_resource=True)

    @tf.function(autograph=False)
    def called(handle: Any) -> Any:
        is_set = tf.raw_ops.VarIsInitializedOp(resource=handle)
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32), is_set

    value, is_set = called(w.handle)
    both = tf.logical_and(is_set, tf.raw_ops.VarIsInitializedOp(resource=w.handle))
    return tf.multiply(x * value, tf.cast(both, tf.float32), name="out")


def an_axis_with_that_name() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 4], use_resource=True)
    other = tf.constant(1, name="g/axis")
    rows = tf.raw_ops.ResourceGather(resource=w.handle, indices=[0, 2], dtype=tf.float32, name="g")
    return tf.add(tf.reduce_sum(x), rows * tf.cast(other, tf.float32), name="out")


def a_gather_in_batches() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4, 3, 2], use_resource=True)
    rows = tf.constant([[0], [2], [1], [1]])
    read = tf.raw_ops.ResourceGather(resource=w.handle, indices=rows, batch_dims=1, dtype=tf.float32)
    return tf.matmul(x, read[:, 0], name="out")


def a_function_with_a_gradient() -> Any:
    from tensorflow.python.framework import function

    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w = v1.get_variable("w", [4], use_resource=True)

    @function.Defun(tf.float32, tf.float32)
    def gradient(y: Any, dy: Any) -> Any:
        return y * dy

    @function.Defun(tf.float32, func_name="TimesW", grad_func=gradient)
    def square(y: Any) -> Any:
        return y * w.read_value()

    return tf.identity(square(x), name="out")


def captured_by_datasets_and_batches() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = (v1.get_variable(name, [4, 4], use_resource=True) for name in "wr")

    @tf.function(autograph=False)
    def total(x: Any) -> Any:
        rows = tf.data.Dataset.from_tensor_slices(x).filter(lambda row: tf.reduce_sum(w * row) < 100)
        rows = rows.map(lambda row: (row, tf.linalg.matvec(w, row)), num_parallel_calls=1)
        rows = rows.group_by_window(
            lambda row, _: tf.cast(tf.reduce_sum(tf.linalg.matvec(r, row)) > 0, tf.int64),
            lambda key, group: group.batch(2).map(lambda row, y: row @ r - y @ w),
            window_size=3,
        )
        return rows.reduce(tf.zeros([4]), lambda state, y: tf.tanh(state + tf.reduce_sum(y @ r, 0)))

    batched = tf.nondifferentiable_batch_function(1, 5, 1000)(lambda y: y @ w)(x)
    return tf.add(batched, total(x) - total(x @ r), name="out")


def references_passed_on() -> Any:
    """Old variables that conditions and loops take as they are."""
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    w, r = (v1.get_variable(name, [4, 4], use_resource=False)._ref() for name in "wr")
    is_on = v1.get_variable("is_on", initializer=True, use_resource=False)._ref()
    first = tf.raw_ops.RefSwitch(data=w, pred=tf.reduce_sum(x) > 0)
    second = tf.raw_ops.RefSwitch(data=tf.raw_ops.RefIdentity(input=r), pred=tf.reduce_sum(x) > 0)
    merged = tf.raw_ops.RefMerge(inputs=[first.output_false, second.output_true])
    x = tf.where(tf.raw_ops.Switch(data=x, pred=is_on).output_true > 0, x, -x) @ merged.output
    shapes = [tf.TensorShape([]), tf.TensorShape([None, 4]), tf.TensorShape([4, 4])]
    _, x, last = v1.while_loop(
        lambda i, *_: i < 3, lambda i, y, h: (i + 1, tf.tanh(y @ h @ w), h), [0, x, r], shapes
    )
    x = v1.cond(tf.reduce_sum(x) > 100, lambda: x @ w, lambda: x - tf.reduce_sum(r))
    return tf.add(x @ last, tf.cast(merged.value_index, tf.float32), name="out")


HANDLES: dict[str, Callable[[], Any]] = {
    program.__name__: program
    for program in (
        *(handle_of_a_condition, handle_of_a_loop, handles_of_calls, functions_as_ops),
        *(
            loops_in_a_function_called_twice,
            initialized_or_not,
            an_axis_with_that_name,
            a_gather_in_batches,
            captured_by_datasets_and_batches,
            a_function_with_a_gradient,
        ),
    )
}
"""Programs that TensorFlow runs but cannot freeze correctly, as when functions return handles."""


class Trained:
    """A program that TensorFlow ran, saved and froze."""

    def __init__(self, program: Callable[[], Any], path: Path, *, freeze: bool = True) -> None:
        with tf.Graph().as_default(), v1.Session() as session:
            self.output = program().op.name
            v1.set_random_seed(7)
            session.run(v1.global_variables_initializer())
            self.prefix = v1.train.Saver().save(session, str(path / "model"))
            self.value = session.run(f"{self.output}:0", {"x:0": X})
            if freeze:
                self.frozen = v1.graph_util.convert_variables_to_constants(
                    session, session.graph.as_graph_def(), [self.output]
                )


def run(graph: ckptfmt.Graph, output: str, x: Any = X, name: str = "x:0") -> Any:
    definition = v1.GraphDef.FromString(graph.to_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(definition, name="")
        return session.run(f"{output}:0", {name: x})


def described(node: Any) -> tuple[Any, ...]:
    names = {key: value.SerializeToString(deterministic=True) for key, value in node.attr.items()}
    return node.op, node.device, list(node.input), names


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_frozen_graph_is_that_of_tensorflow_and_gives_the_same_numbers(
    name: str, control_flow: int, tmp_path: Path
) -> None:
    trained = Trained(PROGRAMS[name], tmp_path)
    meta = ckptfmt.read_meta_graph(f"{trained.prefix}.meta")
    with ckptfmt.open(trained.prefix) as checkpoint:
        frozen = ckptfmt.freeze(meta, checkpoint, trained.output)
    np.testing.assert_array_equal(run(frozen, trained.output), trained.value)
    assert not {"VariableV2", "VarHandleOp", "ReadVariableOp", "ResourceGather"} & set(frozen.ops)
    # A .meta file records shapes; the graph in memory that TensorFlow froze does not.
    for node in frozen.message.node:
        node.attr.pop("_output_shapes", None)
    want = {node.name: node for node in trained.frozen.node}
    assert list(frozen) == [node.name for node in trained.frozen.node]
    if not trained.frozen.library.function:
        for node in frozen.message.node:
            assert described(node) == described(want[node.name]), node.name


@pytest.mark.parametrize("name", HANDLES)
def test_handles_are_followed_out_of_functions(name: str, control_flow: int, tmp_path: Path) -> None:
    trained = Trained(HANDLES[name], tmp_path, freeze=False)
    with ckptfmt.open(trained.prefix) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{trained.prefix}.meta"), checkpoint, trained.output)
    np.testing.assert_array_equal(run(frozen, trained.output), trained.value)
    assert not {"VarHandleOp", "ReadVariableOp"} & set(frozen.ops)


def values_and_tensors() -> Any:
    """Functions, conditions and loops that take the value of a variable here, and another tensor there."""
    x = tf.ensure_shape(v1.placeholder(tf.float32, [None, 4], name="x"), [5, 4])
    for resource in (False, True):
        w = v1.get_variable(f"w{resource}", [5, 4], use_resource=resource)
        both = tf.function(lambda a, b: (b, a * 2), input_signature=[tf.TensorSpec([5, 4])] * 2)
        first, second = both(x, w)
        third, fourth = both(w, x)
        _, a, b = tf.while_loop(lambda i, *_: i < 3, lambda i, a, b: (i + 1, b, a + 1.0), [0, x, w])
        chosen = tf.cond(tf.reduce_sum(x) > 0, lambda w=w: tf.identity(w), lambda x=x: tf.identity(x))
        x = tf.add_n([first, second, third * 3, fourth * 5, a, b * 7, chosen])
    return tf.identity(x, name="out")


def test_a_function_takes_values_of_variables_and_other_tensors(control_flow: int, tmp_path: Path) -> None:
    trained = Trained(values_and_tensors, tmp_path, freeze=False)
    with ckptfmt.open(trained.prefix) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{trained.prefix}.meta"), checkpoint, trained.output)
    # TensorFlow adds constants in another order. A small sum of large numbers differs by their rounding.
    rounding = np.spacing(np.abs(trained.value).max())
    np.testing.assert_allclose(run(frozen, trained.output), trained.value, rtol=1e-5, atol=rounding)


@pytest.mark.parametrize("control_flow", [1], indirect=True)
def test_references_are_followed_too(control_flow: int, tmp_path: Path) -> None:
    trained = Trained(references_passed_on, tmp_path, freeze=False)
    with ckptfmt.open(trained.prefix) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{trained.prefix}.meta"), checkpoint, trained.output)
    np.testing.assert_array_equal(run(frozen, trained.output), trained.value)
    assert not [op for op in frozen.ops if op.startswith(("Ref", "Variable"))]


def test_the_names_and_averages_of_a_saver_are_honoured(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v = v1.get_variable("v", [4], initializer=v1.constant_initializer(10.0), use_resource=False)
        average = tf.train.ExponentialMovingAverage(0.9)
        update = average.apply([v])
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        tf.multiply(x, v, name="out")
        session.run(v.initializer)  # the average starts at its value
        session.run(v1.global_variables_initializer())
        session.run(update)
        path = v1.train.Saver().save(session, str(tmp_path / "plain"))
        renamed = v1.train.Saver({"renamed": v}).save(session, str(tmp_path / "renamed"))
        mean = session.run(average.average(v))
    with ckptfmt.open(path) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{path}.meta"), checkpoint.ema(), "out")
    np.testing.assert_array_equal(frozen.constants["v"], mean)
    with ckptfmt.open(renamed) as checkpoint:
        assert list(checkpoint) == ["renamed"]
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{renamed}.meta"), checkpoint, "out:0")
    np.testing.assert_array_equal(run(frozen, "out"), X * np.float32(10))


def test_the_sum_of_the_tutorial_is_three(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v1_, v2_ = (
            v1.Variable(tf.constant(float(i), shape=[1]), name=f"v{i}", use_resource=False) for i in (1, 2)
        )
        tf.add(v1_, v2_, name="add")
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(tmp_path / "model"))
    with ckptfmt.open(path) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{path}.meta"), checkpoint, ["add"])
    frozen.write(tmp_path / "combined.pb")
    definition = v1.GraphDef.FromString((tmp_path / "combined.pb").read_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(definition, name="")
        assert session.run("add:0").tolist() == [3.0]


def test_variables_of_the_tutorial_freeze_in_a_scope(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        with tf.name_scope("input"):
            v1.Variable(tf.constant(1.0, shape=[1]), name="v1", use_resource=False)
            v1.Variable(tf.constant(2.0, shape=[1]), name="v2", use_resource=False)
        tf.add(*v1.global_variables(), name="add")
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(tmp_path / "model"))
    with ckptfmt.open(path) as checkpoint:
        assert list(checkpoint) == ["input/v1", "input/v2"]
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{path}.meta"), checkpoint, "add")
    assert frozen.tensor("input/v2:0").node == frozen["input/v2"]
    assert frozen.constants["input/v2"].tolist() == [2.0]


def test_the_regression_of_the_tutorial_goes_from_meta_file_and_checkpoint_to_one_file(
    tmp_path: Path,
) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        w = v1.Variable(tf.random.normal([4, 2], seed=1), name="W1", use_resource=False)
        b = v1.Variable(tf.zeros([2]) + 0.5, name="B1", use_resource=False)
        tf.add(tf.matmul(x, w), b, name="predictions")
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(tmp_path / "model"))
        want = session.run("predictions:0", {"x:0": X})
    with ckptfmt.open(path) as checkpoint:
        frozen = ckptfmt.freeze(ckptfmt.read_meta_graph(f"{path}.meta"), checkpoint, ["predictions"])
    frozen.write(tmp_path / "frozen.pb")
    again = ckptfmt.read_graph(tmp_path / "frozen.pb")
    assert set(again.constants) == {"W1", "B1"}
    np.testing.assert_array_equal(run(again, "predictions"), want)


def test_the_softmax_of_the_tutorial_freezes_from_a_saved_model_with_custom_tags(tmp_path: Path) -> None:
    folder = str(tmp_path / "export")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="myInput")
        w = v1.get_variable("W", [4, 3], use_resource=False)
        y = tf.nn.softmax(x @ w, name="myOutput")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.signature_def_utils.build_signature_def(
            {"myInput": info(x)}, {"myOutput": info(y)}, "predict"
        )
        builder = v1.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(session, ["mine", "own"], {"my_signature": signature})
        builder.save()
        want = session.run(y, {x: X})
    with pytest.raises(GraphError, match="mine, own"):
        ckptfmt.open_saved_model(folder, tags="serve")
    with ckptfmt.open_saved_model(folder, tags=["own", "mine"]) as model:
        found = model.signatures["my_signature"]
        assert found.inputs["myInput"] == ("myInput:0", "float32", (None, 4))
        assert found.method == "predict"
        assert list(model.variables) == ["W"]
        assert model.checkpoint is not None
        frozen = ckptfmt.freeze(model.meta_graph, model.checkpoint, found.outputs["myOutput"].tensor)
    np.testing.assert_array_equal(run(frozen, "myOutput", name="myInput:0"), want)


def test_values_come_from_any_mapping_and_only_needed_ones_are_asked_for(tmp_path: Path) -> None:
    trained = Trained(resources, tmp_path)
    graph = ckptfmt.read_graph(f"{trained.prefix}.meta")  # no Saver: the graph's assignments name the tensors
    with ckptfmt.open(trained.prefix) as checkpoint:
        values = {name: checkpoint[name] for name in ("scope/w", "scope/b")}
    frozen = ckptfmt.freeze(graph, values, trained.output)
    np.testing.assert_array_equal(run(frozen, trained.output), trained.value)
    with pytest.raises(GraphError, match="variable has no value") as caught:
        ckptfmt.freeze(graph, {"scope/w": values["scope/w"]}, trained.output)
    assert caught.value.node == "scope/b"
    with pytest.raises(GraphError, match=r"got float32\[3,? ?\]?|want float32\[1\]"):
        ckptfmt.freeze(graph, {**values, "scope/b": np.zeros(3, np.float32)}, trained.output)
    with pytest.raises(GraphError, match="want float32"):
        ckptfmt.freeze(graph, {**values, "scope/b": np.zeros(1)}, trained.output)
    with pytest.raises(GraphError, match="did you mean 'out'"):
        ckptfmt.freeze(graph, values, "outt")


@pytest.mark.parametrize("resource", [False, True])
def test_a_variable_written_on_the_way_to_an_output_is_an_error(resource: bool, tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v = v1.get_variable("v", [2], use_resource=resource)
        with tf.control_dependencies([v1.assign_add(v, [1.0, 1.0])]):
            tf.identity(v.read_value() if resource else v * 1.0, name="out")
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(tmp_path / "model"))
    with ckptfmt.open(path) as checkpoint, pytest.raises(GraphError, match="writes variable 'v'"):
        ckptfmt.freeze(ckptfmt.read_meta_graph(f"{path}.meta"), checkpoint, "out")


# --- SavedModels of TensorFlow 2 -------------------------------------------------------------------------


class Layered(tf.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.w = [tf.Variable(tf.random.normal([4, 4]), name="same") for _ in range(3)]
        self.table = tf.Variable(tf.random.normal([10, 4]))

    @tf.function
    def inner(self, x: Any) -> Any:
        for w in self.w:
            x = tf.tanh(x @ w)
        return x

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
    def __call__(self, x: Any) -> Any:
        rows = tf.cast(tf.abs(x[:, 0]) * 3, tf.int32)
        y = self.inner(x) + tf.gather(self.table, rows)
        for _ in tf.range(3):
            y = self.inner(y)
        return {"y": tf.cond(tf.reduce_sum(y) > 0, lambda: y @ self.w[0], lambda: y @ self.w[1])}


@pytest.mark.parametrize("kind", ["module", "keras"])
def test_a_tensorflow_2_signature_freezes(kind: str, tmp_path: Path) -> None:
    if kind == "module":
        model = Layered()
        tf.saved_model.save(model, str(tmp_path))
    else:
        model = tf.keras.Sequential(
            [tf.keras.Input((4,)), tf.keras.layers.Dense(3, "relu"), tf.keras.layers.BatchNormalization()]
        )
        model.export(str(tmp_path), verbose=False)
    meta = ckptfmt.read_meta_graph(tmp_path)
    signature = meta.signatures["serving_default"]
    ((input_name, info),) = signature.inputs.items()
    (output,) = signature.outputs.values()
    assert isinstance(info.tensor, str)
    assert isinstance(output.tensor, str)
    with ckptfmt.open(tmp_path) as checkpoint:
        frozen = ckptfmt.freeze(meta, checkpoint, output.tensor)
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    ((_, want),) = loaded(**{input_name: tf.constant(X)}).items()
    name, _, number = output.tensor.partition(":")
    definition = v1.GraphDef.FromString(frozen.to_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(definition, name="")
        got = session.run(f"{name}:{number}", {info.tensor: X})
    np.testing.assert_array_equal(got, want.numpy())


# --- the corpus ------------------------------------------------------------------------------------------


def some_value(info: Any) -> np.ndarray:
    """Return a value for an input of a signature."""
    shape = [2 if size in (None, -1) else size for size in info.shape or ()]
    rng = np.random.default_rng(1)
    if info.dtype.name == "string":
        return np.full(shape, b"", object)
    if info.dtype.is_floating:
        return rng.normal(size=shape).astype(info.dtype.numpy)
    return rng.integers(0, 2, shape).astype(info.dtype.numpy)


def as_written() -> Any:
    """Return settings that keep TensorFlow from folding and fusing constants, which changes the last bits."""
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = -1
    return config


def open_variables(path: Path) -> Any:
    try:
        return ckptfmt.open(path)
    except CheckpointNotFoundError:
        return {}


@pytest.mark.parametrize("entry", corpus_entries("saved_model"))
def test_saved_models_of_the_corpus_give_the_same_numbers_when_frozen(entry: dict[str, Any]) -> None:
    path = CORPUS / entry["path"]
    try:
        meta = ckptfmt.read_meta_graph(path)
    except CkptfmtError as error:
        pytest.skip(f"no single meta graph can be read: {error}")
    compared = 0
    for signature in meta.signatures.values():
        tensors = [info.tensor for info in (*signature.inputs.values(), *signature.outputs.values())]
        if not signature.outputs or not all(isinstance(tensor, str) for tensor in tensors):
            continue
        feed = {info.tensor: some_value(info) for info in signature.inputs.values()}
        fetch = [info.tensor for info in signature.outputs.values()]
        with tf.Graph().as_default(), v1.Session(config=as_written()) as session:
            try:
                v1.saved_model.loader.load(session, list(meta.tags), str(path))
                want = session.run(fetch, feed)
            except (tf.errors.OpError, ValueError, TypeError, KeyError, OSError, RuntimeError):
                continue  # TensorFlow itself cannot run it, or not on such values
        try:
            frozen = ckptfmt.freeze(meta, open_variables(path), fetch)
        except GraphError as error:
            assert "writes variable" in str(error)  # noqa: PT017
            continue
        definition = v1.GraphDef.FromString(frozen.to_bytes())
        feed = {name: value for name, value in feed.items() if name.split(":")[0] in frozen}
        with tf.Graph().as_default(), v1.Session(config=as_written()) as session:
            tf.import_graph_def(definition, name="")
            try:
                got = session.run(fetch, feed)
            except tf.errors.FailedPreconditionError as error:
                assert "able" in str(error)  # its tables are filled by a separate op  # noqa: PT017
                continue
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)
        compared += 1
    if not compared:
        pytest.skip("TensorFlow runs no signature of it on such values")
