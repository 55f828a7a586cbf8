"""Graphs of TensorFlow 1 with the variables of TF-Slim's Inceptions, written after the papers.

A block is a table: for each of its branches, what follows one another. That is a convolution (scope, width,
height and width of the kernel), a pool (its name), or a list of convolutions that stand beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.slim_networks import Slim

Branch = Sequence[Any]
Block = Sequence[Branch]


def _one(width: int, scope: str = "Conv2d_0a_1x1") -> tuple[str, int, int, int]:
    return scope, width, 1, 1


def _three(width: int, scope: str = "Conv2d_0b_3x3") -> tuple[str, int, int, int]:
    return scope, width, 3, 3


def _pooled(pool: str, width: int) -> Branch:
    return [pool, _one(width, "Conv2d_0b_1x1")]


# --- version 1 ---------------------------------------------------------------------------------------------


def _v1(*widths: int, odd: str = "Conv2d_0b_3x3") -> Block:
    first, reduced, wide, reduced_too, narrow, pooled = widths
    return [
        [_one(first)],
        [_one(reduced), _three(wide)],
        [_one(reduced_too), _three(narrow, odd)],
        _pooled("max beside", pooled),
    ]


_V1 = {
    "Mixed_3b": _v1(64, 96, 128, 16, 32, 32),
    "Mixed_3c": _v1(128, 128, 192, 32, 96, 64),
    "MaxPool_4a_3x3": [["max"]],
    "Mixed_4b": _v1(192, 96, 208, 16, 48, 64),
    "Mixed_4c": _v1(160, 112, 224, 24, 64, 64),
    "Mixed_4d": _v1(128, 128, 256, 24, 64, 64),
    "Mixed_4e": _v1(112, 144, 288, 32, 64, 64),
    "Mixed_4f": _v1(256, 160, 320, 32, 128, 128),
    "MaxPool_5a_2x2": [["max of two"]],
    # The odd name in this block is slim's.
    "Mixed_5b": _v1(256, 160, 320, 32, 128, 128, odd="Conv2d_0a_3x3"),
    "Mixed_5c": _v1(384, 192, 384, 48, 128, 128),
}


def inception_v1(slim: Slim) -> Any:
    """Build Inception v1 with norms, whose scales are not stored."""
    tf, slim.has_scale = slim.tf, False
    with slim.scope("InceptionV1"):
        x = tf.nn.max_pool2d(slim.conv(slim.images, 64, 7, "Conv2d_1a_7x7", stride=2), 3, 2, "SAME")
        x = slim.conv(slim.conv(x, 64, 1, "Conv2d_2b_1x1"), 192, 3, "Conv2d_2c_3x3")
        x = _blocks(slim, tf.nn.max_pool2d(x, 3, 2, "SAME"), _V1, pad="SAME")
        return slim.logits(x, "Logits/Conv2d_0c_1x1")


# --- version 3 ---------------------------------------------------------------------------------------------


def _five(pooled: int, *names: str) -> Block:
    reduced, wide = names or ("Conv2d_0a_1x1", "Conv2d_0b_5x5")
    return [
        [_one(64)],
        [_one(48, reduced), (wide, 64, 5, 5)],
        [_one(64), _three(96), _three(96, "Conv2d_0c_3x3")],
        _pooled("avg", pooled),
    ]


def _seven(first: int, widths: Sequence[int], pooled: int) -> Block:
    """Return a block with kernels of 1 x 7 and 7 x 1; the widths are those of its two long branches."""
    a, b, c, d, e, f, g, h = widths
    return [
        [_one(first)],
        [_one(a), ("Conv2d_0b_1x7", b, 1, 7), ("Conv2d_0c_7x1", c, 7, 1)],
        [
            _one(d),
            ("Conv2d_0b_7x1", e, 7, 1),
            ("Conv2d_0c_1x7", f, 1, 7),
            ("Conv2d_0d_7x1", g, 7, 1),
            ("Conv2d_0e_1x7", h, 1, 7),
        ],
        _pooled("avg", pooled),
    ]


def _seven_v3(width: int) -> Block:
    return _seven(192, [width, width, 192, width, width, width, width, 192], 192)


def _forked_v3(second: str) -> Block:
    return [
        [_one(320)],
        [_one(384), [("Conv2d_0b_1x3", 384, 1, 3), (second, 384, 3, 1)]],
        [_one(448), _three(384), [("Conv2d_0c_1x3", 384, 1, 3), ("Conv2d_0d_3x1", 384, 3, 1)]],
        _pooled("avg", 192),
    ]


_V3 = {
    "Mixed_5b": _five(32),
    # The odd names in this block are slim's.
    "Mixed_5c": _five(64, "Conv2d_0b_1x1", "Conv_1_0c_5x5"),
    "Mixed_5d": _five(64),
    # So are those of kernels of 3 x 3 here.
    "Mixed_6a": [
        [_three(384, "Conv2d_1a_1x1")],
        [_one(64), _three(96), _three(96, "Conv2d_1a_1x1")],
        ["max"],
    ],
    "Mixed_6b": _seven_v3(128),
    "Mixed_6c": _seven_v3(160),
    "Mixed_6d": _seven_v3(160),
    "Mixed_6e": _seven_v3(192),
    "Mixed_7a": [
        [_one(192), _three(320, "Conv2d_1a_3x3")],
        [_one(192), ("Conv2d_0b_1x7", 192, 1, 7), ("Conv2d_0c_7x1", 192, 7, 1), _three(192, "Conv2d_1a_3x3")],
        ["max"],
    ],
    "Mixed_7b": _forked_v3("Conv2d_0b_3x1"),
    "Mixed_7c": _forked_v3("Conv2d_0c_3x1"),
}


def inception_v3(slim: Slim) -> Any:
    """Build Inception v3 with its auxiliary logits."""
    slim.has_scale = False
    with slim.scope("InceptionV3"):
        x = _blocks(slim, _stem(slim), _V3)
        _auxiliary(slim, "Conv2d_2a_5x5")
        return slim.logits(x, "Logits/Conv2d_1c_1x1")


def _stem(slim: Slim) -> Any:
    """Return what the blocks of Inception v3 and of Inception-ResNet v2 begin with."""
    tf = slim.tf
    x = slim.conv(slim.images, 32, 3, "Conv2d_1a_3x3", stride=2, padding="VALID")
    x = slim.conv(x, 32, 3, "Conv2d_2a_3x3", padding="VALID")
    x = tf.nn.max_pool2d(slim.conv(x, 64, 3, "Conv2d_2b_3x3"), 3, 2, "VALID")
    x = slim.conv(x, 80, 1, "Conv2d_3b_1x1", padding="VALID")
    return tf.nn.max_pool2d(slim.conv(x, 192, 3, "Conv2d_4a_3x3", padding="VALID"), 3, 2, "VALID")


def _auxiliary(slim: Slim, second: str) -> None:
    """Make the variables of the logits that help in training, as for an image of the usual size."""
    width = {"Conv2d_2a_5x5": 768, "Conv2d_2a": 1024}[second]
    x = slim.tf.zeros([1, 5, 5, width])
    with slim.scope("AuxLogits"):
        x = slim.conv(slim.conv(x, 128, 1, "Conv2d_1b_1x1"), 768, 5, second)
        if second == "Conv2d_2a":
            slim.dense(x[:, 0, 0], "Aux_logits")
        else:
            slim.logits(x, "Conv2d_2b_1x1")


# --- version 4 ---------------------------------------------------------------------------------------------

_A: Block = [
    [_one(96)],
    [_one(64), _three(96)],
    [_one(64), _three(96), _three(96, "Conv2d_0c_3x3")],
    _pooled("avg", 96),
]
_B = _seven(384, [192, 224, 256, 192, 192, 224, 224, 256], 128)
_C: Block = [
    [_one(256)],
    [_one(384), [("Conv2d_0b_1x3", 256, 1, 3), ("Conv2d_0c_3x1", 256, 3, 1)]],
    [
        _one(384),
        ("Conv2d_0b_3x1", 448, 3, 1),
        ("Conv2d_0c_1x3", 512, 1, 3),
        [("Conv2d_0d_1x3", 256, 1, 3), ("Conv2d_0e_3x1", 256, 3, 1)],
    ],
    _pooled("avg", 256),
]
_V4: Mapping[str, Block] = {
    "Mixed_3a": [["max"], [_three(96, "Conv2d_0a_3x3")]],
    "Mixed_4a": [
        [_one(64), _three(96, "Conv2d_1a_3x3")],
        [_one(64), ("Conv2d_0b_1x7", 64, 1, 7), ("Conv2d_0c_7x1", 64, 7, 1), _three(96, "Conv2d_1a_3x3")],
    ],
    "Mixed_5a": [[_three(192, "Conv2d_1a_3x3")], ["max"]],
    **{f"Mixed_5{letter}": _A for letter in "bcde"},
    "Mixed_6a": [
        [_three(384, "Conv2d_1a_3x3")],
        [_one(192), _three(224), _three(256, "Conv2d_1a_3x3")],
        ["max"],
    ],
    **{f"Mixed_6{letter}": _B for letter in "bcdefgh"},
    "Mixed_7a": [
        [_one(192), _three(192, "Conv2d_1a_3x3")],
        [_one(256), ("Conv2d_0b_1x7", 256, 1, 7), ("Conv2d_0c_7x1", 320, 7, 1), _three(320, "Conv2d_1a_3x3")],
        ["max"],
    ],
    **{f"Mixed_7{letter}": _C for letter in "bcd"},
}


def inception_v4(slim: Slim) -> Any:
    """Build Inception v4 with its auxiliary logits."""
    slim.has_scale = False
    with slim.scope("InceptionV4"):
        x = slim.conv(slim.images, 32, 3, "Conv2d_1a_3x3", stride=2, padding="VALID")
        x = slim.conv(slim.conv(x, 32, 3, "Conv2d_2a_3x3", padding="VALID"), 64, 3, "Conv2d_2b_3x3")
        x = _blocks(slim, x, _V4)
        _auxiliary(slim, "Conv2d_2a")
        return slim.dense(slim.tf.reduce_mean(x, [1, 2]), "Logits/Logits")


# --- Inception-ResNet version 2 ----------------------------------------------------------------------------

_RESNET: Mapping[str, Block] = {
    "Mixed_5b": [
        [_one(96, "Conv2d_1x1")],
        [_one(48), ("Conv2d_0b_5x5", 64, 5, 5)],
        [_one(64), _three(96), _three(96, "Conv2d_0c_3x3")],
        _pooled("avg", 64),
    ],
    "Mixed_6a": [
        [_three(384, "Conv2d_1a_3x3")],
        [_one(256), _three(256), _three(384, "Conv2d_1a_3x3")],
        ["max"],
    ],
    "Mixed_7a": [
        [_one(256), _three(384, "Conv2d_1a_3x3")],
        [_one(256), _three(288, "Conv2d_1a_3x3")],
        [_one(256), _three(288), _three(320, "Conv2d_1a_3x3")],
        ["max"],
    ],
    "block35": [
        [_one(32, "Conv2d_1x1")],
        [_one(32), _three(32)],
        [_one(32), _three(48), _three(64, "Conv2d_0c_3x3")],
    ],
    "block17": [
        [_one(192, "Conv2d_1x1")],
        [_one(128), ("Conv2d_0b_1x7", 160, 1, 7), ("Conv2d_0c_7x1", 192, 7, 1)],
    ],
    "block8": [
        [_one(192, "Conv2d_1x1")],
        [_one(192), ("Conv2d_0b_1x3", 224, 1, 3), ("Conv2d_0c_3x1", 256, 3, 1)],
    ],
}


def inception_resnet_v2(slim: Slim) -> Any:
    """Build Inception-ResNet v2 without its auxiliary logits."""
    slim.has_scale = False
    with slim.scope("InceptionResnetV2"):
        x = _stem(slim)
        for mixed, repeat, kind, count, scale in (
            ("Mixed_5b", "Repeat", "block35", 10, 0.17),
            ("Mixed_6a", "Repeat_1", "block17", 20, 0.1),
            ("Mixed_7a", "Repeat_2", "block8", 9, 0.2),
        ):
            x = _blocks(slim, x, {mixed: _RESNET[mixed]})
            for number in range(count):
                x = slim.active(_residual(slim, x, kind, f"{repeat}/{kind}_{number + 1}", scale))
        x = slim.conv(_residual(slim, x, "block8", "Block8", 1.0), 1536, 1, "Conv2d_7b_1x1")
        return slim.dense(slim.tf.reduce_mean(x, [1, 2]), "Logits/Logits")


def _residual(slim: Slim, x: Any, kind: str, scope: str, scale: float) -> Any:
    made = _blocks(slim, x, {scope: _RESNET[kind]})
    depth = int(x.shape[-1])
    with slim.scope(f"{scope}/Conv2d_1x1"):
        # Small, or a sum of so many blocks grows beyond what floats of 32 bits add up alike.
        weights = slim.variable("weights", 1, 1, int(made.shape[-1]), depth, spread=0.03)
        return x + scale * (slim.tf.nn.conv2d(made, weights, 1, "SAME") + slim.variable("biases", depth))


# --- blocks from tables ------------------------------------------------------------------------------------


def _blocks(slim: Slim, x: Any, blocks: Mapping[str, Block], pad: str = "VALID") -> Any:
    for name, block in blocks.items():
        made = []
        for number, branch in enumerate(block):
            with slim.scope(f"{name}/Branch_{number}"):
                made.append(_branch(slim, x, branch, name, pad))
        x = slim.tf.concat(made, 3)
    return x


def _branch(slim: Slim, x: Any, branch: Branch, block: str, pad: str) -> Any:
    tf = slim.tf
    pools = {
        "avg": lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME"),
        "max": lambda x: tf.nn.max_pool2d(x, 3, 2, pad),
        "max beside": lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"),
        "max of two": lambda x: tf.nn.max_pool2d(x, 2, 2, pad),
    }
    for part in branch:
        if isinstance(part, str):
            x = pools[part](x)
        elif isinstance(part, list):
            x = tf.concat([slim.conv(x, width, tuple(kernel), scope) for scope, width, *kernel in part], 3)
        else:
            scope, width, *kernel = part
            # By their names, convolutions 1a make the image smaller; so does the only one of Mixed_3a.
            is_smaller = "_1a_" in scope or block == "Mixed_3a"
            stride = 2 if is_smaller and block != "Mixed_4a" else 1
            padding = "VALID" if is_smaller else "SAME"
            x = slim.conv(x, width, tuple(kernel), scope, stride=stride, padding=padding)
    return x
