"""One layer, from Keras 2 to Keras 3: its class, and each of its arguments.

An argument goes one of four ways. Keras 3 has it: its value is translated. Only Keras 2 has it, and the value
is the default: it is left out. The value matters to training or speed only: it is left out and noted. Else
the layer computes what Keras 3 cannot, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ckptfmt.keras.adapted import note_adapted
from ckptfmt.keras.classes import KerasClass, classes
from ckptfmt.keras.description import Json, is_description
from ckptfmt.keras.hard_sigmoid import scale_weights, scaled_activation, uses_hard_sigmoid
from ckptfmt.keras.stand_ins import StandIn, stand_in
from ckptfmt.keras.translation import Work
from ckptfmt.keras.values import kind_of, translate_argument
from ckptfmt.keras.weight_changes import FromCudnn
from ckptfmt.text.quoting import shortened

_HARMLESS = frozenset(
    (
        *("batch_size", "input_dtype", "optional", "dynamic", "autocast", "experimental_autocast"),
        *("fused", "sparse", "unroll", "rng_type", "force_generator", "partitioner"),
        *("renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "trainable"),
        *("activity_regularizer", "robust_masking", "softmax_robust_masking"),
    )
)
"""Arguments that change no prediction: they say how a layer is built, made fast, or trained."""

_TRAINED_WITH = frozenset(("renorm", "renorm_clipping", "renorm_momentum"))
"""Arguments that Keras 3 has, but not always had, and that add variables which only training reads."""

_CHOSEN = {"rng_type": "stateful"}
"""What ``get_config`` says of an argument whose default, None, leaves the choice to Keras 2."""

_UNSAID = frozenset(
    (
        *("batch_input_shape", "input_shape", "input_length", "query_shape", "key_shape", "value_shape"),
        *("implementation", "vocabulary_size", "has_input_vocabulary"),
    )
)
"""Arguments that say for which inputs a layer was built, which Keras 3 learns when it is called, in which way
an RNN computes the same, and how long another argument is."""

_LAYER_ARGUMENTS = frozenset(("layer", "backward_layer", "cell", "cells"))
"""Arguments that are layers."""

_CUDNN_GATES = {"CuDNNLSTM": 4, "CuDNNGRU": 3}


def translate_layer(description: Mapping[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Translate a layer that is no model."""
    class_name: str = description["class_name"]
    new = stand_in(class_name)
    known = classes("layers").get(new.class_name)
    if known is None or known.name == "Lambda":
        reason = "is not a class of Keras 3" if path else "is code, and no list of layers that are connected"
        if known is not None:
            reason = "is code of Python, which nothing here runs"
        work.refuse(path, class_name, reason)
        return dict(description)
    if new.predicts_only:
        work.drop(path, "class_name", class_name)
    arguments = _translate_arguments(description["config"], new, known, path, work)
    note_adapted(known.name, arguments, path, work)
    if class_name in _CUDNN_GATES:
        work.changes.append(FromCudnn(path, _CUDNN_GATES[class_name]))
    if uses_hard_sigmoid(arguments):
        if known.name == "Activation":
            return scaled_activation(arguments)
        scale_weights(known.name, arguments, path, work)
    return {"module": "keras.layers", "class_name": known.name, "config": arguments, "registered_name": None}


def _translate_arguments(
    config: Mapping[str, Any], new: StandIn, known: KerasClass, path: str, work: Work
) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(new.added)
    start = len(work.changes)
    for old, value in config.items():
        argument = new.renamed.get(old, old)
        if argument in known.arguments and argument not in _TRAINED_WITH:
            arguments[argument] = _translate(known, argument, value, path, work)
        elif not new.predicts_only:
            _leave_out(known, argument, value, path, work)
    if known.name == "Bidirectional" and not is_description(config.get("backward_layer")):
        _copy_changes(path, work, start)
    _mend(known.name, arguments)
    return arguments


def _translate(known: KerasClass, argument: str, value: Json, path: str, work: Work) -> Json:
    if argument not in _LAYER_ARGUMENTS:
        return translate_argument(argument, value, path, known.name, work)
    # The path of a layer in a layer is that of the attribute that has it.
    attribute = "forward_layer" if known.name == "Bidirectional" and argument == "layer" else argument
    if argument == "cell" and isinstance(value, list):
        attribute = "cell/cells"  # RNN stacks a list of cells
    if isinstance(value, list):
        return [_inner(each, f"{path}/{attribute}/{at}", work) for at, each in enumerate(value)]
    return _inner(value, f"{path}/{attribute}", work)


def _inner(value: Json, path: str, work: Work) -> Json:
    """Translate a layer in a layer."""
    return work.layer(value, path) if is_description(value) else value


def _copy_changes(path: str, work: Work, start: int) -> None:
    """Change the weights of the layer that goes backward as those of the one that goes forward."""
    forward, backward = f"{path}/forward_layer", f"{path}/backward_layer"
    work.changes += [
        replace(each, layer=backward + each.layer[len(forward) :]) for each in work.changes[start:]
    ]


def _leave_out(known: KerasClass, argument: str, value: Json, path: str, work: Work) -> None:
    """Leave out an argument that Keras 3 does not have; refuse the layer if it changes what it computes."""
    default = known.keras_2.get(argument)
    if argument in _UNSAID or value is None or value is False or value == default:
        return
    if default is None and argument in _CHOSEN and value == _CHOSEN[argument]:
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
        work.refuse(path, known.name, f"has the argument {argument}={text}, which Keras 3 does not have")


def _mend(class_name: str, arguments: dict[str, Any]) -> None:
    """Change values whose form Keras 3 does not take."""
    axis = arguments.get("axis")
    if class_name == "Discretization" and arguments.get("output_mode", "int") == "int":
        # In Keras 3, inputs are cast to this dtype, which was that of the output.
        arguments["dtype"] = None
    if class_name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        arguments["axis"] = axis[0]
    activation = arguments.get("activation")
    if class_name == "Dense" and is_description(activation) and "build_config" not in activation:
        activation["build_config"] = {"input_shape": [None, arguments.get("units")]}
