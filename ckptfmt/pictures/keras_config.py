"""What the configuration of a Keras model says: its layers, and which takes what from which.

A Sequential model lists its layers in order. A functional one has for each layer its inbound nodes: the calls
of the layer, each with the tensors that it takes. The form of these differs from version to version, but a
tensor is ``[LAYER, CALL, OUTPUT, …]`` in all of them, in Keras 3 within an object as ``keras_history``.

Source: Keras ``engine/functional.py: get_network_config``, ``src/models/functional.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ckptfmt.graph.attributes import PartialShape

MAX_LAYERS = 100_000
"""More layers are not looked at."""


class ConfiguredLayer(NamedTuple):
    """A layer of a model, as the configuration of the model has it."""

    name: str
    class_name: str
    """Name of its class; that of the function that a layer of one operation calls."""
    sources: tuple[str, ...]
    """The layers that it takes tensors from, once for each tensor."""
    shape: PartialShape
    """The shape of its input; None if the configuration does not say it."""
    dtype: str
    """The dtype of the layer; empty if the configuration does not say it."""
    layers: int
    """The number of its own layers, if it is a model, else 0."""


def configured_layers(config: Mapping[str, Any] | None) -> list[ConfiguredLayer]:
    """Return the layers of a model in order; none if its class has a configuration of its own."""
    stored = config.get("layers") if config is not None else None
    if not isinstance(stored, list):
        return []
    described = [each for each in stored[:MAX_LAYERS] if isinstance(each, dict)]
    names = {_name(each) for each in described}
    is_sequential = not any("inbound_nodes" in each for each in described)
    layers: list[ConfiguredLayer] = []
    for each in described:
        inner = each.get("config")
        inner = inner if isinstance(inner, dict) else {}
        sources: tuple[str, ...]
        if is_sequential:
            sources = (layers[-1].name,) if layers else ()
        else:
            sources = tuple(_sources(each.get("inbound_nodes"), names))
        shape = inner.get("batch_input_shape", inner.get("batch_shape"))
        dtype, own = inner.get("dtype"), inner.get("layers")
        layers.append(
            ConfiguredLayer(
                _name(each),
                _class_name(each, inner),
                sources,
                decode_shape(shape),
                dtype if isinstance(dtype, str) else "",
                len(own) if isinstance(own, list) else 0,
            )
        )
    if is_sequential and layers and layers[0].class_name != "InputLayer":
        first = layers[0]
        name = next(name for name in _free_names("input") if name not in names)
        layers[0] = first._replace(sources=(name,))
        layers.insert(0, ConfiguredLayer(name, "InputLayer", (), first.shape, first.dtype, 0))
    return layers


def _free_names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in range(1, MAX_LAYERS + 2))


def _name(layer: Mapping[str, Any]) -> str:
    config = layer.get("config")
    for name in (layer.get("name"), config.get("name") if isinstance(config, dict) else None):
        if isinstance(name, str):
            return name
    return _text(layer.get("class_name"))


def _class_name(layer: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    name, function = _text(layer.get("class_name")), config.get("function")
    # Each operation of TensorFlow that a functional model calls is a layer of one class.
    return f"{name} {function}" if name == "TFOpLambda" and isinstance(function, str) else name


def _text(value: object) -> str:
    return value if isinstance(value, str) else "?"


def _sources(inbound: object, names: set[str]) -> Iterator[str]:
    """Iterate over the layers of the tensors within the inbound nodes of a layer, in order."""
    waiting = [inbound]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(list(value.values()))
        elif isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and value[0] in names and type(value[1]) is int:
                yield value[0]
                waiting += reversed(value[3:])  # keyword arguments may have tensors too
            else:
                waiting += reversed(value)


def decode_shape(value: object) -> PartialShape:
    """Return the shape in the JSON of Keras: a list, or a tuple or TensorShape with its class; else None."""
    if isinstance(value, dict):
        value = value.get("items")
    if not isinstance(value, list) or not all(size is None or type(size) is int for size in value):
        return None
    return tuple(value)
