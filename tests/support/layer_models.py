"""The same layers in Keras, PyTorch and flax, run in a process of its own for each framework.

TensorFlow and PyTorch with CUDA cannot always share a process, and all of them take memory. In FOLDER,
``given.npz`` may have weights for some of the layers; ``weights.npz`` gets those of all layers, and
``outputs.npz`` what each layer makes of its input. Keras also writes its weights in its own formats.

    python -m tests.support.layer_models keras FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Layer(NamedTuple):
    """A layer in three frameworks; in flax None if it has no such layer."""

    shape: tuple[int, ...]
    """The shape of its input, channels last."""
    keras: Callable[[Any], Any]
    torch: Callable[[Any], Any]
    flax: Callable[[Any], Any] | None
    is_sequence: bool = False
    """Whether PyTorch has the channels last too."""


IMAGES = (2, 9, 8, 4)

LAYERS: dict[str, Layer] = {
    "dense": Layer((2, 5), lambda k: k.Dense(3), lambda t: t.Linear(5, 3), lambda n: n.Dense(3)),
    "conv1d": Layer(
        (2, 9, 4),
        lambda k: k.Conv1D(6, 3),
        lambda t: t.Conv1d(4, 6, 3),
        lambda n: n.Conv(6, (3,), padding="VALID"),
    ),
    "conv2d": Layer(
        IMAGES,
        lambda k: k.Conv2D(6, (3, 2), strides=2),
        lambda t: t.Conv2d(4, 6, (3, 2), stride=2),
        lambda n: n.Conv(6, (3, 2), strides=2, padding="VALID"),
    ),
    "grouped": Layer(
        IMAGES,
        lambda k: k.Conv2D(6, 3, groups=2, use_bias=False),
        lambda t: t.Conv2d(4, 6, 3, groups=2, bias=False),
        lambda n: n.Conv(6, (3, 3), padding="VALID", feature_group_count=2, use_bias=False),
    ),
    "conv3d": Layer(
        (2, 5, 6, 7, 2),
        lambda k: k.Conv3D(3, (2, 3, 4)),
        lambda t: t.Conv3d(2, 3, (2, 3, 4)),
        lambda n: n.Conv(3, (2, 3, 4), padding="VALID"),
    ),
    "up1d": Layer(
        (2, 5, 4),
        lambda k: k.Conv1DTranspose(6, 3, strides=2),
        lambda t: t.ConvTranspose1d(4, 6, 3, stride=2),
        lambda n: n.ConvTranspose(6, (3,), strides=(2,), padding="VALID", transpose_kernel=True),
    ),
    "up2d": Layer(
        IMAGES,
        lambda k: k.Conv2DTranspose(6, (3, 2), strides=2),
        lambda t: t.ConvTranspose2d(4, 6, (3, 2), stride=2),
        lambda n: n.ConvTranspose(6, (3, 2), strides=(2, 2), padding="VALID", transpose_kernel=True),
    ),
    "up3d": Layer(
        (1, 3, 4, 3, 2),
        lambda k: k.Conv3DTranspose(3, (2, 3, 2)),
        lambda t: t.ConvTranspose3d(2, 3, (2, 3, 2)),
        lambda n: n.ConvTranspose(3, (2, 3, 2), padding="VALID", transpose_kernel=True),
    ),
    "depthwise": Layer(
        IMAGES,
        lambda k: k.DepthwiseConv2D(3),
        lambda t: t.Conv2d(4, 4, 3, groups=4),
        lambda n: n.Conv(4, (3, 3), padding="VALID", feature_group_count=4),
    ),
    "conv_dw_2": Layer(
        IMAGES,
        lambda k: k.DepthwiseConv2D((3, 2), depth_multiplier=2),
        lambda t: t.Conv2d(4, 8, (3, 2), groups=4),
        lambda n: n.Conv(8, (3, 2), padding="VALID", feature_group_count=4),
    ),
    "depthwise1d": Layer(
        (2, 9, 4),
        lambda k: k.DepthwiseConv1D(3),
        lambda t: t.Conv1d(4, 4, 3, groups=4),
        lambda n: n.Conv(4, (3,), padding="VALID", feature_group_count=4),
    ),
    "separable": Layer(
        IMAGES,
        lambda k: k.SeparableConv2D(5, 3),
        lambda t: _named(
            t, depthwise=t.Conv2d(4, 4, 3, groups=4, bias=False), pointwise=t.Conv2d(4, 5, 1)
        ),
        lambda n: _sequence(
            n,
            depthwise=n.Conv(4, (3, 3), padding="VALID", feature_group_count=4, use_bias=False),
            pointwise=n.Conv(5, (1, 1)),
        ),
    ),
    "separable1d": Layer(
        (2, 9, 4),
        lambda k: k.SeparableConv1D(5, 3),
        lambda t: _named(
            t, depthwise=t.Conv1d(4, 4, 3, groups=4, bias=False), pointwise=t.Conv1d(4, 5, 1)
        ),
        lambda n: _sequence(
            n,
            depthwise=n.Conv(4, (3,), padding="VALID", feature_group_count=4, use_bias=False),
            pointwise=n.Conv(5, (1,)),
        ),
    ),
    "bn": Layer(
        IMAGES,
        lambda k: k.BatchNormalization(),
        lambda t: t.BatchNorm2d(4, eps=1e-3),
        lambda n: n.BatchNorm(use_running_average=True, epsilon=1e-3),
    ),
    "bn_no_scale": Layer(
        IMAGES,
        lambda k: k.BatchNormalization(scale=False),
        lambda t: t.BatchNorm2d(4, eps=1e-3),
        lambda n: n.BatchNorm(use_running_average=True, epsilon=1e-3, use_scale=False),
    ),
    "ln": Layer(
        (2, 3, 5),
        lambda k: k.LayerNormalization(),
        lambda t: t.LayerNorm(5, eps=1e-3),
        lambda n: n.LayerNorm(epsilon=1e-3),
        is_sequence=True,
    ),
    "gn": Layer(
        IMAGES,
        lambda k: k.GroupNormalization(2),
        lambda t: t.GroupNorm(2, 4, eps=1e-3),
        lambda n: n.GroupNorm(2, epsilon=1e-3),
    ),
    "word_embedding": Layer(
        (2, 3),
        lambda k: k.Embedding(7, 5),
        lambda t: t.Embedding(7, 5),
        lambda n: n.Embed(7, 5),
        is_sequence=True,
    ),
    "prelu": Layer(IMAGES, lambda k: k.PReLU(shared_axes=[1, 2]), lambda t: t.PReLU(4), None),
    "lstm": Layer(
        (2, 6, 3),
        lambda k: k.LSTM(4, return_sequences=True),
        lambda t: t.LSTM(3, 4, batch_first=True),
        lambda n: n.RNN(n.LSTMCell(4)),
        is_sequence=True,
    ),
    "gru": Layer(
        (2, 6, 3),
        lambda k: k.GRU(4, return_sequences=True),
        lambda t: t.GRU(3, 4, batch_first=True),
        lambda n: n.RNN(n.GRUCell(4)),
        is_sequence=True,
    ),
    "rnn": Layer(
        (2, 6, 3),
        lambda k: k.SimpleRNN(4, return_sequences=True),
        lambda t: t.RNN(3, 4, batch_first=True),
        lambda n: n.RNN(n.SimpleCell(4)),
        is_sequence=True,
    ),
    "square": Layer(  # as many inputs as units, so that shapes tell nothing
        (2, 6, 4),
        lambda k: k.GRU(4, return_sequences=True),
        lambda t: t.GRU(4, 4, batch_first=True),
        lambda n: n.RNN(n.GRUCell(4)),
        is_sequence=True,
    ),
    "both_lstm": Layer(
        (2, 6, 3),
        lambda k: k.Bidirectional(k.LSTM(4, return_sequences=True, name="lstm")),
        lambda t: t.LSTM(3, 4, batch_first=True, bidirectional=True),
        lambda n: n.Bidirectional(n.RNN(n.LSTMCell(4)), n.RNN(n.LSTMCell(4))),
        is_sequence=True,
    ),
    "both_gru": Layer(
        (2, 6, 3),
        lambda k: k.Bidirectional(k.GRU(4, return_sequences=True, name="gru")),
        lambda t: t.GRU(3, 4, batch_first=True, bidirectional=True),
        lambda n: n.Bidirectional(n.RNN(n.GRUCell(4)), n.RNN(n.GRUCell(4))),
        is_sequence=True,
    ),
    "stacked": Layer(
        (2, 6, 3),
        lambda k: k.RNN(
            [k.LSTMCell(4, name="lstm_cell"), k.LSTMCell(4, name="lstm_cell_1")], return_sequences=True
        ),
        lambda t: t.LSTM(3, 4, num_layers=2, batch_first=True),
        None,
        is_sequence=True,
    ),
    "attention": Layer(
        (2, 5, 8),
        lambda k: k.MultiHeadAttention(2, 4),
        lambda t: t.MultiheadAttention(8, 2, batch_first=True),
        lambda n: n.MultiHeadDotProductAttention(2, qkv_features=8, out_features=8),
        is_sequence=True,
    ),
}  # fmt: skip

NOT_TO_KERAS = {
    "bn_no_scale": "PyTorch has both or neither",
    "conv_dw_2": "the depth multiplier is not in the weights",
    "attention": "PyTorch's weights do not tell the number of heads",
    "stacked": "becomes two layers",
}
"""Layers that do not come back to Keras as they were."""


def layer_input(name: str) -> np.ndarray:
    """Return the input of a layer, the same in every process."""
    layer = LAYERS[name]
    rng = np.random.default_rng(list(LAYERS).index(name))
    if "embedding" in name:
        return rng.integers(0, 7, layer.shape).astype(np.int32)
    return rng.normal(size=layer.shape).astype(np.float32)


def random_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return weights that no initializer would make: biases are not zero, and variances are not one."""
    rng = np.random.default_rng(7)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    positive = ("moving_variance", "running_var", "/var")
    return {name: abs(array) + 0.5 if name.endswith(positive) else array for name, array in weights.items()}


