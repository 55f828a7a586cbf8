"""Graphs of TensorFlow 1 with the variables of TF-Slim's networks for images.

They are written after the papers, and after the names and shapes in slim's checkpoints. Widths and depths can
be smaller than those of the released models if the other side's class can be made smaller, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 11


def image(size: int) -> np.ndarray:
    """Return the image that all networks are run on: height, width, channels."""
    return np.random.default_rng(5).normal(size=(2, size, size, 3)).astype(np.float32)


def run(
    build: Callable[[Slim], Any], size: int, path: Path, *, slot: str = ""
) -> tuple[Path, dict[str, np.ndarray]]:
    """Build a network for an image, save it as a checkpoint, and return that and its logits.

    The checkpoint has a slot with this name for each variable.
    """
    import tensorflow as tf  # here, so that tests can skip without it

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        logits = build(Slim(tf, image(size)))
        for variable in v1.global_variables() if slot else ():
            v1.get_variable(f"{variable.op.name}/{slot}", variable.shape, trainable=False)
        v1.train.get_or_create_global_step()
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(path / "model.ckpt"), write_meta_graph=False)
        return Path(prefix), {"classes": session.run(logits)}


class Slim:
    """The layers that the networks share."""

    def __init__(self, tf: Any, images: np.ndarray) -> None:
        self.tf = tf
        self.scope = tf.compat.v1.variable_scope
        self.images = tf.constant(images)
        self.epsilon = 1e-3
        self.has_scale = True
        self.active: Callable[[Any], Any] = tf.nn.relu

    def variable(self, name: str, *shape: int, mean: float = 0.0, spread: float = 0.2) -> Any:
        v1 = self.tf.compat.v1
        initializer = v1.truncated_normal_initializer(mean, spread)
        return v1.get_variable(name, shape, initializer=initializer)

    def conv(
        self,
        x: Any,
        units: int,
        size: int | tuple[int, int],
        scope: str,
        *,
        stride: int = 1,
        padding: str | Sequence[Sequence[int]] = "SAME",
        is_linear: bool = False,
    ) -> Any:
        """Convolve, normalize and activate."""
        height, width = (size, size) if isinstance(size, int) else size
        depth = int(x.shape[-1])
        with self.scope(scope):
            spread = (height * width * depth / 2) ** -0.5
            weights = self.variable("weights", height, width, depth, units, spread=spread)
            x = self._norm(self.tf.nn.conv2d(x, weights, stride, padding))
        return x if is_linear else self.active(x)

    def depthwise(self, x: Any, scope: str, *, stride: int = 1) -> Any:
        with self.scope(scope):
            weights = self.variable("depthwise_weights", 3, 3, int(x.shape[-1]), 1, spread=0.4)
            strides = [1, stride, stride, 1]
            return self.active(self._norm(self.tf.nn.depthwise_conv2d(x, weights, strides, "SAME")))

    def _norm(self, x: Any) -> Any:
        depth = int(x.shape[-1])
        with self.scope("BatchNorm"):
            beta = self.variable("beta", depth)
            gamma = self.variable("gamma", depth, mean=1.0) if self.has_scale else None
            mean = self.variable("moving_mean", depth)
            # Cut off at two spreads, so it stays positive.
            variance = self.variable("moving_variance", depth, mean=1.0)
        return self.tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def logits(self, x: Any, scope: str) -> Any:
        """Average over the image, and classify by a convolution of size one, as slim does."""
        x = self.tf.reduce_mean(x, [1, 2], keepdims=True)
        with self.scope(scope):
            weights = self.variable("weights", 1, 1, int(x.shape[-1]), CLASSES)
            x = self.tf.nn.conv2d(x, weights, 1, "SAME") + self.variable("biases", CLASSES)
        return self.tf.squeeze(x, [1, 2])

    def dense(self, x: Any, scope: str) -> Any:
        """Classify by a dense layer."""
        with self.scope(scope):
            return x @ self.variable("weights", int(x.shape[-1]), CLASSES) + self.variable("biases", CLASSES)


RESNET_UNITS, RESNET_WIDTH = (3, 1, 2, 2), 16
"""Units in each block, and the width of the first block; a released network has 64."""


def resnet(slim: Slim) -> Any:
    """Build a small ResNet v1 of bottlenecks, whose blocks halve the image in their last units."""
    tf, slim.epsilon = slim.tf, 1e-5
    with slim.scope("resnet_v1_50"):
        slim.variable("mean_rgb", 3)
        x = slim.conv(slim.images, 64, 7, "conv1", stride=2, padding=_same(7))
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        for block, units in enumerate(RESNET_UNITS):
            width, depth = RESNET_WIDTH << block, 256 << block
            for unit in range(units):
                stride = 2 if unit == units - 1 and block < 3 else 1
                with slim.scope(f"block{block + 1}/unit_{unit + 1}/bottleneck_v1"):
                    if x.shape[-1] == depth:
                        short = tf.nn.max_pool2d(x, 1, stride, "VALID")
                    else:
                        short = slim.conv(x, depth, 1, "shortcut", stride=stride, is_linear=True)
                    x = slim.conv(x, width, 1, "conv1")
                    x = slim.conv(x, width, 3, "conv2", stride=stride, padding=_same(3))
                    x = tf.nn.relu(short + slim.conv(x, depth, 1, "conv3", is_linear=True))
        return slim.logits(x, "logits")


def _same(size: int) -> list[list[int]]:
    """Return the paddings that slim gives a convolution with a stride, whatever the size of the image."""
    pad = [size // 2, size // 2]
    return [[0, 0], pad, pad, [0, 0]]


MULTIPLIER = 0.5
"""Of the widths of the MobileNets; with 0.25, Hugging Face's v2 would lack the first residual connection."""


