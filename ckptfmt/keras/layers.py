"""One layer, from Keras 2 to Keras 3: its class, and each of its arguments.

An argument goes one of four ways. Keras 3 has it: its value is translated. Only Keras 2 has it, and the value
is the default: it is left out. The value matters to training or speed only: it is left out and noted. Else
the layer computes what Keras 3 cannot, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.keras.classes import KerasClass, classes
from ckptfmt.keras.description import Json, is_description
from ckptfmt.keras.translation import Work
from ckptfmt.keras.values import kind_of, translate_argument
from ckptfmt.text.quoting import shortened

_RENAMED_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
}
"""Classes of Keras 2 that have another name in Keras 3."""

_RENAMED_ARGUMENTS = {
    "InputLayer": {"batch_input_shape": "batch_shape"},
    "LeakyReLU": {"alpha": "negative_slope"},
}

_ADDED_ARGUMENTS: dict[str, dict[str, Any]] = {"SyncBatchNormalization": {"synchronized": True}}
"""Arguments of Keras 3 that stand for the class of Keras 2."""

_HARMLESS = frozenset(
    (
        *("batch_size", "input_dtype", "optional", "dynamic", "autocast", "experimental_autocast"),
        *("fused", "sparse", "unroll", "rng_type", "force_generator", "partitioner"),
        *("renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "trainable"),
        *("activity_regularizer", "robust_masking", "softmax_robust_masking"),
    )
)
"""Arguments that change no prediction: they say how a layer is built, made fast, or trained."""

_UNSAID = frozenset(
    (
        *("batch_input_shape", "input_shape", "input_length", "query_shape", "key_shape", "value_shape"),
        "implementation",
    )
)
"""Arguments that say for which inputs a layer was built, which Keras 3 learns when it is called, and in which
way an RNN computes the same."""

_LAYER_ARGUMENTS = frozenset(("layer", "backward_layer", "cell"))
"""Arguments that are layers; ``cells`` are several."""


def translate_layer(description: Mapping[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Translate a layer that is no model."""
    class_name: str = description["class_name"]
    config: dict[str, Any] = description["config"]
    new_name = _RENAMED_CLASSES.get(class_name, class_name)
    known = classes("layers").get(new_name)
    if known is None:
        work.refuse(path, class_name, "is not a class of Keras 3")
        return {**description}
    if new_name == "Lambda":
        work.refuse(path, class_name, "is code of Python, which nothing here runs")
        return {**description}
    renamed = _RENAMED_ARGUMENTS.get(new_name, {})
    arguments: dict[str, Any] = dict(_ADDED_ARGUMENTS.get(class_name, {}))
    for old, value in config.items():
        argument = renamed.get(old, old)
        if argument in known.arguments:
            arguments[argument] = _translate(argument, value, path, class_name, work)
        else:
            _leave_out(known, argument, value, path, class_name, work)
    _mend(new_name, arguments)
    return {"module": "keras.layers", "class_name": known.name, "config": arguments, "registered_name": None}


def _translate(argument: str, value: Json, path: str, class_name: str, work: Work) -> Json:
    if argument in _LAYER_ARGUMENTS and isinstance(value, list):
        # RNN takes a list of cells, which it stacks.
        argument = "cells"
    if argument == "cells" and isinstance(value, list):
        return [_inner(each, f"{path}/{at}", work) for at, each in enumerate(value)]
    if argument in _LAYER_ARGUMENTS:
        return _inner(value, path, work)
    return translate_argument(argument, value, path, class_name, work)


def _inner(value: Json, path: str, work: Work) -> Json:
    """Translate a layer in a layer."""
    if not is_description(value):
        return value
    config = value["config"]
    name = config.get("name") if isinstance(config, dict) else None
    return work.layer(value, f"{path}/{name}" if isinstance(name, str) else path)


def _leave_out(known: KerasClass, argument: str, value: Json, path: str, class_name: str, work: Work) -> None:
    """Leave out an argument that Keras 3 does not have; refuse the layer if it changes what it computes."""
    default = known.keras_2.get(argument)
    if argument in _UNSAID or value is None or value is False or value == default:
        return
    kind = kind_of(argument)
    if kind is not None and is_description(value) and isinstance(default, str):
        named = classes(kind).get(default)
        if named is not None and named.name == value["class_name"]:
            return
    if argument in _HARMLESS or kind is not None:
        work.drop(path, argument, value)
    elif not (argument == "groups" and value == 1):
        text = shortened(repr(value), 80)
        work.refuse(path, class_name, f"has the argument {argument}={text}, which Keras 3 does not have")


def _mend(class_name: str, arguments: dict[str, Any]) -> None:
    """Change values whose form Keras 3 does not take."""
    axis = arguments.get("axis")
    if class_name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        arguments["axis"] = axis[0]
