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
from tests.support import google_t5
from tests.support.arrays import Arrays
from tests.support.corpus import CORPUS
from tests.support.layouts import Outline, read_layout
from tests.support.run_in_torch import run_in_torch
from tests.support.shipped_models import MODELS
from tests.support.torch_networks import NETWORKS


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_makes_the_names_and_shapes_of_the_other_side(name: str) -> None:
    model, layout = MODELS[name], read_layout(name)
    source = Outline(layout.source)
    assert [finding for finding in Plan.read(model.plan).lint(source) if finding.severity == "error"] == []
    made = source.shapes_made(Plan.read(model.plan))
    for tensor in model.beside:
        del made[tensor]
    assert made == {tensor: layout.target[tensor] for tensor in made}
    assert layout.target.keys() - made.keys() <= layout.tied


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("slim_inception")])
def test_a_layout_is_that_of_the_model(name: str, tensorflow: ModuleType, tmp_path: Path) -> None:
    # The Inceptions, of up to 60 million parameters, are checked when they are run.
    prefix, _ = MODELS[name].build(tmp_path)
    shapes = {tensor: tuple(shape) for tensor, shape in tensorflow.train.list_variables(str(prefix))}
    assert shapes == read_layout(name).source


@pytest.mark.tensorflow
@pytest.mark.frameworks
@pytest.mark.parametrize("name", MODELS)
def test_the_other_side_computes_the_same(name: str, tensorflow: ModuleType, tmp_path: Path) -> None:
    model = MODELS[name]
    library = model.kind.split()[0] if model.kind in NETWORKS else "transformers"
    if find_spec(library) is None:
        pytest.skip(f"runs a model of {library}, which is not installed")
    prefix, outputs = model.build(tmp_path)
    with ckptfmt.open(prefix) as ckpt:
        shapes = {tensor: entry.shape for tensor, entry in ckpt.entries.items()}
        assert shapes == read_layout(name).source
        converted = ckpt.apply(model.plan)
        tensors = {tensor: converted[tensor] for tensor in converted}
    ran = run_in_torch(tmp_path, model.kind, model.config, tensors, model.inputs)
    assert ran.missing == []
    assert ran.unexpected == sorted(model.beside)
    for ours, theirs in model.outputs.items():
        assert np.ptp(outputs[ours]) > 0.1
        rounding = 1e-5 * np.abs(outputs[ours]).max()
        np.testing.assert_allclose(ran.outputs[theirs], outputs[ours], rtol=0, atol=rounding)


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
    tensors = Outline({**read_layout(name).source, STRANGE[name]: (8, 8)})
    with pytest.raises(PlanError, match=f"rest = 'error': no step takes '{STRANGE[name]}'"):
        Plan.read(MODELS[name].plan).targets(tensors.entries)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("slim_")])
def test_averages_beside_the_weights_are_refused_because_either_may_be_wanted(name: str) -> None:
    shapes = read_layout(name).source
    weights = next(tensor for tensor in shapes if tensor.endswith("/weights"))
    averages = f"{weights}/ExponentialMovingAverage"
    tensors = Outline({**shapes, averages: shapes[weights]})
    with pytest.raises(PlanError, match="take the averages with ema, or leave them out with exclude"):
        Plan.read(MODELS[name].plan).targets(tensors.entries)


@pytest.mark.parametrize("name", ["bert", "albert", "slim_inception_v3", "slim_mobilenet_v1_hf"])
def test_a_module_of_tensorflow_hub_has_its_names_in_a_scope(name: str) -> None:
    shapes = read_layout(name).source
    plan = Plan.read(MODELS[name].plan)
    model = {
        tensor: shape for tensor, shape in shapes.items() if not tensor.endswith(("/adam_m", "/RMSProp"))
    }
    del model["global_step"]
    module = {f"module/{tensor}": shape for tensor, shape in model.items()}
    assert Outline(module).shapes_made(plan) == Outline(model).shapes_made(plan)


@pytest.mark.parametrize("norm", ["layer_normalization", "layer_normalization_17"])
@pytest.mark.parametrize("name", ["bert", "bert_squad", "bert_classifier"])
def test_norms_of_keras_layers_have_their_own_names(name: str, norm: str) -> None:
    shapes = read_layout(name).source
    renamed = {tensor.replace("LayerNorm", norm): shape for tensor, shape in shapes.items()}
    plan = Plan.read(MODELS[name].plan)
    assert Outline(renamed).shapes_made(plan) == Outline(shapes).shapes_made(plan)


