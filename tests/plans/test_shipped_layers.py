"""The plans that ship for layers: other frameworks compute the same with what the plans make.

Each layer runs in Keras 3, in Keras 2, in PyTorch and in flax, with random weights. What a plan makes of the
weights must load without a weight missing or left over, and give the same output for the same input.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Plan
from ckptfmt.errors import PlanError
from tests.support.arrays import Arrays
from tests.support.layer_models import LAYERS, NOT_TO_KERAS, Ran, run_layers

pytestmark = pytest.mark.frameworks

IN_FLAX = [name for name, layer in LAYERS.items() if layer.flax is not None]


def made(plan: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what a plan makes of weights, in which it finds no error."""
    tensors, loaded = Arrays(weights), Plan.read(plan)
    assert [finding for finding in loaded.lint(tensors) if finding.severity == "error"] == []
    return tensors.applied(loaded.targets(tensors.entries)).arrays


def of_layers(weights: Mapping[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Return the weights of some layers, whose names are those of scopes, modules or collections."""
    parts = {name: name.replace(".", "/").split("/") for name in weights}
    return {
        n: array
        for n, array in weights.items()
        if parts[n][parts[n][0] in ("params", "batch_stats")] in names
    }


class Frameworks:
    """Layers that were run, each framework once for all tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ran: dict[tuple[str, str | None, str], Ran | BaseException] = {}

    def run(self, framework: str, *, plan: str | None = None, source: str = "") -> Ran:
        """Run the layers, with what a plan makes of the weights of another framework if one is given."""
        key = framework, plan, source
        if key not in self._ran:
            try:
                self._ran[key] = self._run(framework, plan, source)
            except BaseException as error:  # once: each process takes seconds
                self._ran[key] = error
        ran = self._ran[key]
        if isinstance(ran, BaseException):
            raise ran
        return ran

    def _run(self, framework: str, plan: str | None, source: str) -> Ran:
        for each in {framework, source or framework}:
            require(PACKAGES[each])
        given: dict[str, np.ndarray] = {}
        if plan is not None:
            weights = self.run(source).weights
            left_out = NOT_TO_KERAS if framework == "tf_keras" and source == "torch" else ()
            if source == "flax":
                left_out = ("conv_dw_2",)
            given = made(plan, of_layers(weights, [name for name in LAYERS if name not in left_out]))
            if framework == "flax":
                given = of_layers(given, IN_FLAX)
        return run_layers(framework, self._folder / f"{framework}_{source}", given)


PACKAGES = {"keras": "keras", "tf_keras": "tf_keras", "torch": "torch", "flax": "flax", "tf1": "tf_keras"}
"""The package that each framework needs."""


def require(package: str) -> None:
    """Skip the test unless a package is installed."""
    if find_spec(package) is None:
        pytest.skip(f"runs layers of {package}, which is not installed")


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Frameworks:
    return Frameworks(tmp_path_factory.mktemp("frameworks"))


def agree(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("source", ["keras", "tf_keras"])
def test_pytorch_computes_the_same(name: str, source: str, frameworks: Frameworks) -> None:
    there = frameworks.run("torch", plan="keras-torch", source=source)
    agree(there.outputs[name], frameworks.run(source).outputs[name])


@pytest.mark.parametrize("name", IN_FLAX)
def test_flax_computes_the_same(name: str, frameworks: Frameworks) -> None:
    there = frameworks.run("flax", plan="keras-flax", source="keras")
    agree(there.outputs[name], frameworks.run("keras").outputs[name])


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NOT_TO_KERAS])
def test_keras_computes_what_pytorch_does(name: str, frameworks: Frameworks) -> None:
    there = frameworks.run("tf_keras", plan="torch-keras", source="torch")
    agree(there.outputs[name], frameworks.run("torch").outputs[name])


@pytest.mark.parametrize("name", [name for name in IN_FLAX if name != "conv_dw_2"])
def test_keras_computes_what_flax_does(name: str, frameworks: Frameworks) -> None:
    there = frameworks.run("tf_keras", plan="flax-keras", source="flax")
    agree(there.outputs[name], frameworks.run("flax").outputs[name])


@pytest.mark.parametrize("name", ["lstm", "both_lstm", "stacked"])
def test_pytorch_computes_what_a_cell_of_tensorflow_1_does(name: str, frameworks: Frameworks) -> None:
    require("torch")
    ran = frameworks.run("tf1")
    with ckptfmt.open(ran.folder / "cells") as ckpt:
        assert f"{name}/" in " ".join(ckpt)
        given = made("keras-torch", {name: ckpt[name] for name in ckpt})
    there = run_layers("torch", ran.folder / "torch", given)
    agree(there.outputs[name], ran.outputs[name])


# --- other names of the same variables ---------------------------------------------------------------------


@pytest.mark.parametrize("source", ["keras", "tf_keras"])
def test_a_checkpoint_of_objects_gives_the_same_under_the_full_names(
    source: str, frameworks: Frameworks
) -> None:
    ran = frameworks.run(source)
    wanted = made("keras-torch", ran.weights)
    with ckptfmt.open(ran.folder / "objects") as ckpt:
        got = ckpt.by_full_name().apply("keras-torch").read()
        by_path = list(ckpt.apply("keras-torch").read().values())
    assert set(got) <= set(wanted)
    # TensorFlow does not see the cells in a list of Keras 3.
    left = {name for name in wanted if name not in got}
    assert not left or (source == "keras" and all(name.startswith("stacked.") for name in left))
    for name, array in got.items():
        np.testing.assert_array_equal(array, wanted[name])
    # Paths of objects have numbers in the place of names, which tell a depthwise kernel in Keras 2 only.
    same = [any(np.array_equal(array, other) for other in by_path) for array in got.values()]
    assert same.count(False) == (3 if source == "keras" else 0)


@pytest.mark.parametrize("source", ["keras", "tf_keras"])
def test_a_file_of_weights_gives_the_same_under_names_of_classes(source: str, frameworks: Frameworks) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    ran = frameworks.run(source)
    wanted = made("keras-torch", ran.weights)
    weights: dict[str, np.ndarray] = {}
    with h5py.File(ran.folder / "model.weights.h5") as file:
        file.visititems(
            lambda n, each: weights.update({n: each[()]}) if isinstance(each, h5py.Dataset) else None
        )
    weights = {n: array for n, array in weights.items() if not n.startswith("optimizer")}
    with pytest.raises(PlanError, match="three variables of a BatchNormalization"):
        Plan.read("keras-torch").targets(Arrays(weights).entries)
    weights = {n: array for n, array in weights.items() if "batch_normalization_1/" not in n}
    got = made("keras-torch", weights)
    assert len(got) == len([name for name in wanted if not name.startswith("bn_no_scale.")])
    for name, array in got.items():
        assert any(
            other.rpartition(".")[2] == name.rpartition(".")[2] and np.array_equal(array, wanted[other])
            for other in wanted
        ), name


# --- the way back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "back", "left_out"),
    [
        ("keras-torch", "torch-keras", {*NOT_TO_KERAS}),
        # flax adds up biases of the GRU.
        ("keras-flax", "flax-keras", {"gru", "square", "both_gru", "conv_dw_2", "stacked"}),
    ],
)
def test_there_and_back_is_the_same(
    there: str, back: str, left_out: set[str], frameworks: Frameworks
) -> None:
    weights = of_layers(frameworks.run("tf_keras").weights, [name for name in LAYERS if name not in left_out])
    restored = made(back, made(there, weights))
    assert restored.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(restored[name], array)
        assert restored[name].dtype == array.dtype


@pytest.mark.parametrize("plan", ["keras-names", "keras-torch"])
def test_the_inverse_for_a_checkpoint_is_exact(plan: str, frameworks: Frameworks) -> None:
    source = Arrays(frameworks.run("tf_keras").weights)
    forward = Plan.read(plan)
    moved = source.applied(forward.targets(source.entries))
    back = Plan.parse(forward.inverted(source).to_toml())
    restored = moved.applied(back.targets(moved.entries)).arrays
    assert restored.keys() == source.arrays.keys()
    for name, array in source.arrays.items():
        assert restored[name].tobytes() == array.tobytes()
