"""Where Keras 3 stores the variables of each layer: its own files, compared with what configurations say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.keras.layer_variables import INNER_CELLS, LAYER_VARIABLES
from ckptfmt.keras.structure import structure
from tests.support.keras_pairs import keras_3

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]


def every_layer(keras: Any) -> Any:
    """Return a model with a layer of each class that has variables, and with some of them left out."""
    layers = keras.layers
    vector, row, image = keras.Input((4,)), keras.Input((6, 4)), keras.Input((8, 8, 4))
    volume, rows, images = keras.Input((4, 4, 4, 2)), keras.Input((3, 8, 2)), keras.Input((3, 8, 8, 2))
    numbers = keras.Input((3,), dtype="int32")
    used = [
        layers.Dense(3)(vector),
        layers.Dense(3, use_bias=False, activation=layers.LeakyReLU())(vector),
        layers.PReLU()(vector),
        layers.BatchNormalization()(vector),
        layers.BatchNormalization(center=False, scale=False)(vector),
        layers.LayerNormalization(scale=False)(vector),
        layers.GroupNormalization(2)(image),
        layers.Normalization()(vector),
        layers.Normalization(mean=0.0, variance=1.0)(vector),
        layers.Discretization(bin_boundaries=[0.0])(vector),
        layers.Dropout(0.1)(vector),
        layers.Embedding(5, 2)(numbers),
        layers.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d")(row),
        layers.EinsumDense("abc,cd->abd", output_shape=(None, 6))(row),
        layers.Conv1D(2, 2)(row),
        layers.Conv1DTranspose(2, 2)(row),
        layers.DepthwiseConv1D(2)(row),
        layers.SeparableConv1D(2, 2)(row),
        layers.Conv2D(2, 2, use_bias=False)(image),
        layers.Conv2DTranspose(2, 2)(image),
        layers.DepthwiseConv2D(2)(image),
        layers.SeparableConv2D(2, 2, use_bias=False)(image),
        layers.SpectralNormalization(layers.Conv2D(2, 2))(image),
        layers.Conv3D(2, 2)(volume),
        layers.Conv3DTranspose(2, 2)(volume),
        layers.ConvLSTM1D(2, 2)(rows),
        layers.ConvLSTM2D(2, 2)(images),
        layers.SimpleRNN(2)(row),
        layers.LSTM(2, use_bias=False)(row),
        layers.GRU(2)(row),
        layers.GRU(2, reset_after=False)(row),
        layers.RNN(layers.LSTMCell(2))(row),
        layers.RNN([layers.GRUCell(2), layers.LSTMCell(2), layers.GRUCell(3), layers.SimpleRNNCell(1)])(row),
        layers.Bidirectional(layers.GRU(2))(row),
        layers.Bidirectional(layers.RNN([layers.LSTMCell(2), layers.LSTMCell(3)]))(row),
        layers.TimeDistributed(keras.Sequential([layers.Dense(2), layers.Dense(3)]))(row),
        layers.MultiHeadAttention(2, 3)(row, row),
        layers.MultiHeadAttention(2, 3, use_bias=False)(row, row),
        layers.Attention(use_scale=True, score_mode="concat")([row, row]),
        layers.AdditiveAttention()([row, row]),
        layers.AdditiveAttention(use_scale=False)([row, row]),
        keras.Sequential([layers.Dense(2), keras.Sequential([layers.Dense(2), layers.Dense(1)])])(vector),
    ]
    return keras.Model([vector, row, image, volume, rows, images, numbers], used)


def test_variables_are_where_keras_3_stores_them(tmp_path: Path) -> None:
    keras = keras_3()
    model = every_layer(keras)
    model.save_weights(tmp_path / "model.weights.h5")
    config = keras.saving.serialize_keras_object(model)
    places = [path for layer in structure(config).walk() for path, _ in layer.places()]
    with ckptfmt.open_tensors(tmp_path / "model.weights.h5") as tensors:
        assert sorted(places) == sorted(tensors)


def test_layers_have_the_names_that_keras_3_notes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="reads the attributes of a file")
    keras = keras_3()
    model = every_layer(keras)
    model.save_weights(tmp_path / "model.weights.h5")
    config = keras.saving.serialize_keras_object(model)
    names = {f"{layer.path}/vars".lstrip("/"): layer.name for layer in structure(config).walk()}
    with h5py.File(tmp_path / "model.weights.h5") as file:
        for path, name in names.items():
            if path.count("/") <= 2:  # layers in layers are named by Keras when it makes them
                assert file[path].attrs["name"] == name


def test_every_class_of_the_table_is_one_of_keras_3() -> None:
    layers = keras_3().layers
    own = {*LAYER_VARIABLES, *INNER_CELLS} - {"ConvLSTMCell"}  # which Keras 3 does not export
    assert [name for name in sorted(own) if not hasattr(layers, name)] == []


def test_weights_that_were_written_are_those_of_keras_itself(tmp_path: Path) -> None:
    keras = keras_3()
    model = every_layer(keras)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    ckptfmt.convert(tmp_path / "model.keras", tmp_path / "new.weights.h5")
    ckptfmt.convert(tmp_path / "model.weights.h5", tmp_path / "new.keras", config=tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "new.keras")
    for one, two in zip(model.weights, other.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy()), one.path
    other.load_weights(tmp_path / "new.weights.h5")