class Ran(NamedTuple):
    """What layers compute, and with which weights."""

    folder: Path
    weights: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def run_layers(framework: str, folder: Path, given: Mapping[str, np.ndarray] = {}) -> Ran:
    """Run all layers in a framework: ``keras``, ``tf_keras``, ``tf1``, ``torch`` or ``flax``.

    Layers for which weights are given load these, all of them and no others; the rest is random.
    """
    folder.mkdir(exist_ok=True)
    np.savez(folder / "given.npz", **given)
    command = [sys.executable, "-W", "ignore", "-m", __name__, framework, str(folder)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **quiet})
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(folder / "weights.npz") as weights, np.load(folder / "outputs.npz") as outputs:
        return Ran(folder, dict(weights), dict(outputs))


# --- in the process ----------------------------------------------------------------------------------------


def _run_keras(library: str, folder: Path, given: Mapping[str, np.ndarray]) -> None:
    import importlib

    import tensorflow as tf

    keras = importlib.import_module(library)
    inputs, outputs = {}, {}
    for name, layer in LAYERS.items():
        dtype = "int32" if "embedding" in name else "float32"
        inputs[name] = keras.Input(layer.shape[1:], dtype=dtype, name=f"{name}_input")
        made = layer.keras(keras.layers)
        made = type(made).from_config({**made.get_config(), "name": name})
        call = (inputs[name],) * 2 if name == "attention" else (inputs[name],)
        outputs[name] = made(*call)
    model = keras.Model(inputs, outputs)
    variables = {getattr(v, "path", v.name).removesuffix(":0"): v for v in model.weights}
    weights = random_weights({name: tuple(v.shape) for name, v in variables.items()})
    for name in LAYERS:
        mine = {each for each in variables if each.startswith(f"{name}/")}
        theirs = {each for each in given if each.startswith(f"{name}/")}
        assert not theirs or mine == theirs, (name, mine, theirs)
        weights.update({each: given[each] for each in theirs})
    for each, variable in variables.items():
        variable.assign(weights[each])
    np.savez(folder / "weights.npz", **weights)
    made = model({name: layer_input(name) for name in LAYERS}, training=False)
    np.savez(folder / "outputs.npz", **{name: np.asarray(value) for name, value in made.items()})
    tf.train.Checkpoint(model=model).write(str(folder / "objects"))
    model.save_weights(str(folder / "model.weights.h5"))


