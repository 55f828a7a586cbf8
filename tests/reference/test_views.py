"""Views hold what TensorFlow restores: averages, model variables, names by object and by full name."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

from tensorflow.python.training import moving_averages  # noqa: E402 -- batch normalisation calls it

v1 = tf.compat.v1
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def save(session: Any, folder: Path) -> str:
    """Save every variable of the graph by name; return the prefix."""
    return str(v1.train.Saver().save(session, str(folder / "model.ckpt"), write_meta_graph=False))


def initialize(session: Any) -> None:
    # The shadow of a reference variable is initialized from its value, which must be set first.
    session.run(v1.variables_initializer(v1.trainable_variables()))
    session.run(v1.global_variables_initializer())


def saved_names(variables: Iterable[Any]) -> set[str]:
    """Return the names under which a Saver saves variables: the parts of one by the name of the whole."""
    infos = [(variable, variable._save_slice_info) for variable in variables]
    return {info.full_name if info else variable.op.name for variable, info in infos}


# --- moving averages -------------------------------------------------------------------------------------


def in_scopes(suffix: str) -> Any:
    average = tf.train.ExponentialMovingAverage(0.9, name=suffix)
    variables = []
    for scope in ("one", "one/two"):
        with v1.variable_scope(scope):
            variables.append(v1.get_variable("w", [2, 3]))
    v1.get_variable("unaveraged", [4], trainable=False)
    return average, average.apply(variables)


def of_a_tensor_without_bias(suffix: str) -> Any:
    average = tf.train.ExponentialMovingAverage(0.9, zero_debias=True, name=suffix)
    with v1.variable_scope("one"):
        variable = v1.get_variable("w", [2, 3])
    with v1.name_scope("loss"):
        tensor = tf.reduce_sum(variable, name="sum")
    return average, average.apply([variable, tensor])


def made_within_a_scope(suffix: str) -> Any:
    average = tf.train.ExponentialMovingAverage(0.9, zero_debias=True, name=suffix)
    with v1.variable_scope("tower"):
        with v1.variable_scope("one"):
            variable = v1.get_variable("w", [2, 3])
        tensor = tf.reduce_sum(variable, name="sum")
        return average, average.apply([variable, tensor])


def made_within_another_scope(suffix: str) -> Any:
    average = tf.train.ExponentialMovingAverage(0.9, name=suffix)
    with v1.variable_scope("one"):
        variable = v1.get_variable("w", [2, 3])
    with v1.variable_scope("train"):
        return average, average.apply([variable])


def one_of_two(suffix: str) -> Any:
    average = tf.train.ExponentialMovingAverage(0.9, name=suffix)
    other = tf.train.ExponentialMovingAverage(0.5, name="other")
    v1.get_variable("w", [2, 3])
    return average, tf.group(average.apply(), other.apply())


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("suffix", ["ExponentialMovingAverage", "avg"])
@pytest.mark.parametrize(
    "build",
    [in_scopes, of_a_tensor_without_bias, made_within_a_scope, made_within_another_scope, one_of_two],
    ids=lambda build: build.__name__,
)
def test_ema_maps_variables_as_variables_to_restore_does(
    tmp_path: Path, build: Callable[[str], Any], suffix: str, resource: bool
) -> None:
    with tf.Graph().as_default(), v1.Session() as session, v1.variable_scope("", use_resource=resource):
        average, update = build(suffix)
        initialize(session)
        for variable in v1.trainable_variables():
            session.run(v1.assign_add(variable, tf.ones_like(variable)))
            session.run(update)
        prefix = save(session, tmp_path)
        restored = average.variables_to_restore()
        v1.train.Saver(restored).restore(session, prefix)
        values = {variable.op.name: session.run(variable) for variable in restored.values()}
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.ema() if suffix == "ExponentialMovingAverage" else ckpt.ema(suffix)
        assert set(view) == set(values)
        assert {view.stored_name(v.op.name): v.op.name for v in restored.values()} == {
            name: variable.op.name for name, variable in restored.items()
        }
        for name, value in values.items():
            np.testing.assert_array_equal(view[name], value)
        averaged = [name for name in view if view.stored_name(name) != name]
        assert averaged
        assert not any(np.array_equal(view[name], ckpt[name]) for name in averaged)


def test_ema_reads_an_average_computed_by_hand(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("v", initializer=0.0)
        average = tf.train.ExponentialMovingAverage(0.99)
        update = average.apply([variable])
        initialize(session)
        session.run(v1.assign(variable, 10.0))
        session.run(update)
        prefix = save(session, tmp_path)
        v1.train.Saver(average.variables_to_restore()).restore(session, prefix)
        value = session.run(variable)
    with ckptfmt.open(prefix) as ckpt:
        assert ckpt["v"] == 10.0
        assert ckpt.ema()["v"] == value == pytest.approx(0.0999999, rel=1e-6)
        assert list(ckpt.ema()) == ["v"]


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_ema_of_partitioned_variables_reads_the_whole_shadow(tmp_path: Path, resource: bool) -> None:
    # TensorFlow saves the shadows of the parts as one tensor, w/ExponentialMovingAverage.
    with tf.Graph().as_default(), v1.Session() as session, v1.variable_scope("", use_resource=resource):
        with v1.variable_scope("one", partitioner=v1.fixed_size_partitioner(3)):
            v1.get_variable("w", [7, 2])
        average = tf.train.ExponentialMovingAverage(0.9)
        update = average.apply()
        initialize(session)
        parts = sorted(v1.trainable_variables(), key=lambda part: part.op.name)
        session.run([v1.assign_add(part, tf.ones_like(part)) for part in parts])
        session.run(update)
        prefix = save(session, tmp_path)
        value = np.concatenate(session.run([average.average(part) for part in parts]))
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.ema()
        assert list(view) == ["one/w"]
        np.testing.assert_array_equal(view["one/w"], value)
        assert not np.array_equal(ckpt["one/w"], value)


def test_a_tensor_that_shares_the_last_part_of_a_name_has_its_own_average(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", [2])
        average = tf.train.ExponentialMovingAverage(0.9)
        with v1.name_scope("loss"):
            update = average.apply([tf.ones([2], name="w")])
        initialize(session)
        session.run(update)
        prefix = save(session, tmp_path)
        restored = average.variables_to_restore([])
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.ema()
        assert dict(view.names) == {variable.op.name: name for name, variable in restored.items()}


# --- model variables by scopes ---------------------------------------------------------------------------

OPTIMIZERS = {
    "Adam": lambda: v1.train.AdamOptimizer(0.1),
    "Adam_renamed": lambda: v1.train.AdamOptimizer(0.1, name="Own"),
    "Momentum": lambda: v1.train.MomentumOptimizer(0.1, 0.9),
    "RMSProp": lambda: v1.train.RMSPropOptimizer(0.1, momentum=0.9),
    "RMSProp_centered": lambda: v1.train.RMSPropOptimizer(0.1, centered=True),
    "Adagrad": lambda: v1.train.AdagradOptimizer(0.1),
    "Adadelta": lambda: v1.train.AdadeltaOptimizer(0.1),
    "Ftrl": lambda: v1.train.FtrlOptimizer(0.1),
    "AdagradDA": lambda: v1.train.AdagradDAOptimizer(0.1, v1.train.get_or_create_global_step()),
    "ProximalAdagrad": lambda: v1.train.ProximalAdagradOptimizer(0.1),
    "GradientDescent": lambda: v1.train.GradientDescentOptimizer(0.1),
}

SCOPES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "nowhere": (nullcontext, nullcontext),
    "name_scope": (nullcontext, lambda: v1.name_scope("train")),
    "t": (nullcontext, lambda: v1.variable_scope("t")),
    "train": (nullcontext, lambda: v1.variable_scope("train")),
    "training": (nullcontext, lambda: v1.variable_scope("training")),
    "long": (nullcontext, lambda: v1.variable_scope("training_operations")),
    "around": (lambda: v1.variable_scope("tower"), nullcontext),
}
"""Name -> the scope around model and optimizer, and the scope around the optimizer only."""


@pytest.mark.parametrize("partitioned", [False, True], ids=["whole", "partitioned"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_model_variables_are_the_trained_and_the_untrained_ones_of_the_model(
    tmp_path: Path, optimizer: str, scope: str, partitioned: bool
) -> None:
    outer, inner = SCOPES[scope]
    with tf.Graph().as_default(), v1.Session() as session:
        with outer():
            scale = v1.get_variable("scale", [], initializer=v1.ones_initializer())
            with v1.variable_scope("net"):
                split = v1.fixed_size_partitioner(2) if partitioned else None
                kernel = v1.get_variable("kernel", [4, 2], partitioner=split)
                bias = v1.get_variable("bias", [2])
                mean = v1.get_variable("moving_mean", [2], trainable=False)
            loss = tf.reduce_sum((tf.ones([1, 4]) @ tf.convert_to_tensor(kernel) + bias - 1) ** 2) * scale
            with inner():
                step = v1.train.get_or_create_global_step()
                update = OPTIMIZERS[optimizer]().minimize(loss, global_step=step)
        expected = saved_names([*v1.trainable_variables(), mean])
        initialize(session)
        session.run(update)
        prefix = save(session, tmp_path)
    with ckptfmt.open(prefix) as ckpt:
        assert len(ckpt) > len(expected)
        assert set(ckpt.model_variables()) == expected


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
def test_model_variables_exclude_averages_and_their_debias_slots(tmp_path: Path, resource: bool) -> None:
    with tf.Graph().as_default(), v1.Session() as session, v1.variable_scope("", use_resource=resource):
        with v1.variable_scope("norm"):
            mean = v1.get_variable("mean", [2], trainable=False)
            weight = v1.get_variable("w", [2])
        average = tf.train.ExponentialMovingAverage(0.9)
        with v1.variable_scope("outer"):
            debiased = moving_averages.assign_moving_average(mean, weight, 0.9, zero_debias=True)
            update = [average.apply([weight]), debiased]
        initialize(session)
        session.run(update)
        prefix = save(session, tmp_path)
    with ckptfmt.open(prefix) as ckpt:
        assert len([name for name in ckpt if name.endswith(("/biased", "/local_step"))]) == 2
        assert set(ckpt.model_variables()) == {"norm/mean", "norm/w"}


# --- model variables by objects --------------------------------------------------------------------------

KERAS_OPTIMIZERS = {
    "SGD": lambda: tf.keras.optimizers.SGD(0.1),
    "SGD_momentum": lambda: tf.keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "Adam": lambda: tf.keras.optimizers.Adam(amsgrad=True),
    "AdamW": lambda: tf.keras.optimizers.AdamW(use_ema=True),
    "RMSprop": lambda: tf.keras.optimizers.RMSprop(centered=True, momentum=0.9),
    "Adagrad": lambda: tf.keras.optimizers.Adagrad(),
    "Adadelta": lambda: tf.keras.optimizers.Adadelta(),
    "Ftrl": lambda: tf.keras.optimizers.Ftrl(),
    "Lion": lambda: tf.keras.optimizers.Lion(),
    "LossScale": lambda: tf.keras.optimizers.LossScaleOptimizer(tf.keras.optimizers.Adam()),
}


@functools.cache
def fitted(optimizer: str) -> Any:
    """Return a model with metrics, trained for one step; every weight has values of its own.

    Most of the time of these tests is spent here, so an optimizer trains one model for all of them.
    """
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [tf.keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
    )
    # Eagerly, because tracing the step takes far longer than one step.
    model.compile(KERAS_OPTIMIZERS[optimizer](), loss="mse", metrics=["mae"], run_eagerly=True)
    generator = np.random.default_rng(7)
    model.fit(generator.normal(size=(8, 4)), generator.normal(size=(8, 2)), verbose=0)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape))
    return model


def multiset(arrays: Iterable[Any]) -> Counter[tuple[str, tuple[int, ...], bytes]]:
    values = [np.asarray(array) for array in arrays]
    return Counter((str(value.dtype), value.shape, value.tobytes()) for value in values)


@pytest.mark.parametrize("arguments", [("model", "optimizer"), ("net", "opt"), ("optimizer_", "a"), ("m",)])
@pytest.mark.parametrize("optimizer", KERAS_OPTIMIZERS)
def test_model_variables_of_a_keras_model_are_its_weights(
    tmp_path: Path, optimizer: str, arguments: tuple[str, ...]
) -> None:
    model = fitted(optimizer)
    objects = dict(zip(arguments, (model, model.optimizer), strict=False))
    prefix = tf.train.Checkpoint(**objects).save(str(tmp_path / "ckpt"))
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.model_variables()
        assert multiset(view.values()) == multiset(weight.numpy() for weight in model.weights)
        assert len(ckpt) >= len(view) + 4


def test_model_variables_of_modules_exclude_the_slots_of_a_tensorflow_1_optimizer(tmp_path: Path) -> None:
    root = tf.Module()
    root.a = tf.Variable([1.0, 2.0], name="a")
    root.inner = tf.Module()
    root.inner.list = [tf.Variable([3.0], name="b"), {"key/with slash": tf.Variable(4, name="c")}]
    root.inner.back = root
    trained = [root.a, root.inner.list[0]]
    optimizer = v1.train.AdamOptimizer()
    optimizer.apply_gradients([(tf.ones_like(variable), variable) for variable in trained])
    prefix = tf.train.Checkpoint(root=root, opt=optimizer).save(str(tmp_path / "ckpt"))
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.model_variables()
        assert multiset(view.values()) == multiset(variable.numpy() for variable in root.variables)
        below = ckpt.model_variables().by_object_path("root")
        assert set(below) == {"a", "inner/list/0", "inner/list/1/key/with slash"}


# --- by object path and by full name ---------------------------------------------------------------------


def attribute(root: Any, path: str) -> Any:
    """Follow a path of local names from a Keras object, along its own checkpoint dependencies."""
    for name in path.split("/"):
        root = root._trackable_children()[name]
    return root


@pytest.mark.parametrize("optimizer", ["SGD_momentum", "Adam"])
def test_object_paths_and_full_names_lead_to_the_same_values(tmp_path: Path, optimizer: str) -> None:
    model = fitted(optimizer)
    prefix = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "ckpt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dict(tf.train.list_variables(prefix))
    reader = tf.train.load_checkpoint(prefix)
    with ckptfmt.open(prefix) as ckpt:
        by_path = ckpt.by_object_path()
        keys = {key.removesuffix(VALUE): key for key in theirs if key != "_CHECKPOINTABLE_OBJECT_GRAPH"}
        assert set(by_path) == set(keys)
        for name, key in keys.items():
            np.testing.assert_array_equal(by_path[name], reader.get_tensor(key))
        below = ckpt.by_object_path("model")
        assert multiset(below.model_variables().values()) == multiset(w.numpy() for w in model.weights)
        for name in below:
            np.testing.assert_array_equal(below[name], np.asarray(attribute(model, name)))
        variables = [*model.weights, *model.optimizer.variables]
        times = Counter(variable.path for variable in variables)
        by_name = ckpt.by_full_name(ambiguous="key")
        unique = [variable for variable in variables if times[variable.path] == 1]
        assert len(unique) > len(model.weights)
        for variable in unique:
            np.testing.assert_array_equal(by_name[variable.path], variable.numpy())


def test_full_names_are_variable_names_without_the_output(tmp_path: Path) -> None:
    root = tf.Module()
    root.one = tf.Variable([1.0], name="scope/a")
    root.more = [tf.Variable([2.0], name="b"), tf.Variable([3.0], name="b")]
    prefix = tf.train.Checkpoint(root=root).write(str(tmp_path / "ckpt"))
    with ckptfmt.open(prefix) as ckpt:
        view = ckpt.by_full_name()
        assert view[root.one.name.removesuffix(":0")].tolist() == root.one.numpy().tolist()
        with pytest.raises(ckptfmt.errors.NameConflictError) as caught:
            ckpt.by_full_name(ambiguous="error")
        assert set(caught.value.names) == {variable.name.removesuffix(":0") for variable in root.more}


# --- renamed ---------------------------------------------------------------------------------------------


def test_renamed_reads_what_a_saver_with_a_mapping_restores(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=[i, i + 0.5]) for i, name in enumerate("xyz")]
        names = {"saved": variables[0], "scope/other": variables[1]}
        saver = v1.train.Saver(names)
        initialize(session)
        prefix = saver.save(session, str(tmp_path / "model.ckpt"))
        session.run([v1.assign(variable, [7.0, 7.0]) for variable in variables])
        saver.restore(session, prefix)
        values = {variable.op.name: session.run(variable) for variable in variables}
    with ckptfmt.open(prefix) as ckpt:
        assert set(ckpt) == set(names)
        view = ckpt.renamed({variable.op.name: name for name, variable in names.items()})
        assert list(view) == ["x", "y"]
        for name in view:
            np.testing.assert_array_equal(view[name], values[name])
        with pytest.raises(ckptfmt.errors.TensorNotFoundError):
            ckpt.renamed({"z": "z"})
