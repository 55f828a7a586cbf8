"""Functional models: layers, and the calls that connect them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ckptfmt.errors import CorruptError
from ckptfmt.keras.description import Json, is_description, is_model, layers_of, name_of
from ckptfmt.keras.masks import check_masks
from ckptfmt.keras.names import without_slashes
from ckptfmt.keras.nodes import Argument, Call, Tensor, decode_argument, decode_call, encode_call, tensors
from ckptfmt.keras.operations import calls_function, simplified, translate_operation, unused_operation
from ckptfmt.keras.sequential import input_of
from ckptfmt.keras.translation import Work, below
from ckptfmt.text.quoting import shortened

_RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")
"""Layers that take their initial states after the input, in one list."""


def translate_functional(config: dict[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Translate a functional model.

    Its layers keep their order, by which object graphs number them; operations that are added come last.
    """
    config = without_slashes(config, path, work)
    layers = {name_of(each): each for each in layers_of(config, path)}
    calls = {
        name: [simplified(each, decode_call(node, layers)) for node in _nodes_of(each)]
        for name, each in layers.items()
    }
    inputs, outputs = (_ends(config.get(key), layers) for key in ("input_layers", "output_layers"))
    used = _used_calls(calls, outputs)
    offsets = {name: _offset(each, len(calls[name]), used) for name, each in layers.items()}
    check_masks(layers, calls, offsets, path, work)
    translated: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    needed = _needed(calls, outputs)
    for name, each in layers.items():
        if calls_function(each):
            if name in needed:
                made = _operations(each, name, calls[name], offsets, below(path, name), work)
                added += made[:-1]
                translated += made[-1:]
            else:
                translated.append(unused_operation(name))
            continue
        layer = work.layer(each, below(path, name))
        layer["name"] = name
        layer["inbound_nodes"] = [_translate_call(call, layer["class_name"], offsets) for call in calls[name]]
        translated.append(layer)
    # For inputs and outputs, Keras 3 counts the making of an inner functional model, as Keras 2 does.
    shifts = {name: offsets[name] if layers[name]["class_name"] == "Sequential" else 0 for name in layers}
    new = {
        "name": config.get("name", "model"),
        "trainable": config.get("trainable", True),
        "layers": translated + added,
        "input_layers": _encode_ends(inputs, shifts),
        "output_layers": _encode_ends(outputs, shifts),
    }
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": new,
        "registered_name": "Functional",
    }


def _nodes_of(description: Mapping[str, Any]) -> list[Any]:
    nodes = description.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        who = f"layer {shortened(name_of(description))!r}"
        raise CorruptError(f"{who}: got {type(nodes).__name__} as inbound_nodes, want a list")
    return nodes


def _operations(
    description: Mapping[str, Any],
    name: str,
    calls: Sequence[Call],
    offsets: Mapping[str, int],
    path: str,
    work: Work,
) -> list[dict[str, Any]]:
    """Return the operations for a layer that calls a function of TensorFlow."""
    if len(calls) != 1:
        work.refuse(path, description["class_name"], f"is called {len(calls)} times, want one")
        return []
    made = translate_operation(description, name, calls[0], path, offsets, work)
    return [{**layer, "inbound_nodes": [encode_call(args, {}, offsets)]} for layer, args in made]


def _ends(value: Json, layers: Mapping[str, Any]) -> Argument:
    """Return the inputs or outputs of a model."""
    ends = decode_argument(value, layers)
    # Keras 2 makes a list of a single tensor; Keras 3 takes it for a list.
    if isinstance(ends, list) and len(ends) == 1:
        ends = ends[0]
    if not _is_structure(ends):
        got = shortened(repr(value), 80)
        raise CorruptError(f"inputs and outputs of a model: got {got}, want outputs of its layers")
    return ends


def _is_structure(ends: Argument) -> bool:
    """Return whether there are tensors and nothing else in lists and dictionaries."""
    if isinstance(ends, dict):
        return all(map(_is_structure, ends.values()))
    return isinstance(ends, Tensor) or (isinstance(ends, list) and all(map(_is_structure, ends)))


def _needed(calls: Mapping[str, Sequence[Call]], outputs: Argument) -> set[str]:
    """Return the names of the layers from which the outputs are computed."""
    waiting = [each.layer for each in tensors(outputs)]
    needed = set(waiting)
    while waiting:
        for call in calls[waiting.pop()]:
            taken = {each.layer for argument in (call.first, call.others) for each in tensors(argument)}
            waiting += taken - needed
            needed |= taken
    return needed


def _used_calls(calls: Mapping[str, Sequence[Call]], outputs: Argument) -> dict[str, Counter[int]]:
    """Return which calls of each layer have outputs that are used."""
    used: dict[str, Counter[int]] = {}
    arguments = [each for made in calls.values() for call in made for each in (call.first, call.others)]
    for argument in (*arguments, outputs):
        for tensor in tensors(argument):
            used.setdefault(tensor.layer, Counter())[tensor.call] += 1
    return used


def _offset(description: Mapping[str, Any], count: int, used: Mapping[str, Counter[int]]) -> int:
    """Return the number that the first call of a layer has: 1 for a model that was made with its input."""
    if not is_model(description):
        return 0
    numbers = used.get(name_of(description), Counter())
    if numbers and max(numbers) >= count:
        return 1
    if 0 in numbers:
        return 0
    if description["class_name"] != "Sequential":
        return 1
    layers = description["config"].get("layers")
    first = layers[0] if isinstance(layers, list) and layers else None
    return int(is_description(first) and (first["class_name"] == "InputLayer" or any(input_of(first))))


def _encode_ends(value: Argument, shifts: Mapping[str, int]) -> Json:
    if isinstance(value, Tensor):
        return [value.layer, value.call - shifts[value.layer], value.output]
    if isinstance(value, dict):
        return {key: _encode_ends(each, shifts) for key, each in value.items()}
    return [_encode_ends(each, shifts) for each in value] if isinstance(value, list) else value


def _translate_call(call: Call, class_name: str, offsets: Mapping[str, int]) -> dict[str, Any]:
    first, others = call.first, {key: value for key, value in call.others.items() if value is not None}
    if class_name in _RECURRENT and isinstance(first, list) and first and "initial_state" not in others:
        first, *states = first
        others["initial_state"] = states
    return encode_call([first], others, offsets)
