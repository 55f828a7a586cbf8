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
from tests.support.keras_2_models import (
    Made,
    attentions,
    frozen,
    more_convolutions,
    nested,
    preprocessing,
    recurrent,
    shared,
    stacked_cells,
)
from tests.support.keras_pairs import assert_same, fill, keras_2, keras_3

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]


MODELS: list[Callable[[Any], Made]] = [
    *(shared, nested, stacked_cells, recurrent, frozen, more_convolutions, attentions, preprocessing),
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
