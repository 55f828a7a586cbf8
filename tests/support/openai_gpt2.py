"""A graph of TensorFlow 1 with the variables of OpenAI's GPT-2, in a tiny size, written after the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, POSITIONS, WIDTH, HEADS, LAYERS = 30, 12, 8, 2, 2
IDS = np.array([[2, 7, 1, 29, 4], [3, 3, 8, 0, 5]])


def run(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Save a GPT-2 as a checkpoint with slots of Adam; return that and what the model computes."""
    import tensorflow as tf  # here, so that tests can skip without it

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        with v1.variable_scope("model"):
            sequence, words = _Gpt2(tf).outputs()
        for variable in v1.global_variables():
            for slot in ("Adam", "Adam_1"):
                v1.get_variable(f"{variable.op.name}/{slot}", variable.shape, trainable=False)
        for power in ("beta1_power", "beta2_power"):
            v1.get_variable(power, [], trainable=False)
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(path / "model.ckpt"), write_meta_graph=False)
        return Path(prefix), session.run({"sequence": sequence, "words": words})


class _Gpt2:
    def __init__(self, tf: Any) -> None:
        self._tf = tf
        self._scope = tf.compat.v1.variable_scope

    def outputs(self) -> tuple[Any, Any]:
        tf = self._tf
        positions = self._variable("wpe", POSITIONS, WIDTH)
        table = self._variable("wte", VOCABULARY, WIDTH)
        x = tf.gather(table, IDS) + positions[: IDS.shape[1]]
        for number in range(LAYERS):
            with self._scope(f"h{number}"):
                x += self._attention(self._norm(x, "ln_1"))
                hidden = self._dense(self._norm(x, "ln_2"), 4 * WIDTH, "mlp/c_fc")
                x += self._dense(tf.nn.gelu(hidden, approximate=True), WIDTH, "mlp/c_proj")
        x = self._norm(x, "ln_f")
        return x, tf.matmul(x, table, transpose_b=True)

    def _attention(self, x: Any) -> Any:
        tf = self._tf
        count, length = IDS.shape
        parts = tf.split(self._dense(x, 3 * WIDTH, "attn/c_attn"), 3, axis=2)
        query, key, value = (
            tf.transpose(tf.reshape(part, (count, length, HEADS, WIDTH // HEADS)), [0, 2, 1, 3])
            for part in parts
        )
        scores = tf.matmul(query, key, transpose_b=True) / np.sqrt(WIDTH // HEADS)
        future = np.triu(np.full((length, length), -1e9, np.float32), 1)
        gathered = tf.transpose(tf.nn.softmax(scores + future) @ value, [0, 2, 1, 3])
        return self._dense(tf.reshape(gathered, (count, length, WIDTH)), WIDTH, "attn/c_proj")

    def _dense(self, x: Any, units: int, scope: str) -> Any:
        with self._scope(scope):
            weights = self._variable("w", 1, int(x.shape[-1]), units, spread=0.3)
            return x @ weights[0] + self._variable("b", units)

    def _norm(self, x: Any, scope: str) -> Any:
        with self._scope(scope):
            scale, shift = self._variable("g", WIDTH), self._variable("b", WIDTH)
        mean, variance = self._tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) / self._tf.sqrt(variance + 1e-5) * scale + shift

    def _variable(self, name: str, *shape: int, spread: float = 1.0) -> Any:
        v1 = self._tf.compat.v1
        return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(stddev=spread))
