"""How alike names are."""

from __future__ import annotations

import pytest

from ckptfmt.compare.words import Words, likeness


def alike(a: str, b: str) -> float:
    return likeness(Words(a), Words(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("layer_norm/gamma", "LayerNorm/scale"),
        ("bn/moving_mean", "BatchNorm.running_mean"),
        ("dense/kernel/.ATTRIBUTES/VARIABLE_VALUE", "fc/weights:0"),
        ("global_step", "step"),
        ("attn/q_proj/bias", "attention/query/b"),
    ],
)
def test_names_of_the_same_thing_have_the_same_words(a: str, b: str) -> None:
    assert Words(a).all == Words(b).all
    assert alike(a, b) == 1


@pytest.mark.parametrize(
    ("name", "nearer", "farther"),
    [
        ("encoder/query/kernel", "bert/encoder/self/query/kernel", "bert/encoder/self/key/kernel"),
        ("dense/bias", "model/dense_1/bias", "model/dense_1/kernel"),
        ("norm/scale", "ln.weight", "ln.bias"),
        ("convolution/w", "conv2d/kernel", "lstm/kernel"),
    ],
)
def test_the_right_name_is_the_most_alike(name: str, nearer: str, farther: str) -> None:
    assert alike(name, nearer) > alike(name, farther)
