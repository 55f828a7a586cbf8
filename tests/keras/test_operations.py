"""Functions of TensorFlow in functional models of Keras 2, as operations of Keras 3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.operation_table import _TABLE
from ckptfmt.keras.translate import translate
from tests.support.keras_pairs import assert_same_predictions, keras_2, keras_3

Made = Callable[[Any, Any, Any, Any, Any], Any]
"""Of TensorFlow and tensors of the shapes (2, 4, 6) twice, integers (2, 3), an image (2, 8, 8, 3)."""

CASES: dict[str, Made] = {
    "add": lambda tf, x, y, n, image: x + 1,
    "constant first": lambda tf, x, y, n, image: 1 - x,
    "negative": lambda tf, x, y, n, image: -x,
    "divide": lambda tf, x, y, n, image: 2 / (x + 7),
    "power": lambda tf, x, y, n, image: x**2,
    "floor": lambda tf, x, y, n, image: x // 2 + x % 2,
    "compare": lambda tf, x, y, n, image: (x > 0) & ~(y <= 0.5) | tf.equal(x, y),
    "array": lambda tf, x, y, n, image: x * np.arange(6.0) + tf.constant([1.0, 2, 3, 4, 5, 6]),
    "matmul": lambda tf, x, y, n, image: x @ tf.transpose(y, [0, 2, 1]),
    "matmul transposed": lambda tf, x, y, n, image: tf.matmul(tf.matmul(x, y, transpose_b=True), x, True),
    "last": lambda tf, x, y, n, image: x[:, -1],
    "steps": lambda tf, x, y, n, image: x[:, 1:3, ::2],
    "new axis": lambda tf, x, y, n, image: x[:, tf.newaxis, ..., 1],
    "slice": lambda tf, x, y, n, image: tf.slice(x, [0, 1, 2], [-1, 2, 3]),
    "strided slice": lambda tf, x, y, n, image: tf.strided_slice(x, [0, 1, 0], [2, 4, 6], [1, 2, 1]),
    "relu": lambda tf, x, y, n, image: tf.nn.relu(x) + tf.nn.relu6(x) + tf.nn.elu(x) + tf.nn.selu(x),
    "sigmoid": lambda tf, x, y, n, image: tf.sigmoid(x) + tf.tanh(x) + tf.nn.softplus(x) + tf.nn.softsign(x),
    "leaky relu": lambda tf, x, y, n, image: tf.nn.leaky_relu(x) + tf.nn.leaky_relu(x, alpha=0.1),
    "gelu": lambda tf, x, y, n, image: tf.nn.gelu(x) - tf.nn.gelu(x, approximate=True),
    "swish": lambda tf, x, y, n, image: tf.nn.swish(x),
    "softmax": lambda tf, x, y, n, image: tf.nn.softmax(x, axis=1) + tf.nn.log_softmax(x),
    "hard sigmoid": lambda tf, x, y, n, image: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0),
    "l2": lambda tf, x, y, n, image: tf.nn.l2_normalize(x, axis=-1) + tf.math.l2_normalize(x, axis=[1, 2]),
    "norm": lambda tf, x, y, n, image: tf.norm(x, axis=-1, keepdims=True),
    "mean": lambda tf, x, y, n, image: tf.reduce_mean(x, axis=1) + tf.reduce_max(x, [1]),
    "sum": lambda tf, x, y, n, image: tf.reduce_sum(x, 1, keepdims=True) + tf.reduce_min(x),
    "deviation": lambda tf, x, y, n, image: (
        tf.math.reduce_std(x, axis=1) + tf.math.reduce_variance(x, axis=1)
    ),
    "product": lambda tf, x, y, n, image: tf.reduce_prod(x, axis=-1) + tf.reduce_logsumexp(x, axis=-1),
    "any": lambda tf, x, y, n, image: [tf.reduce_any(x > 0, axis=1), tf.reduce_all(x > 0, axis=1)],
    "arguments": lambda tf, x, y, n, image: [tf.argmax(x, -1), tf.argmin(x, axis=1), tf.argmax(x)],
    "top k": lambda tf, x, y, n, image: list(tf.math.top_k(x, 2)),
    "sort": lambda tf, x, y, n, image: [tf.sort(x, axis=1), tf.argsort(x)],
    "cumsum": lambda tf, x, y, n, image: tf.cumsum(x, axis=1),
    "reshape": lambda tf, x, y, n, image: tf.reshape(x, [-1, 24]),
    "reshape by shape": lambda tf, x, y, n, image: tf.reshape(x, [tf.shape(x)[0], 2, 12]),
    "axes": lambda tf, x, y, n, image: tf.squeeze(tf.expand_dims(x, -1), axis=-1),
    "reverse axes": lambda tf, x, y, n, image: tf.transpose(tf.reduce_sum(x, 0)),
    "concat": lambda tf, x, y, n, image: tf.concat([x, y, x * 2], -1),
    "concat with a constant": lambda tf, x, y, n, image: tf.concat([x, np.ones((2, 4, 1), np.float32)], -1),
    "stack": lambda tf, x, y, n, image: tf.stack([x, y], axis=1),
    "unstack": lambda tf, x, y, n, image: tf.unstack(x, axis=1),
    "split": lambda tf, x, y, n, image: tf.split(x, 2, axis=-1) + tf.split(x, [1, 2, 3], axis=2),
    "tile": lambda tf, x, y, n, image: tf.tile(x, [1, 2, 1]) + tf.repeat(x, 2, axis=1),
    "reverse": lambda tf, x, y, n, image: tf.reverse(x, [1]) + tf.roll(x, 1, axis=1),
    "broadcast": lambda tf, x, y, n, image: tf.broadcast_to(x[:, :1], [2, 4, 6]),
    "cast": lambda tf, x, y, n, image: tf.cast(n, tf.float32) + tf.cast(x[:, 0, :3] > 0, "float32"),
    "identity": lambda tf, x, y, n, image: tf.stop_gradient(tf.identity(x)),
    "where": lambda tf, x, y, n, image: tf.where(x > 0, x, y) + tf.where(x > 0, x, 0.0),
    "maximum": lambda tf, x, y, n, image: tf.maximum(x, 0.5) + tf.minimum(x, y),
    "gather": lambda tf, x, y, n, image: tf.gather(x, [0, 2], axis=1),
    "pad": lambda tf, x, y, n, image: tf.pad(x, [[0, 0], [1, 1], [0, 2]]),
    "reflect": lambda tf, x, y, n, image: tf.pad(image, [[0, 0], [1, 1], [2, 2], [0, 0]], mode="REFLECT"),
    "one hot": lambda tf, x, y, n, image: tf.one_hot(n, 5),
    "likes": lambda tf, x, y, n, image: tf.zeros_like(x) + tf.ones_like(x),
    "add n": lambda tf, x, y, n, image: tf.add_n([x, y, x]),
    "squared difference": lambda tf, x, y, n, image: tf.math.squared_difference(x, y),
    "roots": lambda tf, x, y, n, image: tf.math.rsqrt(x * x + 1) + tf.sqrt(tf.abs(x)) + tf.square(x),
    "logarithms": lambda tf, x, y, n, image: tf.math.log(tf.exp(x)) + tf.math.log1p(x * x) + tf.math.expm1(x),
    "angles": lambda tf, x, y, n, image: tf.sin(x) + tf.cos(x) + tf.tan(x) + tf.atan(x) + tf.sinh(x),
    "rounding": lambda tf, x, y, n, image: tf.round(x) + tf.floor(x) + tf.math.ceil(x) + tf.sign(x),
    "erf": lambda tf, x, y, n, image: tf.math.erf(x) + tf.math.divide_no_nan(x, y),
    "bias": lambda tf, x, y, n, image: tf.nn.bias_add(x, np.arange(6.0).astype(np.float32)),
    "tensordot": lambda tf, x, y, n, image: tf.tensordot(x, np.ones((6, 2), np.float32), axes=1),
    "moments": lambda tf, x, y, n, image: list(tf.nn.moments(x, axes=[1])),
    "diagonal": lambda tf, x, y, n, image: tf.linalg.diag_part(x[:, :4, :4]),
    "pools": lambda tf, x, y, n, image: [
        tf.nn.max_pool2d(image, 2, 2, "SAME"),
        tf.nn.avg_pool2d(image, [2, 2], [1, 1], "VALID"),
    ],
    "resize": lambda tf, x, y, n, image: [
        tf.image.resize(image, (4, 6)),
        tf.image.resize(image, (4, 6), method="nearest"),
    ],
    "blocks": lambda tf, x, y, n, image: tf.nn.depth_to_space(tf.nn.space_to_depth(image, 2), 2),
    "gray": lambda tf, x, y, n, image: tf.image.rgb_to_grayscale(tf.image.flip_left_right(image)),
}
"""Outputs of models."""


def model_of(make: Made) -> tuple[Any, list[np.ndarray]]:
    import tensorflow as tf

    keras = keras_2()
    keras.backend.clear_session()
    inputs = [keras.Input((4, 6)), keras.Input((4, 6))]
    inputs += [keras.Input((3,), dtype="int32"), keras.Input((8, 8, 3))]
    random = np.random.default_rng(3)
    arrays = [random.normal(size=(2, *each.shape[1:])).astype(np.float32) for each in inputs]
    arrays[2] = random.integers(0, 5, (2, 3)).astype(np.int32)
    return keras.Model(inputs, make(tf, *inputs)), arrays


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_an_operation_computes_what_the_function_does(case: str) -> None:
    model, arrays = model_of(CASES[case])
    assert_same_predictions(model, model.to_json(), *arrays, tolerance=1e-5)


REFUSED: dict[str, tuple[Made, str]] = {
    "random": (
        lambda tf, x, y, n, image: tf.nn.dropout(x, 0.5),
        "calls tf.nn.dropout, which has no counterpart",
    ),
    "einsum": (
        lambda tf, x, y, n, image: tf.einsum("bij,bkj->bik", x, y),
        "calls tf.einsum, which lacks its ten",
    ),
    "shape": (lambda tf, x, y, n, image: tf.shape(x), "calls tf.compat.v1.shape, which has no counterpart"),
    "beta": (lambda tf, x, y, n, image: tf.nn.silu(x, beta=2.0), "calls tf.nn.silu, which has beta=2.0 here"),
    "index": (
        lambda tf, x, y, n, image: x[:, tf.shape(y)[1] - 1],
        "which has an index here that is a tensor",
    ),
    "tile": (lambda tf, x, y, n, image: tf.tile(x, [tf.shape(y)[1], 1, 1]), "has a tensor as multiples here"),
}


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", REFUSED)
def test_a_function_without_an_equal_operation_is_named(case: str) -> None:
    make, reason = REFUSED[case]
    model, _ = model_of(make)
    translation = translate(model.to_json())
    assert [each for each in translation.refused if reason in each.reason]
    with pytest.raises(UnsupportedError, match=r"layer 'tf.+' of class '.+OpLambda' calls"):
        translation.raise_if_refused("model.json")


@pytest.mark.tensorflow
def test_every_operation_of_the_table_exists_and_takes_its_settings() -> None:
    import inspect

    ops = keras_3().src.ops
    for function, row in _TABLE.items():
        for class_name in (row.class_name, *row.then):
            module, name = class_name.split(".")
            cls = getattr(getattr(ops, module), name)
        module, name = row.class_name.split(".")
        taken = inspect.signature(getattr(getattr(ops, module), name).__init__).parameters
        assert {*row.settings.values(), *row.defaults} <= taken.keys(), function
        assert cls


def test_an_operation_keeps_the_name_of_its_layer() -> None:
    call = [["x", 0, 0, {"y": ["x", 0, 0], "name": None}]]
    layers = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 3]},
            "name": "x",
            "inbound_nodes": [],
        },
        {
            "class_name": "TFOpLambda",
            "config": {"name": "d", "function": "math.squared_difference"},
            "name": "d",
            "inbound_nodes": [call[0]],
        },
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["d", 0, 0]]}
    translated = translate(json.dumps({"class_name": "Functional", "config": config})).config["config"]
    assert [(each["name"], each["class_name"]) for each in translated["layers"]] == [
        *(("x", "InputLayer"), ("d", "Square"), ("d_1", "Subtract")),
    ]
    assert translated["output_layers"] == ["d", 0, 0]


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_layers_keep_the_numbers_that_object_graphs_give_them() -> None:
    """A function may become two operations, or none."""
    import tensorflow as tf

    keras = keras_2()
    keras.backend.clear_session()
    tensor = keras.Input((4, 6))
    reshaped = tf.reshape(tensor, [tf.shape(tensor)[0], 24])
    squared = tf.math.squared_difference(keras.layers.Dense(3)(reshaped), 0.5)
    model = keras.Model(tensor, keras.layers.Dense(2)(squared))
    new = translate(model.to_json()).config["config"]["layers"]
    assert [each["name"] for each in new[: len(model.layers)]] == [each.name for each in model.layers]
    assert len(new) == len(model.layers) + 1
    assert_same_predictions(model, model.to_json(), np.ones((2, 4, 6), np.float32))
