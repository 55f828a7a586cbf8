"""Object graphs written here by TensorFlow have the children, keys and names that it finds in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import ObjectGraph
from tests.support.object_graph import check_laws

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def nested_modules() -> Any:
    root = tf.Module()
    root.inner = tf.Module()
    root.inner.deep = tf.Module()
    root.inner.deep.w = tf.Variable([1.0, 2.0], name="deep_w")
    root.inner.b = tf.Variable(3, name="b")
    root.same = root.inner.deep
    root.loop = root.inner
    root.inner.back = root
    return tf.train.Checkpoint(root=root)


def containers() -> Any:
    root = tf.Module()
    names = ["a/b", ".x", "c.d", "a.S/q", "..", "/", "café", ".ATTRIBUTES", "x/.ATTRIBUTES/y", "plain"]
    root.by_name = {name: tf.Variable(float(i), name=f"v{i}") for i, name in enumerate(names)}
    root.in_list = [tf.Variable(1.0), [tf.Variable(2.0), tf.Variable(3.0)]]
    root.in_tuple = (tf.Variable(4.0), tf.Variable(5.0))
    root.shared = root.in_list[1]
    return tf.train.Checkpoint(root=root)


def keras_model() -> Any:
    keras = tf.keras
    shared = keras.layers.Dense(4, name="twice")
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2)(keras.layers.BatchNormalization()(shared(shared(inputs))))
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.Adam(), loss="mse")
    model.fit(np.ones((2, 4), np.float32), np.ones((2, 2), np.float32), verbose=0)
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def slots() -> Any:
    root = tf.Module()
    root.v = tf.Variable([1.0, 2.0], name="vv")
    root.w = {"a/b": tf.Variable([[3.0]], name="scope/ww")}
    root.optimizer = tf.compat.v1.train.AdamOptimizer()
    variables = [root.v, root.w["a/b"]]
    root.optimizer.apply_gradients([(tf.ones_like(variable), variable) for variable in variables])
    return tf.train.Checkpoint(root=root)


def tables_and_iterators() -> Any:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    other = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    iterator = iter(tf.data.Dataset.range(10))
    next(iterator)
    return tf.train.Checkpoint(
        table=table,
        table_2=other,
        iterator=iterator,
        generator=tf.random.Generator.from_seed(1),
        step=tf.Variable(0),
    )


def self_reference() -> Any:
    checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
    checkpoint.me = checkpoint
    return checkpoint


CASES = [nested_modules, containers, keras_model, slots, tables_and_iterators, self_reference]


@pytest.fixture(scope="module", params=CASES, ids=lambda make: make.__name__)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """The prefix of a checkpoint, and the object that was saved."""
    make: Callable[[], Any] = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of TensorFlow and Keras are not ours to fix
        checkpoint = make()
        prefix = checkpoint.save(str(tmp_path_factory.mktemp(make.__name__) / "ckpt"))
    return prefix, checkpoint


@pytest.fixture
def graph(saved: tuple[str, Any]) -> ObjectGraph:
    graph = ckptfmt.open(saved[0]).object_graph
    assert graph is not None
    return graph


def metadata(prefix: str) -> Any:
    """The message as TensorFlow decodes it."""
    from tensorflow.python.checkpoint.checkpoint import object_metadata

    return object_metadata(prefix)


def test_every_key_is_reached_once(saved: tuple[str, Any], graph: ObjectGraph) -> None:
    keys = [name for name, _ in tf.train.list_variables(saved[0])]
    check_laws(graph, keys)
    assert graph.unreached == ()
    assert graph.absent == ()


def test_nodes_say_what_the_message_says(saved: tuple[str, Any], graph: ObjectGraph) -> None:
    message = metadata(saved[0])
    assert len(graph) == len(message.nodes)
    for node, theirs in zip(graph.nodes, message.nodes, strict=True):
        children = {child.local_name: child.node_id for child in theirs.children}
        assert {name: child.id for name, child in node.children.items()} == children
        assert [each[:3] for each in node.attributes] == [
            (each.name, each.full_name, each.checkpoint_key) for each in theirs.attributes
        ]
        assert [(slot.variable.id, slot.name, slot.node.id) for slot in node.slot_variables] == [
            (slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id)
            for slot in theirs.slot_variables
        ]
        assert (node.registered_saver is not None) == theirs.HasField("registered_saver")
        assert node.has_checkpoint_values == (
            theirs.has_checkpoint_values.value if theirs.HasField("has_checkpoint_values") else None
        )


def test_children_and_descendants_are_those_of_the_view(saved: tuple[str, Any], graph: ObjectGraph) -> None:
    view = tf.train.CheckpointView(saved[0])
    for node in graph.nodes:
        assert {name: child.id for name, child in node.children.items()} == dict(view.children(node.id))
    # The view follows children only, breadth first; iteration does so too before it turns to slots.
    descendants = list(view.descendants())
    assert [node.id for node in graph][: len(descendants)] == descendants


def test_full_names_lead_to_the_keys_that_a_saver_finds(saved: tuple[str, Any], graph: ObjectGraph) -> None:
    from tensorflow.python.training.saver import object_graph_key_mapping

    theirs = object_graph_key_mapping(saved[0])  # one key for each name, the last
    ours = graph.keys_by_full_name
    for name, key in theirs.items():
        if name:  # objects that are not variables share the empty name
            assert ours[name][-1] == key
    assert set(ours) == set(theirs) - {""}


def test_keys_lead_to_the_values_of_the_objects(saved: tuple[str, Any], graph: ObjectGraph) -> None:
    prefix, checkpoint = saved
    tensors = ckptfmt.open(prefix)
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view = tf.train.TrackableView(checkpoint)
        # Walk both from the root along the same edges.
        todo, seen = [(graph.root, checkpoint)], {0}
        while todo:
            node, theirs = todo.pop()
            if isinstance(theirs, tf.Variable) and node.keys:
                (key,) = node.keys
                np.testing.assert_array_equal(tensors[key], theirs.numpy())
                compared += 1
            for name, child in view.children(theirs).items():
                if name in node.children and node.children[name].id not in seen:
                    seen.add(node.children[name].id)
                    todo.append((node.children[name], child))
    assert compared
