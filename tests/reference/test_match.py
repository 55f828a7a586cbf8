"""``ckptfmt.match`` complains exactly when TensorFlow's own restore does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.graph.read.read import read_saved_variables

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

v1 = tf.compat.v1


# --- tf.train.Checkpoint ---------------------------------------------------------------------------------


def variable(*shape: int, dtype: str = "float32", name: str | None = None) -> Any:
    return tf.Variable(tf.zeros(shape, dtype), name=name)


def plain() -> Any:
    return tf.train.Checkpoint(a=variable(2), b=tf.train.Checkpoint(c=variable(3, 4)))


def with_more() -> Any:
    root = plain()
    root.more = variable(5)
    return root


def moved() -> Any:
    # The same objects, reached by other paths: their keys differ.
    root = tf.train.Checkpoint(a=variable(2), b=tf.train.Checkpoint(c=variable(3, 4)))
    root.z = root.b.c
    return root


def shared() -> Any:
    one = variable(3)
    return tf.train.Checkpoint(left=one, right=one)


def apart() -> Any:
    return tf.train.Checkpoint(left=variable(3), right=variable(3))


def lists() -> Any:
    return tf.train.Checkpoint(
        layers=[variable(1), variable(2)], named={"x": variable(3), "a/b.c": variable(4)}
    )


def longer_lists() -> Any:
    return tf.train.Checkpoint(
        layers=[variable(1), variable(2), variable(6)], named={"x": variable(3), "a/b.c": variable(4)}
    )


def table() -> Any:
    made = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    made.insert(tf.constant(["k"]), tf.constant([1], tf.int64))
    return tf.train.Checkpoint(other=made, v=variable(2))


def slots(kind: str) -> Any:
    optimizers = {"momentum": v1.train.MomentumOptimizer, "sgd": v1.train.GradientDescentOptimizer}
    args = {"momentum": (0.1, 0.9), "sgd": (0.1,)}
    root = tf.train.Checkpoint(v=variable(2), opt=optimizers[kind](*args[kind]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(root.v * root.v)
    root.opt.apply_gradients([(tape.gradient(loss, root.v), root.v)])
    return root


def keras(units: int = 3, layers: int = 2) -> Any:
    model = tf.keras.Sequential(
        [tf.keras.Input((4,)), *(tf.keras.layers.Dense(units) for _ in range(layers))]
    )
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def keras_without_optimizer() -> Any:
    root = keras()
    return tf.train.Checkpoint(model=root.model)


BUILDERS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "more": with_more,
    "moved": moved,
    "shared": shared,
    "apart": apart,
    "lists": lists,
    "longer lists": longer_lists,
    "table": table,
    "momentum": lambda: slots("momentum"),
    "sgd": lambda: slots("sgd"),
    "keras": keras,
    "deeper keras": lambda: keras(layers=3),
    "keras model": keras_without_optimizer,
}

PAIRS = [
    ("plain", "plain"),
    ("plain", "more"),
    ("more", "plain"),
    ("plain", "moved"),
    ("moved", "plain"),
    ("shared", "apart"),
    ("apart", "shared"),
    ("shared", "shared"),
    ("lists", "lists"),
    ("lists", "longer lists"),
    ("longer lists", "lists"),
    ("table", "table"),
    ("momentum", "momentum"),
    ("keras", "keras"),
    ("keras", "deeper keras"),
    ("deeper keras", "keras"),
    ("keras", "keras model"),
    ("keras model", "keras"),
]


def passes(check: Callable[[], object]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(("stored", "wanted"), PAIRS, ids=" into ".join)
def test_it_complains_when_a_restore_does(stored: str, wanted: str, tmp_path: Path) -> None:
    path = BUILDERS[stored]().save(str(tmp_path / "stored"))
    target = BUILDERS[wanted]()
    expected = target.save(str(tmp_path / "wanted"))
    match = ckptfmt.match(path, expected)
    status = target.restore(path)
    assert match.restorable == passes(status.assert_existing_objects_matched)
    assert match.ok == passes(status.assert_consumed)
    assert passes(match.assert_consumed) == match.ok
    if not stored.startswith("longer"):
        plan = match.propose()
        with ckptfmt.open(path) as checkpoint:
            after = ckptfmt.match(checkpoint.apply(plan), expected)
        assert set(after.matched) >= {p.wanted for p in match.proposals} | set(match.matched)


@pytest.mark.parametrize("wanted", ["plain", "moved", "lists", "apart", "momentum", "keras"])
def test_matched_tensors_are_those_that_a_restore_sets(wanted: str, tmp_path: Path) -> None:
    source, target = BUILDERS[wanted](), BUILDERS[wanted]()
    count = 0

    def fill(root: Any, sign: int) -> None:
        nonlocal count
        for node in sorted_variables(root):
            count += 1
            node.assign(tf.cast(tf.fill(node.shape, sign * count), node.dtype))

    fill(source, 1)
    path = source.save(str(tmp_path / "stored"))
    fill(target, -1)
    expected = target.save(str(tmp_path / "wanted"))
    match = ckptfmt.match(path, expected)
    assert match.ok
    target.restore(path)
    restored = target.write(str(tmp_path / "restored"))
    with ckptfmt.open(path) as ours, ckptfmt.open(restored) as theirs:
        for name, source_name in match.matched.items():
            if not name.startswith("save_counter"):
                np.testing.assert_array_equal(ours[source_name], theirs[name], name)


def sorted_variables(root: Any) -> list[Any]:
    view = tf.train.TrackableView(root)
    return [node for node in view.descendants() if isinstance(node, tf.Variable) and node.dtype == tf.float32]


def test_the_checkpoint_of_a_saver_restores_into_objects_by_full_names(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("scope/w", [2, 3], use_resource=True)
        session.run(v1.global_variables_initializer())
        path = v1.train.Saver().save(session, str(tmp_path / "saver"))
    root = tf.train.Checkpoint(deep=tf.train.Checkpoint(kernel=variable(2, 3, name="scope/w")))
    expected = root.save(str(tmp_path / "objects"))
    match = ckptfmt.match(path, expected)
    assert match.matched == {"deep/kernel/.ATTRIBUTES/VARIABLE_VALUE": "scope/w"}
    assert match.ok
    root.restore(path).assert_consumed()
    back = ckptfmt.match(expected, path)
    assert back.matched == {"scope/w": "deep/kernel/.ATTRIBUTES/VARIABLE_VALUE"}
    assert back.restorable


def test_a_saver_takes_the_last_of_several_variables_with_one_name(tmp_path: Path) -> None:
    one, other = (tf.Variable([value, value], name="w") for value in (1.0, 2.0))
    path = tf.train.Checkpoint(first=one, second=other).save(str(tmp_path / "objects"))
    match = ckptfmt.match(path, {"w": (2,)})
    with ckptfmt.open(path) as checkpoint:
        ours = checkpoint[match.matched["w"]]
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", [2])
        v1.train.Saver([w]).restore(session, path)
        np.testing.assert_array_equal(ours, session.run(w))


# --- tf.compat.v1.train.Saver ----------------------------------------------------------------------------


def save(path: Path, shapes: dict[str, list[int]], dtype: Any = tf.float32) -> str:
    with tf.Graph().as_default(), v1.Session() as session:
        for name, shape in shapes.items():
            # References, because a resource variable silently takes a value of any shape.
            v1.get_variable(name, shape, dtype, v1.zeros_initializer(), use_resource=False)
        session.run(v1.global_variables_initializer())
        return str(v1.train.Saver().save(session, str(path)))


@pytest.mark.parametrize(
    ("shapes", "dtype", "kinds"),
    [
        ({"a": [2], "b": [3, 4]}, tf.float32, ()),
        ({"a": [2]}, tf.float32, ()),
        ({"a": [2], "c": [1]}, tf.float32, ("missing",)),
        ({"a": [3]}, tf.float32, ("wrong_shape",)),
        ({"a": [2, 1]}, tf.float32, ("wrong_shape",)),
        ({"a": [2]}, tf.float64, ("wrong_dtype",)),
        ({"a": [1]}, tf.int32, ("wrong_shape", "wrong_dtype")),
    ],
)
def test_it_finds_the_fault_that_a_saver_stumbles_over(
    shapes: dict[str, list[int]], dtype: Any, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    stored = save(tmp_path / "stored", {"a": [2], "b": [3, 4]})
    wanted = save(tmp_path / "wanted", shapes, dtype)
    match = ckptfmt.match(stored, f"{wanted}.meta")
    assert tuple(k for k in ("missing", "wrong_shape", "wrong_dtype") if getattr(match, k)) == kinds
    with tf.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(f"{wanted}.meta")
        if kinds:
            with pytest.raises((tf.errors.OpError, ValueError)):
                saver.restore(session, stored)
        else:
            saver.restore(session, stored)


@pytest.mark.parametrize("resource", [False, True], ids=["references", "resources"])
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_graph_of_a_saver_has_the_variables_of_its_checkpoint(
    resource: bool, sharded: bool, version: int, tmp_path: Path
) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        plain = v1.get_variable("plain", [2, 3], use_resource=resource)
        step = v1.get_variable("step", [], tf.int64, v1.zeros_initializer(), use_resource=resource)
        parts = v1.get_variable(
            "parts", [5, 2], partitioner=v1.fixed_size_partitioner(3), use_resource=resource
        )
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(
            {"renamed": plain, "step": step, "deep/parts": parts}, sharded=sharded, write_version=version
        )
        path = saver.save(session, str(tmp_path / "model"))
    meta = tmp_path / "model.meta"
    with ckptfmt.open(tmp_path / "model") as checkpoint:
        assert read_saved_variables(meta) == {
            name: (entry.dtype, entry.shape) for name, entry in checkpoint.entries.items()
        }
    assert ckptfmt.match(tmp_path / "model", meta).ok, path


def test_without_a_saver_the_variables_are_those_of_the_collection(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("plain", [2, 3])
        v1.get_variable("parts", [5, 2], partitioner=v1.fixed_size_partitioner(3))
        v1.train.export_meta_graph(str(tmp_path / "alone.meta"))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model"))
    assert ckptfmt.match(tmp_path / "model", tmp_path / "alone.meta").ok


def test_tensor_specs_match_any_size_that_they_leave_open(tmp_path: Path) -> None:
    stored = save(tmp_path / "stored", {"a": [2], "b": [3, 4]})
    wanted = {
        "a": tf.TensorSpec([None], tf.float32),
        "b": tf.TensorSpec(None, tf.float32),
    }
    assert ckptfmt.match(stored, wanted).ok
    assert ckptfmt.match(stored, {"a": tf.TensorSpec([None, 1], tf.float32)}).wrong_shape
    assert ckptfmt.match(stored, {"a": tf.zeros(2), "b": tf.keras.Variable(np.zeros((3, 4), np.float32))}).ok
