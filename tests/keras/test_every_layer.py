"""Every layer of Keras 2 as Keras 3 has it: the same predictions with the same weights, or why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.translate import translate
from tests.support.keras_pairs import assert_same_predictions, fill, keras_2, texts

Made = tuple[Any, list[np.ndarray]]
Make = Callable[[Any, Any], Made]


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def on(*shape: int, **arguments: Any) -> Callable[[str], Make]:
    """Make a model of a layer that is called with one tensor of floats."""

    def of(name: str) -> Make:
        def make(keras: Any, layers: Any) -> Made:
            tensor = keras.Input(shape)
            return keras.Model(tensor, getattr(layers, name)(**arguments)(tensor)), [floats(2, *shape)]

        return make

    return of


def given(values: Any, dtype: str, **arguments: Any) -> Callable[[str], Make]:
    """Make a model of a layer that is called with these values."""

    def of(name: str) -> Make:
        def make(keras: Any, layers: Any) -> Made:
            array = np.array(values, object if dtype == "string" else dtype)
            tensor = keras.Input(array.shape[1:], dtype=dtype)
            return keras.Model(tensor, getattr(layers, name)(**arguments)(tensor)), [array]

        return make

    return of


def merging(**arguments: Any) -> Callable[[str], Make]:
    """Make a model of a layer that merges two tensors."""

    def of(name: str) -> Make:
        def make(keras: Any, layers: Any) -> Made:
            one, two = keras.Input((4, 3)), keras.Input((4, 3))
            made = getattr(layers, name)(**arguments)([one, two])
            return keras.Model([one, two], made), [floats(2, 4, 3), floats(2, 4, 3) + 1]

        return make

    return of


def wrapping(make_inner: Callable[[Any], Any], *shape: int, **arguments: Any) -> Callable[[str], Make]:
    """Make a model of a layer around another."""

    def of(name: str) -> Make:
        def make(keras: Any, layers: Any) -> Made:
            tensor = keras.Input(shape)
            made = getattr(layers, name)(make_inner(layers), **arguments)(tensor)
            return keras.Model(tensor, made), [floats(2, *shape)]

        return make

    return of


def cell(name: str) -> Make:
    def make(keras: Any, layers: Any) -> Made:
        tensor = keras.Input((4, 3))
        return keras.Model(tensor, layers.RNN(getattr(layers, name)(2))(tensor)), [floats(2, 4, 3)]

    return make


def input_layer(name: str) -> Make:
    def make(keras: Any, layers: Any) -> Made:
        first = layers.InputLayer(input_shape=(3,), batch_size=2, dtype="float64", name="first")
        return keras.Sequential([first, layers.Dense(2)]), [floats(2, 3)]

    return make


def stacked(name: str) -> Make:
    def make(keras: Any, layers: Any) -> Made:
        tensor = keras.Input((4, 3))
        cells = [layers.LSTMCell(2, recurrent_activation="hard_sigmoid"), layers.LSTMCell(3)]
        return keras.Model(tensor, layers.RNN(layers.StackedRNNCells(cells))(tensor)), [floats(2, 4, 3)]

    return make


def crossing(name: str) -> Make:
    def make(keras: Any, layers: Any) -> Made:
        one, two = keras.Input((1,), dtype="int64"), keras.Input((1,), dtype="string")
        crossed = layers.HashedCrossing(num_bins=7)((one, two))
        arrays = [np.array([[1], [2]]), np.array([["a"], ["b"]], object)]
        return keras.Model([one, two], crossed), arrays

    return make


def attention(name: str) -> Make:
    def make(keras: Any, layers: Any) -> Made:
        query, value = keras.Input((4, 6)), keras.Input((5, 6))
        layer = layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=5, use_bias=False)
        return keras.Model([query, value], layer(query, value)), [floats(2, 4, 6), floats(2, 5, 6)]

    return make


WORDS = [["a", "b"], ["c", "a"]]

CASES: dict[str, list[Callable[[str], Make]]] = {
    "Activation": [on(3, activation=name) for name in ("relu", "swish", "softmax", "gelu", "hard_sigmoid")],
    "ActivityRegularization": [on(3, l2=0.1)],
    **{name: [merging()] for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")},
    "AdditiveAttention": [merging(), merging(use_scale=False)],
    "Attention": [merging(), merging(use_scale=True, score_mode="concat")],
    **{name: [on(3, rate=0.5)] for name in ("AlphaDropout", "Dropout", "GaussianDropout")},
    **{
        name: [on(6, 3), on(7, 3, pool_size=3, padding="same")]
        for name in ("AveragePooling1D", "MaxPooling1D")
    },
    **{
        name: [on(6, 6, 3), on(7, 5, 3, pool_size=(3, 2), strides=1)]
        for name in ("AveragePooling2D", "MaxPooling2D")
    },
    **{name: [on(4, 4, 4, 3)] for name in ("AveragePooling3D", "MaxPooling3D")},
    "BatchNormalization": [
        *(on(4, 3), on(4, 3, axis=1, scale=False, center=False), on(3, 3, 3, fused=True, epsilon=0.1)),
        on(4, 3, synchronized=True),
    ],
    "Bidirectional": [
        wrapping(lambda layers: layers.LSTM(2), 4, 3),
        wrapping(lambda layers: layers.GRU(2, return_sequences=True), 4, 3, merge_mode="sum"),
        wrapping(lambda layers: layers.RNN(layers.SimpleRNNCell(2)), 4, 3, merge_mode="mul"),
    ],
    "CategoryEncoding": [
        given([[0, 2], [1, 1]], "int64", num_tokens=4, output_mode=mode) for mode in ("multi_hot", "count")
    ],
    "CenterCrop": [on(6, 6, 3, height=4, width=3), on(3, 5, 3, height=4, width=4)],
    "Concatenate": [merging(), merging(axis=1)],
    "Conv1D": [on(6, 4, filters=2, kernel_size=3, activation="relu", padding="causal", dilation_rate=2)],
    "Conv2D": [
        on(6, 6, 4, filters=2, kernel_size=3, strides=2, padding="same"),
        on(6, 6, 4, filters=4, kernel_size=(3, 2), groups=2, use_bias=False, activation="hard_sigmoid"),
    ],
    "Conv3D": [on(4, 4, 4, 2, filters=2, kernel_size=2)],
    "Conv1DTranspose": [on(6, 4, filters=2, kernel_size=3, strides=2)],
    "Conv2DTranspose": [on(6, 6, 4, filters=2, kernel_size=3, strides=2, output_padding=1)],
    "Conv3DTranspose": [on(4, 4, 4, 2, filters=2, kernel_size=2)],
    "ConvLSTM1D": [
        on(3, 5, 2, filters=2, kernel_size=3),
        on(3, 5, 2, filters=2, kernel_size=3, padding="same"),
    ],
    "ConvLSTM2D": [
        on(3, 5, 5, 2, filters=2, kernel_size=3, return_sequences=True, recurrent_activation="sigmoid")
    ],
    "ConvLSTM3D": [on(2, 4, 4, 4, 2, filters=2, kernel_size=2)],
    "Cropping1D": [on(6, 3, cropping=(1, 2))],
    "Cropping2D": [on(6, 6, 3, cropping=((1, 2), (0, 1)))],
    "Cropping3D": [on(6, 6, 6, 3, cropping=1)],
    "Dense": [
        *(on(4, units=3), on(2, 4, units=3, activation="tanh", use_bias=False)),
        *(on(4, units=3, activation="hard_sigmoid"), on(4, units=3, dtype="mixed_bfloat16")),
        on(
            *(4,),
            units=3,
            kernel_initializer="he_normal",
            bias_regularizer="l1_l2",
            kernel_constraint="max_norm",
        ),
    ],
    "DepthwiseConv1D": [on(6, 4, kernel_size=3, depth_multiplier=2)],
    "DepthwiseConv2D": [on(6, 6, 4, kernel_size=3, depth_multiplier=2, dilation_rate=2, activation="relu6")],
    "Discretization": [
        on(4, bin_boundaries=[-1.0, 0.0, 1.0]),
        on(4, bin_boundaries=[-1.0, 0.0, 1.0], output_mode="multi_hot"),
    ],
    "Dot": [merging(axes=(2, 2)), merging(axes=1, normalize=True)],
    "EinsumDense": [
        on(4, 3, equation="abc,cd->abd", output_shape=(None, 5), bias_axes="d", activation="relu")
    ],
    "ELU": [on(4, alpha=0.5)],
    "Embedding": [given([[1, 2], [3, 0]], "int32", input_dim=5, output_dim=3, mask_zero=True)],
    "Flatten": [on(4, 3), on(4, 3, data_format="channels_first")],
    "GaussianNoise": [on(4, stddev=0.5)],
    **{
        name: [on(6, 3), on(6, 3, keepdims=True)] for name in ("GlobalAveragePooling1D", "GlobalMaxPooling1D")
    },
    **{name: [on(6, 6, 3)] for name in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")},
    **{name: [on(4, 4, 4, 3)] for name in ("GlobalAveragePooling3D", "GlobalMaxPooling3D")},
    "GroupNormalization": [on(4, 4, groups=2), on(4, 4, groups=-1)],
    "GRU": [
        on(4, 3, units=2),
        on(4, 3, units=2, reset_after=False, recurrent_activation="hard_sigmoid", go_backwards=True),
        on(4, 3, units=2, recurrent_activation="hard_sigmoid", activation="hard_sigmoid", use_bias=False),
        on(4, 3, units=2, return_state=True, implementation=1),
    ],
    "GRUCell": [cell],
    "Hashing": [
        given(WORDS, "string", num_bins=5, mask_value="a"),
        given([[1, 2]], "int64", num_bins=5, output_mode="multi_hot"),
        given(WORDS, "string", num_bins=5),
        given(WORDS, "string", num_bins=5, salt=[3, 4]),
    ],
    "HashedCrossing": [crossing],
    "Identity": [on(4)],
    "InputLayer": [input_layer],
    "IntegerLookup": [
        given([[1, 2], [0, 3]], "int64", vocabulary=[4, 5, 6], invert=True, mask_token=0),
        given([[4], [9]], "int64", vocabulary=[4, 5, 6], output_mode="one_hot"),
        given([[1, 2], [7, 3]], "int64", vocabulary=[1, 2, 3]),
        given([[1, 2], [7, 3]], "int64", vocabulary=[1, 2, 3], output_mode="multi_hot", num_oov_indices=2),
    ],
    "LayerNormalization": [on(4, 3), on(4, 3, axis=[1, 2], scale=False), on(4, 3, axis=1, epsilon=0.1)],
    "LeakyReLU": [on(4), on(4, alpha=0.1)],
    "LSTM": [
        on(4, 3, units=2),
        on(4, 3, units=2, recurrent_activation="hard_sigmoid", return_sequences=True, unroll=True),
        on(4, 3, units=2, unit_forget_bias=False, activation="relu", return_state=True, dropout=0.5),
    ],
    "LSTMCell": [cell],
    "Masking": [on(4, 3, mask_value=0.0)],
    "MultiHeadAttention": [attention],
    "Normalization": [
        on(4, 3, mean=1.0, variance=4.0, invert=True),
        on(4, 3, mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 4.0]),
        on(4, 3, axis=None, mean=1.0, variance=2.0),
    ],
    "Permute": [on(4, 3, dims=(2, 1))],
    "PReLU": [on(4, 3), on(4, 3, shared_axes=[1])],
    "RandomBrightness": [on(6, 6, 3, factor=0.2)],
    "RandomContrast": [on(6, 6, 3, factor=0.2)],
    "RandomCrop": [on(6, 6, 3, height=4, width=4)],
    "RandomFlip": [on(6, 6, 3, mode="horizontal", seed=3)],
    "RandomHeight": [on(6, 6, 3, factor=0.2)],
    "RandomWidth": [on(6, 6, 3, factor=0.2)],
    "RandomRotation": [on(6, 6, 3, factor=0.2)],
    "RandomTranslation": [on(6, 6, 3, height_factor=0.2, width_factor=0.2)],
    "RandomZoom": [on(6, 6, 3, height_factor=0.2)],
    "ReLU": [on(4), on(4, max_value=1.0, negative_slope=0.1, threshold=0.2)],
    "RepeatVector": [on(4, n=3)],
    "Rescaling": [on(4, scale=0.5, offset=1.0), on(4, 3, scale=[0.5, 1.0, 2.0])],
    "Reshape": [on(4, 3, target_shape=(2, -1))],
    "Resizing": [
        on(6, 4, 3, height=4, width=3, crop_to_aspect_ratio=True),
        on(6, 6, 3, height=4, width=3, interpolation="bicubic"),
        on(6, 6, 3, height=4, width=3, interpolation="area"),
        on(6, 6, 3, height=4, width=3),
        on(6, 6, 3, height=4, width=3, interpolation="nearest"),
    ],
    "RNN": [
        wrapping(lambda layers: [layers.LSTMCell(2), layers.GRUCell(3)], 4, 3, return_sequences=True),
        wrapping(
            lambda layers: layers.LSTMCell(2, recurrent_activation="hard_sigmoid"), 4, 3, return_state=True
        ),
    ],
    "SeparableConv1D": [on(6, 4, filters=2, kernel_size=3, activation="hard_sigmoid")],
    "SeparableConv2D": [on(6, 6, 4, filters=2, kernel_size=3, depth_multiplier=2)],
    "SimpleRNN": [on(4, 3, units=2), on(4, 3, units=2, activation="hard_sigmoid", return_sequences=True)],
    "SimpleRNNCell": [cell],
    "Softmax": [on(4), on(4, 3, axis=1), on(4, 3, axis=[1, 2])],
    "SpatialDropout1D": [on(4, 3, rate=0.5)],
    "SpatialDropout2D": [on(4, 4, 3, rate=0.5)],
    "SpatialDropout3D": [on(4, 4, 4, 3, rate=0.5)],
    "StackedRNNCells": [stacked],
    "StringLookup": [
        given([[1, 2], [0, 3]], "int64", vocabulary=["a", "b"], invert=True),
        given(WORDS, "string", vocabulary=["a", "b"]),
        given(WORDS, "string", vocabulary=["a", "b"], output_mode="count", num_oov_indices=2),
    ],
    "TextVectorization": [
        given([["ab"], ["c"]], "string", vocabulary=["a", "b"], split="character", standardize=None),
        given([["a b"], ["c"]], "string", vocabulary=["a", "b"], output_sequence_length=4),
        given(
            [["a b"], ["A"]],
            "string",
            vocabulary=["a"],
            output_mode="count",
            max_tokens=5,
            pad_to_max_tokens=True,
        ),
        given([["A b, c"], ["d"]], "string", vocabulary=["a", "b", "d"]),
        given([["A b"], ["a"]], "string", vocabulary=["a", "b"], output_mode="multi_hot", ngrams=2),
    ],
    "ThresholdedReLU": [on(4), on(4, theta=0.3)],
    "TimeDistributed": [wrapping(lambda layers: layers.Conv1D(2, 2), 4, 3, 2)],
    "UnitNormalization": [on(4, 3), on(4, 3, axis=1)],
    "UpSampling1D": [on(4, 3, size=3)],
    "UpSampling2D": [on(4, 4, 3), on(4, 4, 3, size=(2, 3), interpolation="bilinear")],
    "UpSampling3D": [on(2, 2, 2, 3)],
    "ZeroPadding1D": [on(4, 3, padding=(1, 2))],
    "ZeroPadding2D": [on(4, 4, 3, padding=((1, 2), (0, 1)))],
    "ZeroPadding3D": [on(2, 2, 2, 3)],
}
"""For each class, models of its layers."""

REFUSED: dict[str, Callable[[str], Make]] = {
    "LocallyConnected1D": on(6, 4, filters=2, kernel_size=3),
    "LocallyConnected2D": on(6, 6, 4, filters=2, kernel_size=3),
    "Lambda": on(4, function=lambda x: x + 1),
    "experimental.RandomFourierFeatures": on(4, output_dim=3),
}
"""Classes that Keras 3 does not have, and code."""

ABSTRACT = {"Layer", "Wrapper", "AbstractRNNCell", "InputSpec"}

ELSEWHERE = {
    "SpectralNormalization",  # tf_keras cannot make one beside Keras 3
    "DenseFeatures",  # its arguments are feature columns of TensorFlow Estimator
    "experimental.DynamicEmbedding",
    "experimental.DynamicLookup",
}

_CASES = [
    pytest.param(of(name), id=f"{name}-{at}") for name, cases in CASES.items() for at, of in enumerate(cases)
]


@pytest.mark.tensorflow
def test_no_layer_is_left_out() -> None:
    layers = keras_2().layers
    public = {
        f"{prefix}{cls.__name__}"
        for prefix, module in (("", layers), ("experimental.", layers.experimental))
        for cls in vars(module).values()
        if isinstance(cls, type)
    }
    public -= {name for name in public if name.removeprefix("experimental.") in CASES}
    assert public - ABSTRACT - ELSEWHERE - {"experimental.SyncBatchNormalization"} == set(REFUSED)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_without_a_counterpart_is_named(name: str) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    experimental, _, class_name = name.rpartition(".")
    model, _ = REFUSED[name](class_name)(keras, keras.layers.experimental if experimental else keras.layers)
    for config in texts(model).values():
        (refused,) = translate(config).refused
        assert (refused.layer, refused.class_name) == (model.layers[-1].name, class_name)
        with pytest.raises(UnsupportedError, match=f"layer '{refused.layer}' of class '{class_name}' is"):
            translate(config).raise_if_refused()


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", _CASES)
def test_a_layer_predicts_the_same(make: Make) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    model, inputs = make(keras, keras.layers)
    fill(model)
    for config in texts(model).values():
        assert_same_predictions(model, config, *inputs)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_synchronized_batch_normalization_has_an_argument() -> None:
    keras = keras_2()
    layer = keras.layers.experimental.SyncBatchNormalization(input_shape=(3,))
    model = keras.Sequential([layer])
    new = assert_same_predictions(model, model.to_json(), floats(2, 3))
    assert new.layers[0].synchronized


def rows(keras: Any, *others: Any) -> Made:
    """Make a model of layers after a mask that a table of embeddings makes."""
    stack = [keras.layers.Embedding(9, 4, mask_zero=True, input_length=5), *others]
    return keras.Sequential(stack), [np.array([[1, 2, 3, 0, 0], [4, 0, 5, 6, 0], [7, 8, 1, 2, 3]])]


def attending(keras: Any, layers: Any, make: Callable[[Any, Any], Any]) -> Made:
    given, other = keras.Input((5,)), keras.Input((4,))
    table = layers.Embedding(9, 4, mask_zero=True)
    arrays = [np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 0]]), np.array([[1, 2, 0, 0], [5, 6, 7, 8]])]
    return keras.Model([given, other], make(table(given), table(other))), arrays


MASKED: dict[str, Make] = {
    "lstm": lambda keras, layers: rows(keras, layers.LSTM(3, return_sequences=True, go_backwards=True)),
    "gru": lambda keras, layers: rows(keras, layers.GRU(3, return_state=False), layers.Dense(2)),
    "gru before": lambda keras, layers: rows(keras, layers.GRU(3, reset_after=False, return_sequences=True)),
    "rnn": lambda keras, layers: rows(keras, layers.SimpleRNN(3), layers.Dropout(0.5)),
    "both": lambda keras, layers: rows(keras, layers.Bidirectional(layers.LSTM(3, return_sequences=True))),
    "two": lambda keras, layers: rows(keras, layers.LSTM(3, return_sequences=True), layers.GRU(2)),
    "zeros": lambda keras, layers: rows(
        keras, layers.RNN(layers.LSTMCell(3), return_sequences=True, zero_output_for_mask=True)
    ),
    "pool": lambda keras, layers: rows(keras, layers.Dense(3), layers.GlobalAveragePooling1D()),
    "norm": lambda keras, layers: rows(keras, layers.LayerNormalization(), layers.GlobalAveragePooling1D()),
    "act": lambda keras, layers: rows(keras, layers.Activation("tanh"), layers.LSTM(2)),
    "times": lambda keras, layers: rows(keras, layers.TimeDistributed(layers.Dense(3)), layers.LSTM(2)),
    "flat": lambda keras, layers: rows(keras, layers.Flatten(), layers.Dense(2)),
    "attention": lambda keras, layers: attending(
        keras, layers, lambda query, value: layers.Attention()([query, value])
    ),
    "additive": lambda keras, layers: attending(
        keras, layers, lambda query, value: layers.AdditiveAttention()([query, value])
    ),
    "heads": lambda keras, layers: attending(
        keras, layers, lambda query, value: layers.MultiHeadAttention(2, 3)(query, value)
    ),
    "causal": lambda keras, layers: attending(
        *(keras, layers),
        lambda query, value: layers.MultiHeadAttention(2, 3)(query, query, use_causal_mask=True),
    ),
    "scores": lambda keras, layers: attending(
        *(keras, layers),
        lambda query, value: layers.Attention(use_scale=True)(
            [query, value], return_attention_scores=True, use_causal_mask=False
        ),
    ),
    "added": lambda keras, layers: attending(
        *(keras, layers),
        lambda query, value: layers.LSTM(2)(layers.Add()([query, layers.Dense(4)(query)])),
    ),
    "function": lambda keras, layers: attending(
        keras, layers, lambda query, value: layers.LSTM(2)(query * 2.0)
    ),
}
"""Layers after a mask, which some apply, some hand on, and some drop."""


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", MASKED)
def test_masks_go_the_same_ways(case: str) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    model, inputs = MASKED[case](keras, keras.layers)
    fill(model)
    assert_same_predictions(model, model.to_json(), *inputs, tolerance=5e-6)


def positions(layers: Any, query: Any) -> Any:
    """Add what has no mask, as models do that know positions."""
    import tensorflow as tf

    return layers.Add()([query, tf.sin(query)])


DIFFERENT: dict[str, Callable[[Any, Any, Any], Any]] = {
    "one without": lambda layers, query, value: layers.LSTM(2, name="taking")(positions(layers, query)),
    "handed on": lambda layers, query, value: layers.MultiHeadAttention(2, 3, name="taking")(
        *[layers.LayerNormalization()(positions(layers, query))] * 2
    ),
    "two": lambda layers, query, value: layers.GRU(2, name="taking")(
        layers.Multiply()([query, layers.Masking(0.5)(query)])
    ),
    "features": lambda layers, query, value: layers.Bidirectional(layers.LSTM(2), name="taking")(
        layers.Concatenate()([query, layers.Masking(0.5)(query)])
    ),
}
"""Models in which Keras 3 makes another mask of several masks."""


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", DIFFERENT)
def test_layers_that_would_take_another_mask_are_refused(case: str) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    layers = keras.layers
    model, _ = attending(keras, layers, lambda query, value: DIFFERENT[case](layers, query, value))
    (refused,) = translate(model.to_json()).refused
    assert refused.layer == "taking"
    assert refused.reason.startswith("takes a mask that Keras 3 makes otherwise")
