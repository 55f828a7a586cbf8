"""The activation ``hard_sigmoid``, which is one function in Keras 2 and another in Keras 3.

::

    Keras 2    clip(x / 5 + 0.5, 0, 1)
    Keras 3    clip(x / 6 + 0.5, 0, 1)

So the first of x is the second of 1.2 x, and a layer computes the same if the weights of whatever enters the
function are 1.2 times as large. It was the default of recurrent layers until TensorFlow 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.keras.translation import Work
from ckptfmt.keras.weight_changes import Scaling

_NAME = "hard_sigmoid"
_RATIO = 1.2
_REASON = "hard_sigmoid of Keras 3 is flatter than that of Keras 2"

_SINGLE = (
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose"),
    *("Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
    *("SimpleRNN", "SimpleRNNCell"),
)
_LSTM = ("LSTM", "LSTMCell", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_GRU = ("GRU", "GRUCell")

# The activation of an LSTM is also applied to the state of the cell, which no weight scales.
_FACTORS: dict[tuple[str, str], tuple[float, ...]] = {
    **{(each, "activation"): (_RATIO,) for each in _SINGLE},
    **{(each, "recurrent_activation"): (_RATIO, _RATIO, 1.0, _RATIO) for each in _LSTM},
    **{(each, "recurrent_activation"): (_RATIO, _RATIO, 1.0) for each in _GRU},
    **{(each, "activation"): (1.0, 1.0, _RATIO) for each in _GRU},
}
"""Factors of the weights of each gate, by class and argument. The gates are i, f, c, o and z, r, h."""


def uses_hard_sigmoid(arguments: Mapping[str, Any]) -> bool:
    """Return whether some argument of a layer is this activation."""
    return any(value == _NAME for key, value in arguments.items() if key.endswith("activation"))


def scale_weights(class_name: str, arguments: Mapping[str, Any], path: str, work: Work) -> None:
    """Note how the weights of a layer change that uses the activation; refuse one where they cannot."""
    for argument, value in arguments.items():
        if not argument.endswith("activation") or value != _NAME:
            continue
        factors = _FACTORS.get((class_name, argument))
        if factors is None:
            reason = f"has {argument}={_NAME!r}, which is another function in Keras 3"
            work.refuse(path, class_name, reason)
        else:
            work.changes.append(
                Scaling(path, _REASON, factors, ("depthwise_kernel",) if _is_separable(class_name) else ())
            )


def _is_separable(class_name: str) -> bool:
    """Return whether only the second kernel of a layer determines the scale."""
    return class_name.startswith("Separable")


def scaled_activation(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model of two layers for an Activation layer, which has no weights: it scales its input."""
    name, dtype = arguments.get("name", "activation"), arguments.get("dtype")
    config: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    layers = [
        ("Rescaling", {"name": f"{name}_scale", "scale": _RATIO, "offset": 0.0, **config}),
        ("Activation", {"name": f"{name}_function", "activation": _NAME, **config}),
    ]
    described = [
        {"module": "keras.layers", "class_name": each, "config": own, "registered_name": None}
        for each, own in layers
    ]
    model = {"name": name, "layers": described}
    return {"module": "keras", "class_name": "Sequential", "config": model, "registered_name": None}