def test_attention_of_t5_may_have_its_heads_as_an_axis() -> None:
    shapes = read_layout("t5").source
    heads, keys = google_t5.HEADS, google_t5.KEYS
    apart = {}
    for tensor, shape in shapes.items():
        apart[tensor] = shape
        if tensor.endswith(("/q", "/k", "/v")):
            apart[tensor] = (*shape[:-1], heads, keys)
        elif tensor.endswith("/o"):
            apart[tensor] = (heads, keys, *shape[1:])
    assert apart != shapes
    plan = Plan.read("t5-mesh-hf")
    assert Outline(apart).shapes_made(plan) == Outline(shapes).shapes_made(plan)


def test_units_of_the_deepest_resnet_are_counted_from_zero() -> None:
    scope = "resnet_v1_152/block3/unit_{}/bottleneck_v1/conv1/weights"
    made = Outline({scope.format(unit): (1, 1, 1024, 256) for unit in range(1, 37)}).shapes_made(
        Plan.read("slim-torchvision")
    )
    assert made == {f"layer3.{unit}.conv1.weight": (256, 1024, 1, 1) for unit in range(36)}


def test_a_checkpoint_of_another_model_is_refused() -> None:
    tensors = Outline(read_layout("electra").source)
    with pytest.raises(PlanError, match=r"rest = 'error': no step takes 'discriminator_predictions/"):
        Plan.read("bert-hf").targets(tensors.entries)


@pytest.mark.parametrize("name", ["bert", "bert_squad", "bert_classifier"])
@pytest.mark.parametrize("prefix", ["bert.", ""], ids=["with a prefix", "without"])
def test_bert_goes_back_to_the_names_of_google(name: str, prefix: str) -> None:
    layout = read_layout(name)
    model = {t: s for t, s in layout.source.items() if not t.endswith(("/adam_m", "/adam_v", "global_step"))}
    ours = {t.removeprefix("bert.") if not prefix else t: s for t, s in layout.target.items()}
    made = Outline(ours).shapes_made(Plan.read("hf-bert"))
    if name == "bert_squad":  # its class has no pooler
        model = {tensor: shape for tensor, shape in model.items() if "pooler" not in tensor}
    assert made == model


def test_values_of_bert_are_the_same_after_a_round_trip() -> None:
    rng = np.random.default_rng(2)
    shapes = read_layout("bert").source
    model = Arrays({t: rng.normal(size=s) for t, s in shapes.items() if "adam" not in t and "/" in t})
    there = model.applied(Plan.read("bert-hf").targets(model.entries))
    back = there.applied(Plan.read("hf-bert").targets(there.entries))
    assert back.arrays.keys() == model.arrays.keys()
    for tensor, array in model.arrays.items():
        np.testing.assert_array_equal(back.arrays[tensor], array)


def test_the_gamma_and_beta_of_old_files_are_known_on_the_way_back() -> None:
    old = {"bert.embeddings.LayerNorm.gamma": (8,), "bert.embeddings.LayerNorm.beta": (8,)}
    made = Outline(old).shapes_made(Plan.read("hf-bert"))
    assert made == {"bert/embeddings/LayerNorm/gamma": (8,), "bert/embeddings/LayerNorm/beta": (8,)}


ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"


def as_objects(bert: Arrays, encoder: str, output: str) -> Arrays:
    """Return a BERT under the keys of the Model Garden, where heads are an axis of attention."""
    layers = {"attention/output/LayerNorm": "_attention_layer_norm", "attention/output/dense": output}
    layers |= {"output/LayerNorm": "_output_layer_norm", "output/dense": "_output_dense"}
    layers |= {"intermediate/dense": "_intermediate_dense"}
    layers |= {f"attention/self/{k}": f"_attention_layer/_{k}_dense" for k in ("query", "key", "value")}
    others = {
        "bert/embeddings/word_embeddings": f"{encoder}/layer_with_weights-0/embeddings",
        "bert/embeddings/position_embeddings": f"{encoder}/layer_with_weights-1/embeddings",
        "bert/embeddings/token_type_embeddings": f"{encoder}/layer_with_weights-2/embeddings",
        "cls/predictions/output_bias": "masked_lm/output_bias.Sbias",
    }
    scopes = {
        "bert/embeddings/LayerNorm": f"{encoder}/layer_with_weights-3",
        "bert/pooler/dense": f"{encoder}/layer_with_weights-7",
        "cls/predictions/transform/dense": "masked_lm/dense",
        "cls/predictions/transform/LayerNorm": "masked_lm/layer_norm",
    }
    for number in range(3):
        scopes |= {
            f"bert/encoder/layer_{number}/{old}": f"{encoder}/layer_with_weights-{number + 4}/{new}"
            for old, new in layers.items()
        }
    arrays = {}
    for name, array in bert.arrays.items():
        scope, _, last = name.rpartition("/")
        apart = array
        if "/self/" in name:
            apart = array.reshape(*array.shape[:-1], 2, 4)
        elif scope.endswith("attention/output/dense") and last == "kernel":
            apart = array.reshape(2, 4, 8)
        arrays[(others.get(name) or f"{scopes[scope]}/{last}") + ATTRIBUTE] = apart
    return Arrays(arrays)


