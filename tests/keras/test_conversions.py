"""Keras 2 models, converted from every file that Keras 2 writes: Keras 3 loads them and predicts the same."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from tests.support.keras_2_models import Made, floats, nested, shared, stacked_cells
from tests.support.keras_pairs import assert_same, fill, keras_2, keras_3

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]


def recurrent(keras: Any) -> Made:
    layers = keras.layers
    given = keras.Input((5, 4))
    cells = [layers.LSTMCell(3), layers.SimpleRNNCell(2), layers.LSTMCell(4)]
    backward = layers.GRU(3, go_backwards=True, return_sequences=True)
    outputs = [
        layers.GRU(3, reset_after=False, return_sequences=True)(given),
        layers.Bidirectional(layers.GRU(3), merge_mode="sum")(given),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), backward_layer=backward)(given),
        layers.RNN(cells)(given),
        layers.Bidirectional(layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)]))(given),
        layers.TimeDistributed(keras.Sequential([layers.Dense(3), layers.BatchNormalization()]))(given),
        layers.SimpleRNN(3, use_bias=False)(given),
        layers.LSTM(2, recurrent_activation="hard_sigmoid")(given),
    ]
    return keras.Model(given, outputs), [floats(2, 5, 4)]


def frozen(keras: Any) -> Made:
    layers = keras.layers
    given = keras.Input((8, 8, 3))
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Conv2D(2, 3, use_bias=False),
            layers.BatchNormalization(scale=False),
        ]
    )
    inner.trainable = False
    partly = keras.Sequential(
        [layers.Dense(3, trainable=False), layers.BatchNormalization(), layers.Dense(2)]
    )
    pooled = layers.GlobalAveragePooling2D()(layers.BatchNormalization(trainable=False)(inner(given)))
    return keras.Model(given, partly(pooled)), [floats(2, 8, 8, 3)]


def convolutions(keras: Any) -> Made:
    layers = keras.layers
    row, image, frames = keras.Input((8, 4)), keras.Input((8, 8, 4)), keras.Input((3, 8, 8, 2))
    outputs = [
        layers.Conv1D(3, 2)(row),
        layers.Conv1DTranspose(3, 2)(row),
        layers.SeparableConv1D(3, 2, depth_multiplier=2)(row),
        layers.DepthwiseConv1D(2)(row),
        layers.Conv2D(4, 3, groups=2)(image),
        layers.Conv2DTranspose(3, 2, strides=2)(image),
        layers.DepthwiseConv2D(3, depth_multiplier=2)(image),
        layers.SeparableConv2D(3, 3)(image),
        layers.Conv3D(2, 2)(frames),
        layers.Conv3DTranspose(2, 2)(frames),
        layers.ConvLSTM2D(2, 3)(frames),
        layers.GroupNormalization(2)(image),
        layers.LayerNormalization(center=False)(image),
    ]
    return keras.Model([row, image, frames], outputs), [
        *(floats(2, 8, 4), floats(2, 8, 8, 4), floats(2, 3, 8, 8, 2))
    ]


def attention(keras: Any) -> Made:
    layers = keras.layers
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    outputs = [
        layers.MultiHeadAttention(2, 3)(query, value),
        layers.MultiHeadAttention(2, 3, use_bias=False, output_shape=5)(query, value),
        layers.Attention(use_scale=True, score_mode="concat")([query, value]),
        layers.AdditiveAttention()([query, value]),
        layers.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d")(query),
    ]
    return keras.Model([query, value], outputs), [floats(2, 4, 6), floats(2, 5, 6)]


def preprocessing(keras: Any) -> Made:
    layers = keras.layers
    numbers, classes = keras.Input((3,)), keras.Input((2,), dtype="int64")
    bins, norm = layers.Discretization(num_bins=4), layers.Normalization()
    bins.adapt(floats(50, 3))
    norm.adapt(floats(20, 3))
    outputs = [
        *(bins(numbers), norm(numbers), layers.Normalization(mean=1.0, variance=2.0)(numbers)),
        *(layers.Discretization(bin_boundaries=[0.0, 1.0])(numbers), layers.Rescaling(0.5)(numbers)),
        *(layers.CategoryEncoding(6)(classes), layers.Embedding(6, 3)(classes), layers.Hashing(5)(classes)),
    ]
    return keras.Model([numbers, classes], outputs), [floats(2, 3), np.array([[1, 2], [5, 0]])]


MODELS: list[Callable[[Any], Made]] = [
    *(shared, nested, stacked_cells, recurrent, frozen, convolutions, attention, preprocessing),
]


def predict(model: Any, inputs: list[Any]) -> Any:
    return model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)


def converted(source: Path, target: Path, **options: Any) -> dict[str, np.ndarray]:
    """Convert a model to weights of Keras 3, and return what the file holds."""
    ckptfmt.convert(source, target, verify=True, **options)
    with ckptfmt.open_tensors(target) as tensors:
        return dict(tensors)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_every_file_of_a_model_becomes_one_that_predicts_the_same(
    make: Callable[[Any], Made], tmp_path: Path
) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    model, inputs = make(keras)
    fill(model)
    want = predict(model, inputs)
    model.save(tmp_path / "saved", save_format="tf")
    ckptfmt.convert(tmp_path / "saved", tmp_path / "new.keras", verify=True)
    new = keras_3().saving.load_model(tmp_path / "new.keras")
    assert_same(predict(new, inputs), want, 1e-6)

    tensors = converted(tmp_path / "saved", tmp_path / "saved.weights.h5")
    new.set_weights([np.zeros(each.shape, each.dtype) for each in new.weights])
    new.load_weights(tmp_path / "saved.weights.h5")
    assert_same(predict(new, inputs), want, 1e-6)

    # Whatever else it was saved in, its variables are the same.
    model.save(tmp_path / "old.keras")
    model.save(tmp_path / "old.h5")
    model.save_weights(tmp_path / "only.h5")
    model.save_weights(tmp_path / "only.weights.h5")
    model.save_weights(tmp_path / "checkpoint", save_format="tf")
    (tmp_path / "model.json").write_text(model.to_json())
    configs = {
        "old.keras": None,
        "old.h5": None,
        "only.h5": tmp_path / "model.json",
        "only.weights.h5": model.to_json(),
        "checkpoint": tmp_path / "old.h5",
    }
    for number, (name, config) in enumerate(configs.items()):
        found = converted(tmp_path / name, tmp_path / f"{number}.weights.h5", config=config)
        assert found.keys() == tensors.keys()
        for path, value in tensors.items():
            assert np.array_equal(found[path], value), (name, path)
    for name in ("old.keras", "old.h5"):
        ckptfmt.convert(tmp_path / name, tmp_path / "again.keras", overwrite=True)
        assert (
            config_of(tmp_path / "again.keras")["class_name"]
            == config_of(tmp_path / "new.keras")["class_name"]
        )
    # From one file of Keras 3 to the other.
    assert converted(tmp_path / "new.keras", tmp_path / "from3.weights.h5").keys() == tensors.keys()
    ckptfmt.convert(tmp_path / "new.keras", tmp_path / "from3.keras", verify=True)
    assert config_of(tmp_path / "from3.keras") == config_of(tmp_path / "new.keras")


def config_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        config: dict[str, Any] = json.loads(archive.read("config.json"))
        return config
