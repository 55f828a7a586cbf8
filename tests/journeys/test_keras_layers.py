"""The weights of a Keras 2 SavedModel, by layer."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.support.corpus import corpus_path, load_expected
from tests.support.journeys import Journey
from tests.support.keras_models import sequential

SCRIPT = """
import ckptfmt
model = ckptfmt.open_saved_model("export")
by_layer = {layer.name: layer.weights.read() for layer in model.keras_layers}
"""


def test_layers_of_a_small_model(journey: Journey) -> None:
    sequential().write(journey.folder / "export")
    by_layer = journey.python(SCRIPT)["by_layer"]
    np.testing.assert_array_equal(by_layer["dense"]["kernel"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(by_layer["dense"]["bias"], np.arange(3))
    assert journey.commands == 2


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "layer"), [("flink_keras_2shard", "bbb"), ("spam_keras", "dense_1")])
def test_real_models(journey: Journey, name: str, layer: str) -> None:
    journey.bring(corpus_path(name), "export")
    by_layer = journey.python(SCRIPT)["by_layer"]
    found = {
        f"{layer}/{weight}": hashlib.sha256(array.tobytes()).hexdigest()
        for weight, array in by_layer[layer].items()
    }
    variables = load_expected(name)["variables"]
    digests = {tensor["name"]: tensor["sha256"] for tensor in variables["tensors"]}
    keys = variables["object_graph"]["checkpoint_keys"]
    names = {each["full_name"]: each["key"] for each in keys}
    assert found == {full: digests[names[full]] for full in (f"{layer}/kernel", f"{layer}/bias")}
    assert journey.commands == 2


def test_the_command_line_lists_them(journey: Journey) -> None:
    sequential().write(journey.folder / "export")
    shown = journey.shell("ckptfmt model export").stdout
    assert "kernel float32[2,3], bias float32[3]" in shown
    assert journey.commands == 1
