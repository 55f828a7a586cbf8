"""Make the SavedModel of Keras 2 in ``tests/data/keras``: ``python -m tests.support.make_keras_2_model``.

It needs tf_keras 2.21. Beside it are inputs, and what the model predicts for them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tf_keras

FOLDER = Path(__file__).parent.parent / "data" / "keras"


def main() -> None:
    """Write the model."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(7)
    given = tf_keras.Input((4,), name="measures")
    hidden = layers.Dense(6, activation="relu", name="hidden")(given)
    hidden = layers.BatchNormalization(name="norm")(hidden)
    model = tf_keras.Model(given, layers.Dense(3, activation="softmax", name="kind")(hidden), name="flowers")
    for seed, variable in enumerate(model.weights):
        variable.assign(np.random.default_rng(seed).uniform(0.1, 0.9, variable.shape))
    inputs = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    model.save(FOLDER / "flowers", save_format="tf", include_optimizer=False, save_traces=False)
    np.savez(FOLDER / "flowers.npz", inputs=inputs, outputs=model.predict(inputs, verbose=0))


if __name__ == "__main__":
    main()
