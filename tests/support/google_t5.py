"""Graphs of TensorFlow 1 with the variables of Google's T5, in tiny sizes.

They are written after the papers of T5 and of its version 1.1. Names and shapes of the variables are those
that Mesh TensorFlow gives them: a block is ``block_000``, and its layers have numbers or, later, names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VOCABULARY, WIDTH, HEADS, KEYS, INNER, BLOCKS, BUCKETS, DISTANCE = 30, 8, 2, 3, 12, 2, 8, 20
INPUTS = np.array([[2, 7, 1, 29, 4, 9, 12, 11, 25, 3, 8, 8, 6, 5, 1, 14]])
TARGETS = np.array([[0, 3, 8, 17]])


class Names(NamedTuple):
    """How a version names what others name differently."""

    encoder: tuple[str, str] = ("layer_000", "layer_001")
    decoder: tuple[str, str, str] = ("layer_000", "layer_001", "layer_002")
    norm: str = "layer_norm"
    last_norm: str = "final_layer_norm"


FIRST = Names()
GATED = Names(norm="rms_norm", last_norm="rms_norm")
NAMED = Names(
    ("self_attention", "dense_relu_dense"),
    ("self_attention", "enc_dec_attention", "dense_relu_dense"),
    "rms_norm",
    "rms_norm",
)


def run(names: Names, is_gated: bool, path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Save a T5 as a checkpoint with slots of Adafactor; return that and what the model computes."""
    import tensorflow as tf  # here, so that tests can skip without it

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        outputs = _T5(tf, names, is_gated).outputs()
        for variable in v1.global_variables():
            for axis in "rc"[: len(variable.shape)]:
                v1.get_variable(f"{variable.op.name}_slot_v{axis}", [variable.shape[0]], trainable=False)
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(path / "model.ckpt"), write_meta_graph=False)
        return Path(prefix), session.run(dict(outputs))


class _T5:
    def __init__(self, tf: Any, names: Names, is_gated: bool) -> None:
        self._tf, self._names, self._is_gated = tf, names, is_gated
        self._scope = tf.compat.v1.variable_scope

    def outputs(self) -> Mapping[str, Any]:
        tf = self._tf
        table = self._variable("shared/embedding", VOCABULARY, WIDTH)
        with self._scope("encoder"):
            encoded = self._stack(tf.gather(table, INPUTS), None)
        with self._scope("decoder"):
            decoded = self._stack(tf.gather(table, TARGETS), encoded)
            if self._is_gated:
                words = decoded @ self._variable("logits/kernel", WIDTH, VOCABULARY)
            else:
                words = tf.matmul(decoded * WIDTH**-0.5, table, transpose_b=True)
        return {"sequence": encoded, "words": words}

    def _stack(self, x: Any, encoded: Any | None) -> Any:
        """Return the output of the encoder, or of the decoder if there is something encoded."""
        names = self._names.encoder if encoded is None else self._names.decoder
        bias = None
        for number in range(BLOCKS):
            with self._scope(f"block_{number:03}"):
                with self._scope(names[0]):
                    normed = self._norm(x, self._names.norm)
                    with self._scope("SelfAttention"):
                        # Only the first block has a table of relative positions; the others use it too.
                        if bias is None:
                            bias = self._bias(x.shape[1], is_causal=encoded is not None)
                        x += self._attention(normed, normed, bias)
                if encoded is not None:
                    with self._scope(names[1]):
                        normed = self._norm(x, self._names.norm)
                        with self._scope("EncDecAttention"):
                            x += self._attention(normed, encoded, 0.0)
                with self._scope(names[-1]):
                    x += self._feed_forward(self._norm(x, self._names.norm))
        return self._norm(x, self._names.last_norm)

    def _attention(self, x: Any, memory: Any, bias: Any) -> Any:
        tf = self._tf

        def heads(of: Any, name: str) -> Any:
            flat = of @ self._variable(name, WIDTH, HEADS * KEYS)
            return tf.transpose(tf.reshape(flat, (*of.shape[:2], HEADS, KEYS)), [0, 2, 1, 3])

        # The scores are not divided by the root of the width: the initial weights are smaller instead.
        scores = tf.matmul(heads(x, "q"), heads(memory, "k"), transpose_b=True) + bias
        gathered = tf.transpose(tf.nn.softmax(scores) @ heads(memory, "v"), [0, 2, 1, 3])
        flat = tf.reshape(gathered, (*x.shape[:2], HEADS * KEYS))
        return flat @ self._variable("o", HEADS * KEYS, WIDTH)

    def _bias(self, length: int, *, is_causal: bool) -> Any:
        table = self._variable("relative_attention_bias", HEADS, BUCKETS)
        positions = np.arange(length)
        distances = positions[None, :] - positions[:, None]
        bias = self._tf.gather(table, _buckets(distances, is_causal=is_causal), axis=1)
        return bias + np.where(is_causal & (distances > 0), -1e9, 0).astype(np.float32)

    def _feed_forward(self, x: Any) -> Any:
        tf = self._tf
        with self._scope("DenseReluDense"):
            if self._is_gated:
                gate = tf.nn.gelu(x @ self._variable("wi_0/kernel", WIDTH, INNER), approximate=True)
                hidden = gate * (x @ self._variable("wi_1/kernel", WIDTH, INNER))
            else:
                hidden = tf.nn.relu(x @ self._variable("wi/kernel", WIDTH, INNER))
            return hidden @ self._variable("wo/kernel", INNER, WIDTH)

    def _norm(self, x: Any, name: str) -> Any:
        power = self._tf.reduce_mean(x * x, -1, keepdims=True)
        return x / self._tf.sqrt(power + 1e-6) * self._variable(f"{name}/scale", WIDTH)

    def _variable(self, name: str, *shape: int) -> Any:
        v1 = self._tf.compat.v1
        return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(stddev=0.5))


def _buckets(distances: np.ndarray, *, is_causal: bool) -> np.ndarray:
    """Return the bucket of each distance: one for each short distance, wider and wider ones beyond."""
    count = BUCKETS if is_causal else BUCKETS // 2
    side = 0 if is_causal else np.where(distances > 0, count, 0)
    away = np.maximum(-distances, 0) if is_causal else np.abs(distances)
    exact = count // 2
    beyond = np.log(np.maximum(away, 1) / exact) / np.log(DISTANCE / exact) * (count - exact)
    return side + np.where(away < exact, away, np.minimum(exact + beyond.astype(int), count - 1))
