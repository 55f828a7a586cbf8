"""Names of layers as programs have written them, and what the shipped plans make of each.

That other frameworks compute the same with the values is tested in ``test_shipped_layers``.
"""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt import Plan
from ckptfmt.errors import PlanError
from tests.support.arrays import Arrays

Shapes = dict[str, tuple[int, ...]]


def filled(shapes: Shapes) -> Arrays:
    return Arrays({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def names_made(plan: str, shapes: Shapes) -> Shapes:
    tensors, loaded = filled(shapes), Plan.read(plan)
    assert [finding for finding in loaded.lint(tensors) if finding.severity == "error"] == []
    return {name: each.spec(tensors.entries)[1] for name, each in loaded.targets(tensors.entries).items()}


OBJECT = "/.ATTRIBUTES/VARIABLE_VALUE"
LSTM = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,)}
NORM = {"weight": (4,), "bias": (4,), "running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}

TO_TORCH: dict[str, tuple[Shapes, Shapes]] = {
    "tf.layers": (
        {"model/dense_1/kernel": (3, 5), "model/dense_1/bias": (5,), "model/dense_1/kernel/Adam_1": (3, 5)},
        {"model.dense_1.weight": (5, 3), "model.dense_1.bias": (5,)},
    ),
    "names of tensors": ({"dense/kernel:0": (3, 5)}, {"dense.weight": (5, 3)}),
    "no scope": ({"kernel": (3, 5), "bias": (5,)}, {"weight": (5, 3), "bias": (5,)}),
    "objects": (
        {
            f"layer_with_weights-0/kernel{OBJECT}": (3, 3, 2, 5),
            f"save_counter{OBJECT}": (),
            f"layer_with_weights-0/kernel/.OPTIMIZER_SLOT/optimizer/m{OBJECT}": (3, 3, 2, 5),
        },
        {"layer_with_weights-0.weight": (5, 2, 3, 3)},
    ),
    "objects of Keras 3": (
        {
            f"model/_operations/1/_kernel{OBJECT}": (3, 5),
            f"model/_operations/2/seed_generator_state{OBJECT}": (2,),
        },
        {"model._operations.1.weight": (5, 3)},
    ),
    "slim": (
        {
            "net/conv/weights": (3, 3, 2, 4),
            "net/conv/BatchNorm/beta": (4,),
            "net/conv/BatchNorm/moving_mean": (4,),
            "net/conv/BatchNorm/moving_variance": (4,),
            "net/fc/weights": (4, 5),
            "net/fc/biases": (5,),
            "net/conv/BatchNorm/moving_mean/ExponentialMovingAverage": (4,),
            "net/fc/weights/Momentum": (4, 5),
        },
        {
            "net.conv.weight": (4, 2, 3, 3),
            "net.fc.weight": (5, 4),
            "net.fc.bias": (5,),
            **{f"net.conv.BatchNorm.{name}": shape for name, shape in NORM.items()},
        },
    ),
    "slim separable": (
        {"sep/depthwise_weights": (3, 3, 4, 1), "sep/pointwise_weights": (1, 1, 4, 6), "sep/biases": (6,)},
        {
            "sep.depthwise.weight": (4, 1, 3, 3),
            "sep.pointwise.weight": (6, 4, 1, 1),
            "sep.pointwise.bias": (6,),
        },
    ),
    "feature columns": (
        {"input/uid_embedding/embedding_weights": (9, 2)},
        {"input.uid_embedding.weight": (9, 2)},
    ),
    "dynamic_rnn": (
        {"rnn/basic_lstm_cell/kernel": (7, 16), "rnn/basic_lstm_cell/bias": (16,)},
        {f"rnn.{name}": shape for name, shape in LSTM.items()},
    ),
    "dynamic_rnn of an LSTMCell": (
        {"a/rnn/lstm_cell/kernel": (7, 16), "a/rnn/lstm_cell/bias": (16,)},
        {f"a.rnn.{name}": shape for name, shape in LSTM.items()},
    ),
    "Keras before cells had scopes": (
        {"lstm_1/kernel": (3, 16), "lstm_1/recurrent_kernel": (4, 16), "lstm_1/bias": (16,)},
        {f"lstm_1.{name}": shape for name, shape in LSTM.items()},
    ),
    "TensorFlow 2.3": (
        {"x/lstm_3/lstm_cell_5/kernel": (3, 16), "x/lstm_3/lstm_cell_5/recurrent_kernel": (4, 16)},
        {"x.lstm_3.weight_ih_l0": (16, 3), "x.lstm_3.weight_hh_l0": (16, 4)},
    ),
    "both directions with numbers": (
        {
            f"bidirectional/{way}_lstm/lstm_cell_{n}/{kind}": (r, 16)
            for way, n in (("forward", 1), ("backward", 2))
            for kind, r in (("kernel", 3), ("recurrent_kernel", 4))
        },
        {
            f"bidirectional.weight_{kind}_l0{way}": (16, r)
            for way in ("", "_reverse")
            for kind, r in (("ih", 3), ("hh", 4))
        },
    ),
    "a layer that looks like one direction": (
        {"m/forward_lstm/lstm_cell/kernel": (3, 16), "m/forward_lstm/lstm_cell/recurrent_kernel": (4, 16)},
        {"m.forward_lstm.weight_ih_l0": (16, 3), "m.forward_lstm.weight_hh_l0": (16, 4)},
    ),
    "a depthwise layer of MobileNet": (
        {"block_1_depthwise/kernel": (3, 3, 4, 1), "block_1_project/kernel": (1, 1, 4, 2)},
        {"block_1_depthwise.weight": (4, 1, 3, 3), "block_1_project.weight": (2, 4, 1, 1)},
    ),
    "words that have dw in them": ({"hardware/kernel": (3, 3, 4, 1)}, {"hardware.weight": (1, 4, 3, 3)}),
    "attention that torch.nn has no module for": (
        {
            "mha/query/kernel": (3, 2, 4),
            "mha/query/bias": (2, 4),
            "mha/key/kernel": (3, 2, 4),
            "mha/value/kernel": (3, 2, 4),
            "mha/attention_output/kernel": (2, 4, 3),
        },
        {
            "mha.query.weight": (8, 3),
            "mha.query.bias": (8,),
            "mha.key.weight": (8, 3),
            "mha.value.weight": (8, 3),
            "mha.attention_output.weight": (3, 8),
        },
    ),
    "attention of BERT": (
        {"self/query/kernel": (8, 8), "self/query/bias": (8,)},
        {"self.query.weight": (8, 8), "self.query.bias": (8,)},
    ),
}


@pytest.mark.parametrize("case", TO_TORCH)
def test_names_become_those_of_modules(case: str) -> None:
    source, wanted = TO_TORCH[case]
    assert names_made("keras-torch", source) == wanted


REFUSED: dict[str, tuple[Shapes, str]] = {
    "reset_after=False": (
        {"gru/kernel": (3, 12), "gru/recurrent_kernel": (4, 12), "gru/bias": (12,)},
        "reset_after=False",
    ),
    "GRUCell": (
        {
            "rnn/gru_cell/gates/kernel": (7, 8),
            "rnn/gru_cell/gates/bias": (8,),
            "rnn/gru_cell/candidate/kernel": (7, 4),
        },
        "GRUCell of TensorFlow 1",
    ),
    "ConvLSTM2D": (
        {"conv_lstm2d/kernel": (3, 3, 2, 16), "conv_lstm2d/recurrent_kernel": (3, 3, 4, 16)},
        "onvolutional|ConvLSTM",
    ),
}


@pytest.mark.parametrize("plan", ["keras-torch", "keras-flax"])
@pytest.mark.parametrize("case", REFUSED)
def test_layers_without_an_equal_are_refused(case: str, plan: str) -> None:
    shapes, message = REFUSED[case]
    with pytest.raises(PlanError, match=f"^{plan}: step .*({message})"):
        Plan.read(plan).targets(filled(shapes).entries)
    assert Plan.read("keras-names").targets(filled(shapes).entries)  # which is for all


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("attn.in_proj_weight", "number the weights do not tell"),
        ("lstm.weight_hr_l0", "no LSTM with a projection"),
    ],
)
def test_what_keras_cannot_have_is_refused(name: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan.read("torch-keras").targets(filled({name: (12, 4)}).entries)


TO_KERAS: dict[str, tuple[Shapes, Shapes]] = {
    "DataParallel": ({"module.fc.weight": (5, 3)}, {"fc/kernel": (3, 5)}),
    "layers of a module": (
        {f"rnn.weight_{kind}_l{n}": (16, 4) for kind in ("ih", "hh") for n in (0, 1)},
        {
            f"rnn{layer}/lstm_cell/{kind}": (4, 16)
            for layer in ("", "_l1")
            for kind in ("kernel", "recurrent_kernel")
        },
    ),
    "both directions": (
        {f"rnn.weight_{kind}_l0{way}": (12, 4) for kind in ("ih", "hh") for way in ("", "_reverse")},
        {
            f"rnn/{way}_gru/gru_cell/{kind}": (4, 12)
            for way in ("forward", "backward")
            for kind in ("kernel", "recurrent_kernel")
        },
    ),
    "embeddings": (
        {"bert.word_embeddings.weight": (9, 4), "wte.weight": (9, 4), "head.weight": (9, 4)},
        {"bert/word_embeddings/embeddings": (9, 4), "wte/embeddings": (9, 4), "head/kernel": (4, 9)},
    ),
    "batch norm": (
        {f"bn.{name}": shape for name, shape in NORM.items()},
        {"bn/gamma": (4,), "bn/beta": (4,), "bn/moving_mean": (4,), "bn/moving_variance": (4,)},
    ),
}


@pytest.mark.parametrize("case", TO_KERAS)
def test_modules_become_names_of_keras(case: str) -> None:
    source, wanted = TO_KERAS[case]
    assert names_made("torch-keras", source) == wanted


def test_a_cell_of_flax_may_have_a_scope_of_its_own() -> None:
    gates = {f"{part}{gate}/kernel": (4, 4) for part in "ih" for gate in "ifgo"}
    for scope in ("params/lstm/cell", "params/lstm"):
        made = names_made("flax-keras", {f"{scope}/{name}": shape for name, shape in gates.items()})
        assert made == {"lstm/lstm_cell/kernel": (4, 16), "lstm/lstm_cell/recurrent_kernel": (4, 16)}
