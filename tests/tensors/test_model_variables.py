"""Model variables: what is left of a checkpoint without what training adds."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt import Checkpoint
from tests.support.checkpoints import new_checkpoint
from tests.support.golden import GOLDEN
from tests.support.object_graph import encode_graph, encode_node, encode_variable

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_model_variables_by_scopes(ckpt: Checkpoint) -> None:
    assert list(ckpt.model_variables()) == ["a/b", "a/bias", "b/w", "c[0]"]


def test_model_variables_by_scopes_follow_each_rule(tmp_path: Path) -> None:
    kept = {
        "bn/moving_mean": [1, 2],
        "dense/kernel": [1, 2],
        "dense/kernels": [1, 2],
        "dense/kernel/sub": [1],
        "m": 1,
    }
    left_out = {
        "dense/kernel/ExponentialMovingAverage": [1, 2],
        "dense/kernel/adam_m": [1, 2],
        "dense/kernel/own_slot": [1, 2],
        "bn/moving_mean/biased": [1, 2],
        "bn/moving_mean/local_step": 1,
        "train/dense/kernel/Adam": [1, 2],
        "train/dense/kernel/Adam_1": [1, 2],
        "train/learning_rate": 1,
        "train/beta1_power_1": 1,
        "other/global_step": 1,
    }
    ckpt = new_checkpoint(tmp_path, kept | left_out)
    assert list(ckpt.model_variables()) == sorted(kept)


def test_model_variables_of_object_based_checkpoints() -> None:
    with ckptfmt.open(GOLDEN / "object_slots") as ckpt:
        assert list(ckpt.model_variables()) == [f"v{VALUE}"]
    with ckptfmt.open("examples/digits") as ckpt:
        names = set(ckpt.by_full_name().model_variables())
    assert names == {"epoch"} | {
        f"digits/{name}"
        for name in (
            *("conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias", "logits/kernel", "logits/bias"),
            *("norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"),
        )
    }


def test_an_optimizer_that_wraps_another_is_left_out(tmp_path: Path) -> None:
    # Keras 2's LossScaleOptimizer below the root: it has no counter and no slots of its own.
    names = [
        "model/w",
        "opt/loss_scale/current_loss_scale",
        "opt/loss_scale/good_steps",
        "opt/base_optimizer/iter",
    ]
    graph = encode_graph(
        [
            encode_node([(1, "model"), (2, "opt")]),
            encode_node([(5, "w")]),
            encode_node([(3, "loss_scale"), (4, "base_optimizer")]),
            encode_node([(6, "current_loss_scale"), (7, "good_steps")]),
            encode_node([(8, "iter")]),
            *(encode_variable(name) for name in names),
        ]
    )
    ckpt = new_checkpoint(tmp_path, {f"{name}{VALUE}": 1.0 for name in names}, graph)
    assert list(ckpt.model_variables()) == [f"model/w{VALUE}"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("optimizer", ["Adafactor", "Lamb", "Lion", "LossScaleOptimizer"])
@pytest.mark.parametrize("is_compiled", [True, False])
def test_model_variables_of_keras_3(tmp_path: Path, optimizer: str, is_compiled: bool) -> None:
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.layers.Dense(2, name="d"), keras.layers.BatchNormalization()])
    model.build((None, 3))
    wrapped = [keras.optimizers.Adam(use_ema=True)] if optimizer == "LossScaleOptimizer" else []
    trainer = getattr(keras.optimizers, optimizer)(*wrapped)
    trainer.build(model.trainable_variables)
    if is_compiled:
        model.compile(optimizer=trainer)
    parts = {"model": model} if is_compiled else {"model": model, "opt": trainer}
    prefix = tf.train.Checkpoint(**parts).write(str(tmp_path / "m"))
    with ckptfmt.open(prefix) as ckpt:
        names = set(ckpt.by_full_name(ambiguous="key").model_variables())
    assert names == {variable.path for variable in model.variables}