def _run_tf1(folder: Path) -> None:
    """Run three recurrent layers made of the cells of TensorFlow 1, which tf_keras still has."""
    import tensorflow as tf
    from tf_keras.src.layers.rnn import legacy_cells

    v1 = tf.compat.v1

    def unroll(cell: Any, steps: list[Any], scope: str) -> list[Any]:
        made = []
        with v1.variable_scope(scope):
            state = cell.zero_state(2, tf.float32)
            for x in steps:
                y, state = cell(x, state)
                made.append(y)
        return made

    def cell() -> Any:
        return legacy_cells.BasicLSTMCell(4)

    with v1.Graph().as_default(), v1.Session() as session:
        steps = {
            name: list(np.moveaxis(layer_input(name), 1, 0)) for name in ("lstm", "both_lstm", "stacked")
        }
        outputs = {
            "lstm": tf.stack(unroll(cell(), steps["lstm"], "lstm"), 1),
            "stacked": tf.stack(
                unroll(legacy_cells.MultiRNNCell([cell(), cell()]), steps["stacked"], "stacked"), 1
            ),
        }
        forward = unroll(cell(), steps["both_lstm"], "both_lstm/fw")
        backward = unroll(cell(), steps["both_lstm"][::-1], "both_lstm/bw")[::-1]
        outputs["both_lstm"] = tf.concat([tf.stack(forward, 1), tf.stack(backward, 1)], -1)
        variables = {v.op.name: v for v in v1.global_variables()}
        weights = random_weights({name: tuple(v.shape) for name, v in variables.items()})
        for name, variable in variables.items():
            variable.load(weights[name], session)
        v1.train.Saver().save(session, str(folder / "cells"), write_meta_graph=False)
        np.savez(folder / "weights.npz", **weights)
        np.savez(folder / "outputs.npz", **session.run(outputs))


