"""Graphs with constants in place of placeholders give what TensorFlow gives when these values are fed."""

from __future__ import annotations

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
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(size=(2, 5, 5, 3)).astype(np.float32)


def variable(name: str, shape: list[int], resource: bool = True) -> Any:
    return v1.get_variable(name, shape, use_resource=resource)


def inputs(default: Any = None) -> tuple[Any, Any]:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    if default is not None:
        return x, v1.placeholder_with_default(default, [], name="train")
    return x, v1.placeholder(tf.bool, [], name="train")


def batch_norm() -> Any:
    x, train = inputs()
    w = variable("w", [4, 4], resource=False)
    mean, variance, beta = (variable(name, [4]) for name in ("mean", "variance", "beta"))

    def trained() -> Any:
        m, v = tf.nn.moments(x @ w, [0])
        with tf.control_dependencies([mean.assign(m), variance.assign(v)]):
            return tf.identity(m), tf.identity(v)

    m, v = tf.cond(train, trained, lambda: (tf.identity(mean), tf.abs(variance)))
    return tf.nn.batch_normalization(x @ w, m, v, beta, None, 1e-3)


def fused_batch_norm() -> Any:
    x, train = v1.placeholder(tf.float32, [None, 5, 5, 3], name="x"), inputs_train()
    scale, offset, mean, variance = (variable(name, [3]) for name in ("scale", "offset", "mean", "variance"))

    def normalized(training: bool) -> Any:
        given = {} if training else {"mean": mean, "variance": tf.abs(variance)}
        return v1.nn.fused_batch_norm(x, scale, offset, is_training=training, **given)

    y, m, _ = tf.cond(train, lambda: normalized(True), lambda: normalized(False))
    momentum = tf.cond(train, lambda: 0.9, lambda: 1.0)
    with tf.control_dependencies([mean.assign(mean * momentum + m * (1 - momentum))]):
        return tf.identity(y)


def inputs_train() -> Any:
    return v1.placeholder(tf.bool, [], name="train")


def layers() -> Any:
    x, train = inputs()
    w = variable("w", [4, 8])
    y = tf.nn.relu(x @ w)
    y = tf.cond(train, lambda: tf.nn.dropout(y, rate=0.5), lambda: tf.identity(y))
    return y @ tf.transpose(w)


def nested() -> Any:
    x, train = inputs()
    w, other, last = (variable(name, [4, 4]) for name in ("w", "other", "last"))

    def inner() -> Any:
        return tf.cond(tf.logical_not(train), lambda: x @ w, lambda: x @ other)

    def outer() -> Any:
        return tf.cond(tf.reduce_sum(x) > 1000, lambda: x @ last, inner)

    return tf.cond(train, lambda: inner() + 1.0, outer)


def computed() -> Any:
    x, train = inputs(default=1)
    w, other = variable("w", [4, 4]), variable("other", [4, 4])
    flag = v1.placeholder_with_default(True, [], name="flag")
    predicate = tf.logical_and(tf.logical_or(tf.cast(train, tf.bool), tf.not_equal(train, 0)), flag)
    y = tf.cond(predicate, lambda: x @ w, lambda: x @ other)
    return tf.cond(tf.cond(train > 0, lambda: True, lambda: False), lambda: y + 1.0, lambda: y * 2.0)


def keras_phase() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    train = v1.placeholder_with_default(False, [], name="train")
    w = variable("w", [4, 4])
    return tf.cond(train, lambda: tf.nn.dropout(x @ w, rate=0.3), lambda: x @ w)


def loops_inside() -> Any:
    x, train = inputs()
    w, r = variable("w", [4, 4]), variable("r", [4, 4], resource=False)

    def loop(v: Any) -> Any:
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y @ v)), [0, x])[1]

    return tf.cond(train, lambda: loop(w), lambda: loop(r))


def inside_a_loop() -> Any:
    x, train = inputs()
    w, r = variable("w", [4, 4]), variable("r", [4, 4])

    def body(i: Any, y: Any) -> Any:
        changed = tf.cond(train, lambda: tf.tanh(y @ w) + 0.25, lambda: tf.tanh(y @ r) * 2.0)
        return i + 1, tf.ensure_shape(changed, [None, 4])

    return tf.while_loop(lambda i, _: i < 3, body, [0, x])[1]


def waits() -> Any:
    """A condition whose predicate waits for something else."""
    x, train = inputs()
    w = variable("w", [4, 4])
    with tf.control_dependencies([v1.assert_greater(tf.shape(x)[0], 0)]):
        predicate = tf.identity(train)
    return tf.cond(predicate, lambda: x @ w, lambda: x - tf.constant(1.0))


def switch_case() -> Any:
    x = v1.placeholder(tf.float32, [None, 4], name="x")
    train = v1.placeholder(tf.int32, [], name="train")
    ws = [variable(f"w{i}", [4, 4]) for i in range(3)]
    return tf.switch_case(train, [lambda w=w: x @ w for w in ws], default=lambda: x)