def mobilenet_v1(slim: Slim) -> Any:
    """Build MobileNet v1."""
    slim.active = slim.tf.nn.relu6
    layers = [
        (1, 64),
        (2, 128),
        (1, 128),
        (2, 256),
        (1, 256),
        (2, 512),
        *[(1, 512)] * 5,
        (2, 1024),
        (1, 1024),
    ]
    with slim.scope("MobilenetV1"):
        x = slim.conv(slim.images, int(32 * MULTIPLIER), 3, "Conv2d_0", stride=2)
        for number, (stride, width) in enumerate(layers, 1):
            x = slim.depthwise(x, f"Conv2d_{number}_depthwise", stride=stride)
            x = slim.conv(x, int(width * MULTIPLIER), 1, f"Conv2d_{number}_pointwise")
        return slim.logits(x, "Logits/Conv2d_1c_1x1")


def mobilenet_v2(slim: Slim) -> Any:
    """Build MobileNet v2."""
    slim.active = slim.tf.nn.relu6
    stages = [(16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)]
    number = 0
    with slim.scope("MobilenetV2"):
        x = slim.conv(slim.images, _width(32), 3, "Conv", stride=2)
        for width, count, first_stride in stages:
            for layer in range(count):
                with slim.scope(f"expanded_conv_{number}" if number else "expanded_conv"):
                    x = _inverted(slim, x, _width(width), 1 if layer else first_stride, 6 if number else 1)
                number += 1
        return slim.logits(slim.conv(x, 1280, 1, "Conv_1"), "Logits/Conv2d_1c_1x1")


def _inverted(slim: Slim, x: Any, width: int, stride: int, expansion: int) -> Any:
    depth = int(x.shape[-1])
    inner = slim.conv(x, depth * expansion, 1, "expand") if expansion > 1 else x
    inner = slim.depthwise(inner, "depthwise", stride=stride)
    made = slim.conv(inner, width, 1, "project", is_linear=True)
    return x + made if stride == 1 and depth == width else made


def _width(full: int) -> int:
    """Return a width times the multiplier, as a multiple of 8 that is not much smaller."""
    wanted = full * MULTIPLIER
    near = max(8, int(wanted + 4) // 8 * 8)
    return near if near >= 0.9 * wanted else near + 8
