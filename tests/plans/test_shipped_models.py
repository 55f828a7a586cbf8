"""The plans that ship for whole models: names and shapes of the other side, and the same results there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Plan
from ckptfmt.errors import PlanError
from tests.support.arrays import Arrays
from tests.support.layouts import Shapes, read_layout
from tests.support.run_in_torch import run_in_torch
from tests.support.shipped_models import MODELS

needs_transformers = pytest.mark.skipif(
    find_spec("transformers") is None, reason="runs models of transformers, which is not installed"
)


def numbered(shapes: Shapes) -> Arrays:
    """Return tensors of these shapes, no two elements of which are equal."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        arrays[name] = np.arange(start, start + size, dtype=np.int64).reshape(shape)
        start += size
    return Arrays(arrays)


def shapes_made(plan: str, source: Arrays) -> Shapes:
    expressions = Plan.read(plan).targets(source.entries)
    return {tensor: expression.spec(source.entries)[1] for tensor, expression in expressions.items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_makes_the_names_and_shapes_of_the_other_side(name: str) -> None:
    model, layout = MODELS[name], read_layout(name)
    source = numbered(layout.source)
    assert [finding for finding in Plan.read(model.plan).lint(source) if finding.severity == "error"] == []
    made = shapes_made(model.plan, source)
    for tensor in model.beside:
        del made[tensor]
    assert made == {tensor: layout.target[tensor] for tensor in made}
    assert layout.target.keys() - made.keys() <= layout.tied


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_a_layout_is_that_of_the_model(name: str, tensorflow: ModuleType, tmp_path: Path) -> None:
    prefix, _ = MODELS[name].build(tmp_path)
    shapes = {tensor: tuple(shape) for tensor, shape in tensorflow.train.list_variables(str(prefix))}
    assert shapes == read_layout(name).source


@needs_transformers
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_the_other_side_computes_the_same(name: str, tensorflow: ModuleType, tmp_path: Path) -> None:
    model = MODELS[name]
    prefix, outputs = model.build(tmp_path)
    converted = ckptfmt.open(prefix).apply(model.plan)
    tensors = {tensor: converted[tensor] for tensor in converted}
    ran = run_in_torch(tmp_path, model.kind, model.config, tensors, model.inputs)
    assert ran.missing == []
    assert ran.unexpected == sorted(model.beside)
    for ours, theirs in model.outputs.items():
        assert np.ptp(outputs[ours]) > 0.1
        np.testing.assert_allclose(ran.outputs[theirs], outputs[ours], atol=2e-5)


STRANGE = {
    "bert": "bert/encoder/layer_0/adapter/kernel",
    "bert_classifier": "project/output_weights",
    "albert": "bert/encoder/transformer/group_0/layer_0/inner_group_0/layer_normalization_1/gamma",
    "electra": "task_specific/cola/dense/kernel",
    "electra_generator": "generator/encoder/layer_0/adapter/kernel",
    "t5": "encoder/block_000/layer_001/DenseReluDense/wi/bias",
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_tensor_that_the_plan_does_not_know_is_refused(name: str) -> None:
    tensors = numbered({**read_layout(name).source, STRANGE[name]: (8, 8)})
    with pytest.raises(PlanError, match=f"rest = 'error': no step takes '{STRANGE[name]}'"):
        Plan.read(MODELS[name].plan).targets(tensors.entries)