def _run_torch(folder: Path, given: Mapping[str, np.ndarray]) -> None:
    import torch

    modules = torch.nn.ModuleDict({name: layer.torch(torch.nn) for name, layer in LAYERS.items()})
    shapes = {name: tuple(tensor.shape) for name, tensor in modules.state_dict().items()}
    weights = random_weights(shapes)
    weights = {n: a.astype(np.int64) if n.endswith("tracked") else a for n, a in weights.items()}
    for name in LAYERS:
        theirs = {each for each in given if each.startswith(f"{name}.")}
        if theirs:
            weights = {n: a for n, a in weights.items() if not n.startswith(f"{name}.")}
            weights.update({each: given[each] for each in theirs})
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    modules.load_state_dict(state, strict=True)
    np.savez(folder / "weights.npz", **weights)
    outputs = {}
    with torch.no_grad():
        for name, module in modules.eval().items():
            x = torch.from_numpy(layer_input(name))
            if not LAYERS[name].is_sequence and x.ndim > 2:
                outputs[name] = module(x.movedim(-1, 1)).movedim(1, -1).numpy()
                continue
            y = module(x, x, x) if name == "attention" else module(x)
            outputs[name] = (y[0] if isinstance(y, tuple) else y).numpy()
    np.savez(folder / "outputs.npz", **outputs)


def _run_flax(folder: Path, given: Mapping[str, np.ndarray]) -> None:
    import jax
    from flax import linen
    from flax.traverse_util import flatten_dict, unflatten_dict

    layers = {name: layer.flax for name, layer in LAYERS.items() if layer.flax is not None}

    class Layers(linen.Module):
        def setup(self) -> None:
            for name, make in layers.items():
                setattr(self, name, make(linen))

        def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            return {name: getattr(self, name)(inputs[name]) for name in layers}

    inputs = {name: layer_input(name) for name in layers}
    variables = flatten_dict(jax.eval_shape(Layers().init, jax.random.key(0), inputs), sep="/")
    weights = random_weights({name: tuple(array.shape) for name, array in variables.items()})
    for name in layers:
        mine = {each for each in variables if each.split("/")[1] == name}
        theirs = {each for each in given if each.split("/")[1] == name}
        assert not theirs or mine == theirs, (name, mine, theirs)
        weights.update({each: given[each] for each in theirs})
    np.savez(folder / "weights.npz", **weights)
    made = jax.jit(Layers().apply)(unflatten_dict(weights, sep="/"), inputs)
    np.savez(folder / "outputs.npz", **{name: np.asarray(value) for name, value in made.items()})


def _named(nn: Any, **modules: Any) -> Any:
    """Return a sequence of PyTorch's modules with names."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def _sequence(linen: Any, **modules: Any) -> Any:
    """Return a module of flax that applies two others, one after the other."""

    class Sequence(linen.Module):  # type: ignore[misc]
        depthwise: Any
        pointwise: Any

        def __call__(self, x: Any) -> Any:
            return self.pointwise(self.depthwise(x))

    return Sequence(**modules)


def _main(framework: str, folder: Path) -> None:
    with np.load(folder / "given.npz") as arrays:
        given = dict(arrays)
    if framework == "torch":
        _run_torch(folder, given)
    elif framework == "tf1":
        _run_tf1(folder)
    elif framework == "flax":
        _run_flax(folder, given)
    else:
        _run_keras(framework, folder, given)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
