"""A model of Keras 2 and its translation, built by Keras 3: both predict, with the same weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ckptfmt.keras.translate import translate
from ckptfmt.keras.translation import Translation


def keras_2() -> Any:
    """Return Keras 2, or skip the test."""
    return pytest.importorskip("tf_keras", reason="compares with Keras 2 (tf_keras), which is not installed")


def keras_3() -> Any:
    """Return Keras 3, or skip the test."""
    return pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")


def fill(model: Any) -> None:
    """Give the weights of a model values that tell them apart; those that are adapted keep theirs."""
    adapted = [
        id(each) for layer in model._flatten_layers() if hasattr(layer, "adapt") for each in layer.weights
    ]
    for seed, variable in enumerate(model.weights):
        if id(variable) not in adapted and variable.dtype.is_floating:
            variable.assign(np.random.default_rng(seed).uniform(0.1, 0.9, variable.shape))


def build(translation: Translation) -> Any:
    """Return the model that Keras 3 builds from a translation, after a round trip through JSON."""
    translation.raise_if_refused()
    config = json.loads(json.dumps(translation.config))
    return keras_3().saving.deserialize_keras_object(config)


def assert_same_predictions(
    old: Any, config: str | Mapping[str, Any], *inputs: Any, tolerance: float = 2e-6
) -> Any:
    """Translate the configuration of a Keras 2 model; compare what both predict. Return the new model."""
    translation = translate(config)
    new = build(translation)
    new.set_weights(changed_weights(old, translation))
    for layer in new._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    given = [_tensor(each) for each in inputs] if len(inputs) > 1 else _tensor(inputs[0])
    want, got = old(given, training=False), new(given, training=False)
    assert_same(got, want, tolerance)
    return new


def _tensor(array: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.constant(array)


def changed_weights(model: Any, translation: Translation) -> list[np.ndarray]:
    """Return the weights of a Keras 2 model as they are in Keras 3."""
    paths: dict[int, str] = {}

    def walk(layer: Any, path: str) -> None:
        for weight in layer.weights:
            paths[id(weight)] = path
        for each in getattr(layer, "layers", []):
            walk(each, f"{path}/{each.name}" if path else each.name)
        for attribute in ("layer", "forward_layer", "backward_layer", "cell"):
            inner = getattr(layer, attribute, None)
            if hasattr(inner, "weights"):
                walk(inner, f"{path}/{attribute}")
        for at, each in enumerate(getattr(layer, "cells", [])):
            walk(each, f"{path}/cells/{at}")

    walk(model, "")
    weights = []
    for variable in model.weights:
        value, name = variable.numpy(), variable.name.split(":")[0].split("/")[-1]
        for change in translation.changes:
            if f"{paths[id(variable)]}/".startswith(f"{change.layer}/"):
                value = change.apply(name, value)
        weights.append(value)
    return weights


def assert_same(got: Any, want: Any, tolerance: float) -> None:
    """Compare arrays, and lists and dictionaries of them."""
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        for key, value in want.items():
            assert_same(got[key], value, tolerance)
    elif isinstance(want, list | tuple):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other, tolerance)
    elif np.asarray(want).dtype.kind in "OSU":
        assert np.asarray(got).tolist() == np.asarray(want).tolist()
    else:
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=tolerance, atol=tolerance)


def texts(model: Any) -> dict[str, str]:
    """Return the configuration of a model as Keras 2 writes it into text and into a SavedModel."""
    from tf_keras.src.saving.legacy.saved_model import json_utils

    described = {"class_name": type(model).__name__, "config": model.get_config()}
    return {"to_json": model.to_json(), "saved_model": json_utils.Encoder().encode(described)}


def forms(model: Any, folder: Any) -> dict[str, Any]:
    """Return the configurations of a model that Keras 2 writes, in each of its formats."""
    import zipfile

    import h5py

    import ckptfmt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(f"{folder}/model.h5")
        model.save(f"{folder}/model.keras")
        model.save(f"{folder}/saved", save_format="tf")
    with h5py.File(f"{folder}/model.h5") as file:
        hdf5 = file.attrs["model_config"]
    with ckptfmt.open_saved_model(f"{folder}/saved") as saved:
        metadata = saved.keras_layers[0].metadata
    return {
        "to_json": model.to_json(),
        "h5": hdf5,
        "keras": zipfile.ZipFile(f"{folder}/model.keras").read("config.json"),
        "saved_model": metadata,
    }
