"""A checkpoint of TensorFlow 1, V1 or V2, into the forms that other libraries read."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from tests.support.corpus import corpus_path, load_expected
from tests.support.golden import load
from tests.support.journeys import Journey

OPEN = """
import ckptfmt
weights = ckptfmt.open("training").weights
"""


@pytest.fixture(params=["saver", "v1_saver"])
def expected(request: pytest.FixtureRequest, journey: Journey) -> dict[str, Any]:
    """The weights that TensorFlow read; the directory ``training`` holds them among slots and counters."""
    journey.bring(f"tests/data/golden/{request.param}", "training")
    journey.python(OPEN)
    tensors = load(request.param).tensors
    return {name: tensors[name.encode()].expected() for name in ("layer/b", "layer/w")}


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name]), array)


def test_npz(journey: Journey, expected: dict[str, Any]) -> None:
    journey.python("import numpy\nnumpy.savez('weights.npz', **weights)")
    with np.load("weights.npz") as found:
        check(dict(found), expected)
    assert journey.commands == 2


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "path"),
    [("unique_mnist_20000", "unique_mnist"), ("dqn_v1", "dqn_v1"), ("dl4j_simple", "dl4j_simple")],
)
def test_real_checkpoints(journey: Journey, name: str, path: str) -> None:
    journey.bring(corpus_path(path), "training")
    journey.python(f"{OPEN}import numpy\nnumpy.savez('weights.npz', **weights)")
    digests = {tensor["name"]: tensor["sha256"] for tensor in load_expected(name)["tensors"]}
    with np.load("weights.npz") as found:
        assert found.files
        for weight, array in found.items():
            assert hashlib.sha256(array.tobytes()).hexdigest() == digests[weight]
    assert journey.commands == 2


def test_safetensors(journey: Journey, expected: dict[str, Any]) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    journey.python(
        "from safetensors.numpy import save_file\nsave_file(weights.read(), 'weights.safetensors')"
    )
    check(numpy.load_file("weights.safetensors"), expected)
    assert journey.commands == 2


@pytest.mark.frameworks
def test_torch(journey: Journey, expected: dict[str, Any]) -> None:
    pytest.importorskip("torch", reason="converts to PyTorch, which is not installed")
    journey.python(
        "import torch\n"
        "state = {name: torch.from_numpy(array) for name, array in weights.read(copy=True).items()}"
    )
    check(journey.names["state"], expected)
    assert journey.commands == 2


@pytest.mark.frameworks
def test_jax(journey: Journey, expected: dict[str, Any]) -> None:
    pytest.importorskip("jax", reason="converts to JAX, which is not installed")
    journey.python("import jax\nparams = jax.tree.map(jax.numpy.asarray, weights.to_nested())")
    flat = journey.python("flat = ckptfmt.flatten(params)")["flat"]
    check(flat, expected)
    assert journey.commands == 3