def functions() -> Any:
    x, train = inputs()
    w = variable("w", [4, 4])

    @tf.function(autograph=False)
    def inner(y: Any, flag: Any) -> Any:
        return tf.cond(flag, lambda: tf.nn.dropout(y, rate=0.5), lambda: y @ w)

    @tf.function(autograph=False)
    def outer(y: Any, flag: Any, runtime: Any) -> Any:
        return tf.cond(runtime, lambda: inner(y, flag), lambda: inner(-y, tf.logical_or(flag, flag)))

    return outer(x, train, tf.reduce_sum(x) > 0) + inner(x, tf.reduce_sum(x) > 1000) * 0.0


BOTH = (nested, loops_inside, inside_a_loop, waits)
CASES: list[tuple[Callable[[], Any], Any]] = [
    *((program, value) for program in BOTH for value in (False, True)),
    *((program, False) for program in (batch_norm, layers, keras_phase)),
    *((computed, 0), (computed, 1)),
]
IN_FUNCTIONS = [(switch_case, 0), (switch_case, 2), (switch_case, 7), (functions, False)]


def run(definition: Any, x: Any) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(definition, name="")
        return session.run("out:0", {"x:0": x})


def frozen_with(program: Callable[[], Any], value: Any, path: Path) -> tuple[ckptfmt.Graph, Any, Any]:
    """Return a program frozen with a value, what TensorFlow gives when the value is fed, and for what."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(7)
        tf.identity(program(), name="out")
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(path / "model"))
        x = IMAGES if program is fused_batch_norm else X
        want = session.run("out:0", {"x:0": x, "train:0": value})
    keep = "mean" if program is fused_batch_norm else ()
    with ckptfmt.open(prefix) as checkpoint:
        meta = ckptfmt.read_meta_graph(f"{prefix}.meta")
        return ckptfmt.freeze(meta, checkpoint, "out", constants={"train": value}, keep=keep), want, x


@pytest.mark.parametrize(("program", "value"), CASES)
def test_a_frozen_graph_gives_what_the_original_gives_when_fed(
    program: Callable[[], Any], value: Any, control_flow: int, tmp_path: Path
) -> None:
    frozen, want, x = frozen_with(program, value, tmp_path)
    # TensorFlow joins other products and sums in a graph without conditions.
    np.testing.assert_allclose(run(v1.GraphDef.FromString(frozen.to_bytes()), x), want, rtol=2e-6, atol=1e-7)
    if program not in (inside_a_loop, loops_inside, nested, computed):
        assert not {"Switch", "Merge", "If", "StatelessIf"} & set(frozen.ops)
    assert "RandomUniform" not in frozen.ops
    if program in (inside_a_loop, loops_inside, layers):
        called = frozen.functions.reached_from(frozen.functions.called_by(frozen.message.node))
        assert not {"If", "StatelessIf"} & {
            node.op for name in called for node in frozen.functions[name].nodes.values()
        }


def test_fused_batch_norm_that_writes_its_mean_is_frozen_but_for_the_mean(
    control_flow: int, tmp_path: Path
) -> None:
    frozen, want, x = frozen_with(fused_batch_norm, False, tmp_path)
    assert [node.name for node in frozen.variables] == ["mean"]
    assert not {"Switch", "Merge", "If", "StatelessIf"} & set(frozen.ops)
    with ckptfmt.open(tmp_path / "model") as checkpoint:
        mean = np.array(checkpoint["mean"])
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(frozen.to_bytes()), name="")
        session.run(tf.raw_ops.AssignVariableOp(resource=graph.get_tensor_by_name("mean:0"), value=mean))
        np.testing.assert_allclose(session.run("out:0", {"x:0": x}), want, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(("program", "value"), IN_FUNCTIONS)
def test_conditions_in_functions_are_decided_too(
    program: Callable[[], Any], value: Any, tmp_path: Path
) -> None:
    frozen, want, x = frozen_with(program, value, tmp_path)
    np.testing.assert_allclose(run(v1.GraphDef.FromString(frozen.to_bytes()), x), want, rtol=2e-6, atol=1e-7)


def test_a_signature_of_tensorflow_2_is_frozen_for_inference(tmp_path: Path) -> None:
    class Model(tf.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.w = tf.Variable(tf.random.normal([4, 2], seed=1), name="w")
            self.mean = tf.Variable([0.5, 0.25], name="mean")

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 4], tf.float32, name="x"),
                tf.TensorSpec([], tf.bool, name="training"),
            ]
        )
        def __call__(self, x: Any, training: Any) -> Any:
            y = x @ self.w

            def trained() -> Any:
                self.mean.assign(tf.reduce_mean(y, 0))
                return tf.nn.dropout(y, rate=0.5) - self.mean

            return {"y": tf.cond(training, trained, lambda: y - self.mean)}

    module = Model()
    tf.saved_model.save(module, str(tmp_path / "model"))
    target = tmp_path / "frozen.pb"
    arguments = ("freeze", tmp_path / "model", "-o", target)
    assert run_command(*arguments).exit_code == 2  # the mean is written
    result = run_command(*arguments, "--set", "serving_default_training=false")
    assert result.exit_code == 0, result.stderr
    with ckptfmt.open_saved_model(tmp_path / "model") as model:
        output = model.signatures["serving_default"].outputs["y"].tensor
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(target.read_bytes()), name="")
        got = session.run(output, {"serving_default_x:0": X})
    np.testing.assert_allclose(got, X @ module.w.numpy() - module.mean.numpy(), rtol=1e-5, atol=1e-6)
