"""The table of what Keras 3 can be given."""

from __future__ import annotations

import json

import pytest

from ckptfmt.keras.classes import activations, classes
from tests.support.keras_pairs import keras_2, keras_3
from tests.support.make_keras_classes import TABLE, text


@pytest.mark.tensorflow
def test_the_table_is_that_of_the_versions_that_it_names() -> None:
    stored = json.loads(TABLE.read_bytes())
    installed = {"keras": keras_3().__version__, "tf_keras": keras_2().__version__}
    if installed.items() <= stored.items():
        assert text() == TABLE.read_text(encoding="utf-8")
    else:
        pytest.skip(f"the table is of other versions than {installed}")


def test_aliases_have_the_name_of_their_class() -> None:
    layers = classes("layers")
    assert layers["Convolution2D"].name == "Conv2D"
    assert {"units", "activation", "name", "dtype"} <= layers["Dense"].arguments
    assert layers["LSTM"].keras_2["time_major"] is False
    assert classes("initializers")["he_normal"].name == "HeNormal"
    assert {"relu", "swish", "hard_sigmoid"} <= activations()
