"""Model variables: what is left of a checkpoint without what training adds."""

from __future__ import annotations

from pathlib import Path

import ckptfmt
from ckptfmt import Checkpoint
from tests.support.checkpoints import new_checkpoint
from tests.support.golden import GOLDEN

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
