"""Models of Keras 2 to translate and convert, with inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Made = tuple[Any, list[np.ndarray]]


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def sequential(keras: Any) -> Made:
    layers = keras.layers
    stack = [
        layers.Dense(3, activation="relu", input_shape=(4,)),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
        layers.Dense(2, activation=layers.LeakyReLU(0.1)),
    ]
    return keras.Sequential(stack), [floats(2, 4)]


def convolutions(keras: Any) -> Made:
    layers = keras.layers
    stack = [
        *(keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.DepthwiseConv2D(3)),
        *(layers.SeparableConv2D(3, 2), layers.Conv2DTranspose(2, 3), layers.LayerNormalization()),
        layers.GlobalAveragePooling2D(),
    ]
    return keras.Sequential(stack), [floats(2, 8, 8, 3)]


def shared(keras: Any) -> Made:
    layers = keras.layers
    sequence, vector = keras.Input((4, 6)), keras.Input((6,))
    dense = layers.Dense(6)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(sequence)
    x = layers.GRU(6)(x)
    total = layers.Add()([dense(x), dense(vector)])
    return keras.Model([sequence, vector], total), [floats(2, 4, 6), floats(2, 6)]


def nested(keras: Any) -> Made:
    layers = keras.layers
    outer, inner = keras.Input((6,)), keras.Input((6,))
    row = keras.Sequential([layers.Dense(6, input_shape=(6,))])
    graph = keras.Model(inner, layers.Dense(6)(inner))
    twice = graph(row(graph(row(outer))))
    return keras.Model(outer, [twice, row(outer), graph(outer)]), [floats(2, 6)]


def masked(keras: Any) -> Made:
    layers = keras.layers
    stack = [layers.Embedding(10, 4, mask_zero=True, input_length=5), layers.LSTM(3), layers.Dense(1)]
    return keras.Sequential(stack), [np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])]


def stacked_cells(keras: Any) -> Made:
    layers = keras.layers
    stack = [
        keras.Input((5, 3)),
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True),
        layers.TimeDistributed(layers.Dense(2)),
    ]
    return keras.Sequential(stack), [floats(2, 5, 3)]


def normalization(keras: Any) -> Made:
    layer = keras.layers.Normalization()
    layer.adapt(floats(20, 3))
    return keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)]), [floats(2, 3)]


def attention(keras: Any) -> Made:
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    made = keras.layers.MultiHeadAttention(2, 3)(query, value)
    return keras.Model([query, value], made), [floats(2, 4, 6), floats(2, 5, 6)]


def states(keras: Any) -> Made:
    layers = keras.layers
    first, second = keras.Input((4, 6)), keras.Input((5, 6))
    out, hidden, carry = layers.LSTM(3, return_state=True)(first)
    decoded = layers.LSTM(3)(second, initial_state=[hidden, carry])
    outputs = {"decoded": decoded, "out": out}
    return keras.Model([first, second], outputs), [floats(2, 4, 6), floats(2, 5, 6)]


def built_by_a_call(keras: Any) -> Made:
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
    model(floats(1, 4))
    return model, [floats(2, 4)]


def policies(keras: Any) -> Made:
    layers = keras.layers
    stack = [
        keras.Input((4,)),
        layers.Dense(3, dtype="mixed_float16"),
        layers.Dense(2, dtype="float64", kernel_regularizer="l2", kernel_constraint="non_neg"),
    ]
    return keras.Sequential(stack), [floats(2, 4)]


MODELS: list[Callable[[Any], Made]] = [
    *(sequential, convolutions, shared, nested, masked, stacked_cells, normalization, attention, states),
    *(built_by_a_call, policies),
]