@pytest.mark.parametrize(
    ("encoder", "output"),
    [
        ("encoder", "_attention_layer/_output_dense"),
        ("encoder", "_attention_output_dense"),
        ("model", "_attention_output_dense"),
    ],
)
def test_bert_of_tensorflow_2_becomes_what_bert_of_tensorflow_1_does(encoder: str, output: str) -> None:
    rng = np.random.default_rng(2)
    shapes = read_layout("bert").source
    model = {t: s for t, s in shapes.items() if "adam" not in t and "seq_relationship" not in t and "/" in t}
    bert = Arrays({tensor: rng.normal(size=shape) for tensor, shape in model.items()})
    objects = as_objects(bert, encoder, output)
    wanted = bert.applied(Plan.read("bert-hf").targets(bert.entries))
    made = objects.applied(Plan.read("bert-tf2-hf").targets(objects.entries))
    assert made.arrays.keys() == wanted.arrays.keys()
    for tensor, array in wanted.arrays.items():
        np.testing.assert_array_equal(made.arrays[tensor], array)


def test_an_encoder_that_projects_its_embeddings_is_no_bert() -> None:
    tensors = Outline({f"encoder/layer_with_weights-4/kernel{ATTRIBUTE}": (4, 8)})
    with pytest.raises(PlanError, match="the encoder projects its embeddings, and BERT does not"):
        Plan.read("bert-tf2-hf").targets(tensors.entries)


def test_more_layers_than_the_plan_counts_are_refused() -> None:
    key = f"encoder/layer_with_weights-28/_output_layer_norm/gamma{ATTRIBUTE}"
    with pytest.raises(PlanError, match="its layer is not one of 24"):
        Plan.read("bert-tf2-hf").targets(Outline({key: (8,)}).entries)


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not available")
def test_a_small_bert_that_somebody_trained_fits_its_plan() -> None:
    with ckptfmt.open(CORPUS / "ranking_bert_lite/bert_lite_tf2.ckpt") as ckpt:
        plan = Plan.read("bert-tf2-hf")
        assert plan.lint(ckpt) == []
        made = ckpt.apply(plan)
        assert made.entries["bert.embeddings.word_embeddings.weight"].shape == (10, 2)
        kernel = ckpt[f"model/layer_with_weights-4/_attention_layer/_query_dense/kernel{ATTRIBUTE}"]
        np.testing.assert_array_equal(
            made["bert.encoder.layer.0.attention.self.query.weight"], kernel.reshape(2, 2).T
        )
        assert len(made) == 5 + 16 + 2


def test_a_generator_with_embeddings_of_its_own_keeps_those() -> None:
    rng = np.random.default_rng(3)
    names = [f"{scope}/embeddings/word_embeddings" for scope in ("electra", "generator")]
    tensors = Arrays({name: rng.normal(size=(5, 4)) for name in names})
    made = tensors.applied(Plan.read("electra-generator-hf").targets(tensors.entries))
    (name,) = made.arrays
    assert name == "electra.embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(made.arrays[name], tensors.arrays[names[1]])


def test_averages_take_the_place_of_the_weights_first(tmp_path: Path) -> None:
    weights = np.zeros((3, 3, 3, 8), np.float32)
    scope = "MobilenetV2/Conv"
    tensors = {
        f"{scope}/weights": weights,
        f"{scope}/weights/ExponentialMovingAverage": weights + 1,
        f"{scope}/BatchNorm/moving_mean": np.zeros(8, np.float32),
    }
    ckptfmt.save(tmp_path / "model.ckpt", tensors)
    with ckptfmt.open(tmp_path / "model.ckpt") as ckpt:
        made = ckpt.ema().apply("slim-hf")
        assert made["mobilenet_v2.conv_stem.first_conv.convolution.weight"].min() == 1
        assert len(made) == 3  # with the number of batches
