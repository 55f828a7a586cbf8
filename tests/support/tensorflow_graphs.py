"""Graphs that TensorFlow builds for tests."""

from __future__ import annotations

from typing import Any


def build_graph() -> Any:
    """Return a graph with most of what a graph can hold, under the control flow that is enabled."""
    import tensorflow as tf  # here, so that tests can skip without it

    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        flag = v1.placeholder(tf.bool, [], name="flag")
        with tf.device("/CPU:0"), v1.variable_scope("layer"):
            w = v1.get_variable("w", [3, 2], use_resource=False)
            b = v1.get_variable("b", [2], use_resource=True)
        y = tf.nn.relu(x @ w + b, name="y")
        low, high = tf.split(y, 2, axis=1, name="halves")
        with tf.control_dependencies([v1.assert_greater(tf.shape(x)[0], 0)]):
            picked = tf.cond(flag, lambda: low + 1.0, lambda: high * 2.0)
        tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * 2.0), [0, picked])
        tf.constant([b"a", b"\xff"], name="words")
        tf.identity(picked, name="out")
    return graph
