"""Programs that TensorFlow restores from checkpoints of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.object_graph.build import build_graph
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from tests.support.nested_values import Variables


def write(prefix: Path, graph: bytes, values: Mapping[str, Any]) -> str:
    """Write a checkpoint."""
    with ckptfmt.CheckpointWriter(prefix) as writer:
        for name, value in values.items():
            writer.add(name, value)
        writer.add_object_graph(graph)
    return writer.prefix


def graph_of(nested: dict[str, Any]) -> ckptfmt.ObjectGraph:
    """Return the object graph of a nested mapping."""
    built = build_graph(nested)
    return ckptfmt.ObjectGraph(built.message, list(built.values), "nested")


def key(path: str) -> str:
    """Return the key of a variable."""
    return path + VARIABLE_VALUE


def restore(tensorflow: ModuleType, prefix: str, nested: dict[str, Any]) -> dict[str, Any]:
    """Restore all of a checkpoint to variables that had other values, and return their values by key."""
    variables = Variables(tensorflow)
    program = tensorflow.train.Checkpoint(**variables.of(nested))
    stored = {name: variables.of(value) for name, value in build_graph(nested).values.items()}
    for variable in stored.values():
        variable.assign(tensorflow.zeros_like(variable))
    program.restore(prefix).assert_consumed()
    return {name: variable.numpy() for name, variable in stored.items()}


def legacy_adam(tensorflow: ModuleType, variables: Mapping[str, Any]) -> Any:
    """Return an optimizer that keeps slots for variables, after one step."""
    optimizer = tensorflow.compat.v1.train.AdamOptimizer(0.1)
    optimizer.apply_gradients([(tensorflow.ones_like(each), each) for each in variables.values()])
    return optimizer


def slot_values(optimizer: Any, variable: Any) -> dict[str, list[float]]:
    """Return the slot variables of a variable."""
    return {name: optimizer.get_slot(variable, name).numpy().tolist() for name in ("m", "v")}


def keras_model(name: str, seed: int) -> Any:
    """Return a model of Keras 3 whose first layer is an attribute of a name."""
    keras = pytest.importorskip("keras")

    class Model(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            initializer = keras.initializers.RandomNormal(seed=seed)
            setattr(self, name, keras.layers.Dense(3, kernel_initializer=initializer))
            self.norm = keras.layers.BatchNormalization()
            self.head = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.head(self.norm(getattr(self, name)(x)))

    model = Model()
    model(np.zeros((1, 5), np.float32))
    return model


def trained(model: Any, seed: int) -> Any:
    """Return the optimizer of a model, after some steps."""
    model.compile("adam", "mse")
    model.fit(np.full((4, 5), seed, np.float32), np.full((4, 2), seed, np.float32), verbose=0)
    return model.optimizer


def check_equal(ours: Any, theirs: Any) -> None:
    """Assert that variables have equal values."""
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other)
