"""Preprocessing layers that learned something by ``adapt``, which their configurations lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.adapted import bin_boundaries, vocabulary
from ckptfmt.keras.translate import translate
from tests.support.keras_pairs import assert_same, build, keras_2, texts

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

WORDS = np.array([["b", "a"], ["c", "b"], ["a", "b"]], object)
SENTENCES = np.array([["A b, c"], ["b c"], ["b é"]], object)


def adapted(name: str, data: np.ndarray, dtype: str, **arguments: Any) -> Any:
    keras = keras_2()
    keras.backend.clear_session()
    layer = getattr(keras.layers, name)(**arguments)
    layer.adapt(data)
    tensor = keras.Input(data.shape[1:], dtype=dtype)
    return keras.Model(tensor, layer(tensor))


def table_of(layer: Any) -> list[Any]:
    """Return the vocabulary of a layer as its table has it, in whatever order."""
    keys, values = getattr(layer, "_lookup_layer", layer).lookup_table.export()
    return vocabulary(keys.numpy()[::-1], values.numpy()[::-1])


LOOKUPS: list[tuple[str, np.ndarray, str, dict[str, Any]]] = [
    ("StringLookup", WORDS, "string", {}),
    ("StringLookup", WORDS, "string", {"mask_token": "", "num_oov_indices": 2}),
    ("StringLookup", WORDS, "string", {"output_mode": "multi_hot", "max_tokens": 3}),
    ("StringLookup", WORDS, "string", {"output_mode": "tf_idf"}),
    ("IntegerLookup", np.array([[3, 5], [5, 9]]), "int64", {}),
    ("IntegerLookup", np.array([[3, 5], [5, 9]]), "int64", {"mask_token": 9, "output_mode": "count"}),
    ("TextVectorization", SENTENCES, "string", {}),
    ("TextVectorization", SENTENCES, "string", {"output_mode": "tf_idf", "ngrams": 2}),
    ("TextVectorization", SENTENCES, "string", {"output_sequence_length": 5, "standardize": "lower"}),
]


@pytest.mark.parametrize(("name", "data", "dtype", "arguments"), LOOKUPS)
def test_a_vocabulary_completes_the_configuration(
    name: str, data: np.ndarray, dtype: str, arguments: dict[str, Any]
) -> None:
    import tensorflow as tf

    model = adapted(name, data, dtype, **arguments)
    layer = model.layers[-1]
    for text in texts(model).values():
        translation = translate(text)
        wanted = ["vocabulary"] + ["idf_weights"] * (arguments.get("output_mode") == "tf_idf")
        assert [each[:3] for each in translation.adapted] == [(layer.name, name, each) for each in wanted]
        for each in translation.adapted:
            inner = getattr(layer, "_lookup_layer", layer)
            learned: Callable[[], Any] = (
                (lambda layer=layer: table_of(layer))
                if each.argument == "vocabulary"
                else (lambda inner=inner: inner.idf_weights.numpy().tolist()[inner.num_oov_indices :])
            )
            each.config[each.argument] = learned()
        new = build(translation)
        given = tf.constant(data)
        assert_same(new(given), model(given), 1e-6)


def test_a_vocabulary_in_the_configuration_is_not_missed() -> None:
    keras = keras_2()
    model = keras.Sequential([keras.Input((1,), dtype="string"), keras.layers.StringLookup(vocabulary=["a"])])
    assert not translate(model.to_json()).adapted


@pytest.mark.parametrize("count", [3, 40, 1000])
@pytest.mark.parametrize("bins", [2, 3, 7])
def test_boundaries_of_bins_follow_from_the_summary(bins: int, count: int) -> None:
    data = np.random.default_rng(0).normal(size=(count, 1)).astype(np.float32)
    model = adapted("Discretization", data, "float32", num_bins=bins)
    layer = model.layers[-1]
    found = bin_boundaries(layer.summary.numpy(), bins)
    np.testing.assert_array_equal(np.float32(found), np.float32(layer.bin_boundaries))
    translation = translate(texts(model)["saved_model"])
    (missing,) = translation.adapted
    assert missing[:3] == (layer.name, "Discretization", "bin_boundaries")
    missing.config["bin_boundaries"] = found
    assert_same(build(translation)(data), model(data), 0)


def test_a_vocabulary_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"vocabulary: got the term b'\\xff', want UTF-8"):
        vocabulary(np.array([b"a", b"\xff"], object), np.array([1, 2]))
