"""Models of Keras, each made with Keras 2 or Keras 3, and inputs for it."""

from __future__ import annotations

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


def more_convolutions(keras: Any) -> Made:
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


def attentions(keras: Any) -> Made:
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
