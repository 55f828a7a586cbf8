"""Layers of Keras 2 that Keras 3 has under another class, and arguments that it has under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StandIn:
    """What Keras 3 has in the place of a class of Keras 2."""

    class_name: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Arguments of Keras 2 and their names in Keras 3."""
    added: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that the class of Keras 2 implies."""
    predicts_only: bool = False
    """Whether only predictions are the same: the layer of Keras 2 does something else in training."""


_CUDNN = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}

_STAND_INS = {
    # Classes that some versions of Keras 2 had under several names.
    "BatchNormalizationV1": StandIn("BatchNormalization"),
    "BatchNormalizationV2": StandIn("BatchNormalization"),
    "SyncBatchNormalization": StandIn("BatchNormalization", added={"synchronized": True}),
    "UnifiedLSTM": StandIn("LSTM"),
    "UnifiedGRU": StandIn("GRU"),
    "CuDNNLSTM": StandIn("LSTM", added=_CUDNN),
    "CuDNNGRU": StandIn("GRU", added={**_CUDNN, "reset_after": True}),
    # Before it had the argument, Keras computed what it now does without it.
    "GRU": StandIn("GRU", added={"reset_after": False}),
    "GRUCell": StandIn("GRUCell", added={"reset_after": False}),
    "InputLayer": StandIn("InputLayer", {"batch_input_shape": "batch_shape"}),
    "LeakyReLU": StandIn("LeakyReLU", {"alpha": "negative_slope"}),
    "ThresholdedReLU": StandIn("ReLU", {"theta": "threshold"}),
    # In Keras 3, it leaves images as they are when predicting.
    "RandomCrop": StandIn("Resizing", added={"crop_to_aspect_ratio": True}, predicts_only=True),
    "RandomHeight": StandIn("Identity", predicts_only=True),
    "RandomWidth": StandIn("Identity", predicts_only=True),
}


def stand_in(class_name: str) -> StandIn:
    """Return what Keras 3 has in the place of a class: by default one of the same name."""
    return _STAND_INS.get(class_name) or StandIn(class_name)
