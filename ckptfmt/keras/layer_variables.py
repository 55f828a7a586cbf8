"""The variables of each layer of Keras: in which order Keras 3 stores them, and what Keras 2 calls them.

A layer of Keras 3 stores its variables by number: those that training changes, then the others, in the order
in which it makes them. Keras 2 stores them by name in object graphs, and in an order of its own in ``.h5``
files. A layer that is not listed has no variables of its own; those of the layers in it are theirs
(:mod:`ckptfmt.keras.structure`).

Source: ``build`` of the layers of Keras 2 and 3, compared by ``tests/keras/test_layer_variables.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Config = Mapping[str, Any]


class LayerVariable(NamedTuple):
    """A variable of a layer."""

    names: tuple[str, ...]
    """Its attributes in Keras 2, the likeliest first; of a layer in the layer, as a path."""
    is_trained: bool = True
    """Whether training changes it, unless its layer is frozen."""
    exists: Callable[[Config], bool] = lambda config: True
    """Returns whether a layer has it, judging by the layer's configuration."""
    key: str | None = None
    """What Keras 3 stores it by, if that is not its number."""
    is_kept: bool = True
    """Whether Keras 3 has it. If not, it becomes part of the configuration."""


def _if(argument: str) -> Callable[[Config], bool]:
    """Return a test of a configuration for an argument, which is true unless it says otherwise."""
    return lambda config: bool(config.get(argument, True))


def _has_idf(config: Config) -> bool:
    return config.get("output_mode") in ("tf_idf", "tf-idf")


_BIAS = LayerVariable(("bias",), exists=_if("use_bias"))
_KERNEL = (LayerVariable(("kernel",)), _BIAS)
_DEPTHWISE = (LayerVariable(("depthwise_kernel",)), _BIAS)
_SEPARABLE = (LayerVariable(("depthwise_kernel",)), LayerVariable(("pointwise_kernel",)), _BIAS)
_CELL = (LayerVariable(("kernel",)), LayerVariable(("recurrent_kernel",)), _BIAS)
_SCALED = (
    LayerVariable(("gamma",), exists=_if("scale")),
    LayerVariable(("beta",), exists=_if("center")),
)
_IDF = (LayerVariable(("idf_weights", "_lookup_layer/idf_weights"), False, _has_idf, key="idf_weights"),)

LAYER_VARIABLES: dict[str, tuple[LayerVariable, ...]] = {
    "Dense": _KERNEL,
    "EinsumDense": (
        LayerVariable(("kernel",)),
        LayerVariable(("bias",), exists=lambda config: bool(config.get("bias_axes"))),
    ),
    "Embedding": (LayerVariable(("embeddings",)),),
    **{f"Conv{n}D{kind}": _KERNEL for n in (1, 2, 3) for kind in ("", "Transpose")},
    **{f"DepthwiseConv{n}D": _DEPTHWISE for n in (1, 2)},
    **{f"SeparableConv{n}D": _SEPARABLE for n in (1, 2)},
    "BatchNormalization": (
        *_SCALED,
        LayerVariable(("moving_mean",), False),
        LayerVariable(("moving_variance",), False),
    ),
    "LayerNormalization": _SCALED,
    "GroupNormalization": _SCALED,
    "SpectralNormalization": (
        LayerVariable(("kernel", "w")),
        LayerVariable(("vector_u", "u", "sn_u"), False),
    ),
    "PReLU": (LayerVariable(("alpha",)),),
    **dict.fromkeys(("SimpleRNNCell", "LSTMCell", "GRUCell", "ConvLSTMCell"), _CELL),
    "Attention": (
        LayerVariable(("scale",), exists=lambda config: bool(config.get("use_scale"))),
        LayerVariable(("concat_score_weight",), exists=lambda config: config.get("score_mode") == "concat"),
    ),
    "AdditiveAttention": (LayerVariable(("scale",), exists=_if("use_scale")),),
    # If the configuration has the mean, the variance is there too and nothing is stored.
    "Normalization": tuple(
        LayerVariable(names, False, lambda config: config.get("mean") is None)
        for names in (("adapt_mean", "mean"), ("adapt_variance", "variance"), ("count",))
    ),
    "Discretization": (
        LayerVariable(("summary",), False, lambda config: not config.get("bin_boundaries"), is_kept=False),
    ),
    "StringLookup": _IDF,
    "IntegerLookup": _IDF,
    "TextVectorization": _IDF,
}
"""By the name of the class in Keras 3."""

INNER_CELLS = {
    "SimpleRNN": "SimpleRNNCell",
    "LSTM": "LSTMCell",
    "GRU": "GRUCell",
    **{f"ConvLSTM{n}D": "ConvLSTMCell" for n in (1, 2, 3)},
}
"""The cell that each of these layers makes from its own configuration."""

RANKS = {
    name: rank
    for rank, name in enumerate(
        (
            *("gamma", "beta", "moving_mean", "moving_variance"),
            *("depthwise_kernel", "pointwise_kernel", "kernel", "recurrent_kernel", "bias"),
            *("embeddings", "alpha", "scale", "concat_score_weight"),
            *("adapt_mean", "mean", "adapt_variance", "variance", "count"),
        )
    )
}
"""An order of names that is right for all of these layers, for layers whose class is not known."""


def variables_of(class_name: str, config: Config) -> tuple[LayerVariable, ...]:
    """Return the variables of a layer in the order of Keras 3, without those of the layers in it."""
    return tuple(each for each in LAYER_VARIABLES.get(class_name, ()) if each.exists(config))
