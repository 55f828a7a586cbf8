"""Graphs with variables of all kinds, which TensorFlow builds for tests of Savers."""

from __future__ import annotations

from typing import Any


def plain(tf: Any, use_resource: bool) -> None:
    """Add variables of several dtypes, and a string."""
    v1 = tf.compat.v1
    with v1.variable_scope("plain", use_resource=use_resource):
        v1.get_variable("b", [3, 2])
        v1.get_variable("a", [], tf.int64, initializer=v1.zeros_initializer())
        v1.get_variable("half", [2], tf.bfloat16, initializer=v1.ones_initializer())
        v1.get_variable("flag", [2], tf.bool, initializer=v1.ones_initializer(), trainable=False)
        v1.Variable(["x", "y"], name="text", use_resource=use_resource)


def partitioned(tf: Any, use_resource: bool) -> None:
    """Add partitioned variables: along each axis, in parts of equal size and not, in more than ten."""
    v1 = tf.compat.v1
    with v1.variable_scope("parts", use_resource=use_resource):
        v1.get_variable("p", [10, 2], partitioner=v1.fixed_size_partitioner(3))
        v1.get_variable("many", [24, 2], partitioner=v1.fixed_size_partitioner(12))
        v1.get_variable("columns", [2, 5], partitioner=v1.fixed_size_partitioner(2, axis=1))
        joined = v1.get_variable("joined", [2, 4], partitioner=v1.fixed_size_partitioner(2, axis=1))
        tf.convert_to_tensor(joined)


def on_devices(tf: Any, use_resource: bool) -> None:
    """Add variables on several devices, and one of an unknown shape."""
    v1 = tf.compat.v1
    with v1.variable_scope("devices", use_resource=use_resource):
        for name, device in (("b", "/cpu:0"), ("c", "/job:ps/task:1"), ("e", "/gpu:0"), ("d", None)):
            with tf.device(device):
                v1.get_variable(name, [3, 2])
        with tf.device("/job:ps/task:1/cpu:0"):
            v1.get_variable("parts", [3, 2], partitioner=v1.fixed_size_partitioner(2))
        v1.Variable(v1.placeholder(tf.float32), validate_shape=False, name="open", use_resource=use_resource)


def trained(tf: Any, use_resource: bool) -> None:
    """Add a model with Adam, a step and moving averages, whose slots are made in a scope."""
    v1 = tf.compat.v1
    with v1.variable_scope("net", use_resource=use_resource):
        w = v1.get_variable("w", [4, 2], partitioner=v1.fixed_size_partitioner(2))
        with tf.device("/cpu:0"):
            b = v1.get_variable("b", [2])
        v1.get_variable("frozen", [2], trainable=False)
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        y = tf.add(tf.matmul(x, tf.convert_to_tensor(w)), b, name="y")
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer().minimize(tf.reduce_sum(y), global_step=step, name="train")
        tf.train.ExponentialMovingAverage(0.9).apply([b, *w])


def layered(tf: Any, use_resource: bool) -> None:
    """Add layers with batch normalisation, which is not trained here."""
    v1 = tf.compat.v1
    with v1.variable_scope("layers", use_resource=use_resource):
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        kernel = v1.get_variable("kernel", [3, 2])
        mean = v1.get_variable("moving_mean", [2], initializer=v1.zeros_initializer(), trainable=False)
        v1.assign(mean, mean * 0.9, name="update")
        tf.matmul(x, kernel, name="out")


def mixed(tf: Any, use_resource: bool) -> None:
    """Add variables of both kinds, and partitioned ones."""
    plain(tf, use_resource)
    with tf.compat.v1.variable_scope("other"):
        partitioned(tf, not use_resource)
        trained(tf, not use_resource)


def tables(tf: Any, use_resource: bool) -> None:
    """Add mutable lookup tables beside a variable; one is in a scope."""
    v1 = tf.compat.v1
    words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="words")
    v1.get_variable("b", [2], use_resource=use_resource)
    with v1.variable_scope("scope"), tf.device("/cpu:0"):
        numbers = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1.0, -1, -2)
    fill = [words.insert(["a", "b"], [1, 2]), numbers.insert([3, 4, 5], [0.3, 0.4, 0.5])]
    tf.group(*fill, name="fill")
    for table, keys, name in ((words, ["b", "?"], "word"), (numbers, [5, 6], "number")):
        tf.identity(table.lookup(tf.constant(keys, table.key_dtype)), name=name)


GRAPHS = (plain, partitioned, on_devices, trained, layered, tables, mixed)


def build(tf: Any, kind: Any, use_resource: bool) -> Any:
    """Return a graph of a kind, with a seed."""
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.set_random_seed(1)
        kind(tf, use_resource)
    return graph
