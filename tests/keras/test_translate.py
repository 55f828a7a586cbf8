"""Configurations of Keras 2 models, translated for Keras 3: both build the same model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptfmt.keras.translate import translate
from tests.support.keras_2_models import (
    Made,
    attention,
    built_by_a_call,
    convolutions,
    masked,
    nested,
    normalization,
    policies,
    sequential,
    shared,
    stacked_cells,
    states,
)
from tests.support.keras_pairs import assert_same_predictions, fill, forms, keras_2, keras_3

MODELS: list[Callable[[Any], Made]] = [
    *(sequential, convolutions, shared, nested, masked, stacked_cells, normalization, attention, states),
    *(built_by_a_call, policies),
]


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_keras_3_predicts_what_keras_2_predicts(make: Callable[[Any], Made], tmp_path: Path) -> None:
    keras = keras_2()
    keras.backend.clear_session()
    model, inputs = make(keras)
    fill(model)
    for config in forms(model, tmp_path).values():
        assert_same_predictions(model, config, *inputs)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_configurations_of_keras_3_stay_as_they_are() -> None:
    keras = keras_3()
    tensor = keras.Input((4,))
    hidden = keras.layers.Dense(3, activation="hard_sigmoid")(keras.ops.relu(tensor))
    models = [keras.Model(tensor, hidden), keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])]
    for model in models:
        translation = translate(model.to_json())
        assert (translation.dropped, translation.refused, translation.changes) == ((), (), ())
        assert translation.config == json.loads(model.to_json())
