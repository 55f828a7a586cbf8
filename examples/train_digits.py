"""Train a small network on drawn digits and keep its checkpoints in examples/digits.

Run as ``python examples/train_digits.py`` with TensorFlow installed. The data is made here: glyphs of a 5x7
bitmap font at random positions in an 8x8 image, with random brightness and noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

DIRECTORY = Path(__file__).parent / "digits"

# The rows of each digit from the top, as hexadecimal numbers of five bits.
FONT = [
    "0e 11 13 15 19 11 0e",
    "04 0c 04 04 04 04 0e",
    "0e 11 01 02 04 08 1f",
    "1f 02 04 02 01 11 0e",
    "02 06 0a 12 1f 02 02",
    "1f 10 1e 01 01 11 0e",
    "06 08 10 1e 11 11 0e",
    "1f 01 02 04 08 08 08",
    "0e 11 11 0e 11 11 0e",
    "0e 11 11 0f 01 02 0c",
]


def glyph(digit: int) -> np.ndarray:
    """Return a digit as 7 rows of 5 zeros and ones."""
    rows = [int(row, 16) for row in FONT[digit].split()]
    return np.array([[row >> bit & 1 for bit in (4, 3, 2, 1, 0)] for row in rows], np.float32)


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` images of 8x8 and their digits."""
    random = np.random.default_rng(seed)
    digits = random.integers(10, size=count)
    images = random.normal(0.0, 0.25, (count, 8, 8, 1)).astype(np.float32)
    for image, digit in zip(images, digits, strict=True):
        top, left = random.integers(2), random.integers(4)
        image[top : top + 7, left : left + 5, 0] += glyph(digit) * random.uniform(0.5, 1.0)
    return images, digits


def main() -> None:
    """Train for ten epochs, save after each, and keep the last two checkpoints."""
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    images, digits = draw(6000, seed=1)
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
            keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv2"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(10, name="logits"),
        ],
        name="digits",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])

    for file in [*DIRECTORY.glob("ckpt-*"), *DIRECTORY.glob("checkpoint")]:
        file.unlink()
    epoch = tf.Variable(0, dtype=tf.int64, name="epoch")
    checkpoint = tf.train.Checkpoint(epoch=epoch, model=model, optimizer=model.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(DIRECTORY), max_to_keep=2)
    for _ in range(10):
        model.fit(images, digits, batch_size=64, verbose=0)
        epoch.assign_add(1)
        manager.save()
    _, accuracy = model.evaluate(*draw(2000, seed=2), verbose=0)
    sys.stdout.write(
        f"{Path(manager.latest_checkpoint).name}: {accuracy:.1%} of 2000 images not trained on\n"
    )


if __name__ == "__main__":
    main()
