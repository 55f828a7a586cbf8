"""Descriptions of Keras objects in JSON: a class, and the configuration from which its objects are made.

::

    {"class_name": "Dense", "config": {"name": "dense", "units": 3, …}}

They differ a little by where they are: a SavedModel marks tuples and shapes, and a ``.keras`` file names the
module of each class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.text.quoting import shortened

Config: TypeAlias = "Mapping[str, Any] | str | bytes"
"""A configuration as users have it: an object or JSON."""

Json: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"

MAX_VALUES = 10_000_000
"""Values of JSON in one description."""

_MODELS = ("Functional", "Model", "Sequential")
"""Classes of Keras 2 whose configurations list layers."""

_TUPLES = ("__tuple__", "TensorShape")
"""Classes by which a SavedModel tells tuples and shapes from lists."""

_MARKS = ("shared_object_id", "__passive_serialization__")
"""What a SavedModel notes about objects besides their configuration."""

_WHAT = "configuration of a model"


def parse_description(config: Mapping[str, Any] | str | bytes, limits: Limits) -> dict[str, Any]:
    """Return the description of a model, from JSON or an object, without the marks of a SavedModel."""
    value: object = config
    if isinstance(config, str | bytes):
        try:
            value = json.loads(config)
        except (ValueError, RecursionError) as error:
            raise CorruptError(f"{_WHAT}: not JSON: {error}") from error
    _check_size(value, limits)
    described: object = _plain(value)
    version = described.get("keras_version") if isinstance(described, dict) else None
    if isinstance(described, dict) and is_description(described.get("model_config")):
        described = described["model_config"]  # of a SavedModel, which may have no other, or TensorFlow.js
    if not is_description(described):
        raise CorruptError(f"{_WHAT}: got no object with class_name and config, want one")
    if isinstance(version, str) and version.startswith(("0.", "1.")):
        what = f"{_WHAT} of Keras {shortened(version, 20)}: load and save the model with Keras 2 first"
        raise UnsupportedError(what)
    return described


def _check_size(config: object, limits: Limits) -> None:
    """Bound what is later walked by recursion: how deep it is, and how many values it has."""
    waiting: list[tuple[object, int]] = [(config, 1)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, Mapping | list | tuple):
            limits.check_depth(f"{_WHAT}: JSON values in JSON values", depth)
            count += len(value)
            if count > MAX_VALUES:
                raise LimitError(f"{_WHAT}: values", limit=MAX_VALUES, asked=count)
            waiting += [
                (each, depth + 1) for each in (value.values() if isinstance(value, Mapping) else value)
            ]


def _plain(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("class_name") in _TUPLES and isinstance(value.get("items"), list | tuple):
        return [_plain(each) for each in value["items"]]
    if value.get("type") == "ndarray" and "value" in value:
        return _plain(value["value"])  # a number of NumPy, as Keras 2.1 wrote it
    plain = {str(key): _plain(each) for key, each in value.items() if key not in _MARKS}
    if plain.get("class_name") == "Sequential" and isinstance(plain.get("config"), list):
        # Until Keras 2.2.2, the configuration is the list of layers.
        plain["config"] = {"name": plain.get("name", "sequential"), "layers": plain["config"]}
    return plain


def is_description(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value describes an object."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def is_written_by_keras_3(description: Mapping[str, Any]) -> bool:
    """Return whether a description is of Keras 3, which describes inputs and calls in another way."""
    version = description.get("keras_version")
    if isinstance(version, str):
        return version.startswith("3.")
    waiting: list[Any] = [description]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            class_name, config = value.get("class_name"), value.get("config")
            if class_name in ("__keras_tensor__", "DTypePolicy"):
                return True
            if class_name == "InputLayer" and isinstance(config, dict) and "batch_shape" in config:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def is_model(description: Mapping[str, Any]) -> bool:
    """Return whether a description is that of a Sequential or functional model, of whatever class."""
    config = description["config"]
    lists_layers = isinstance(config, dict) and {"layers", "input_layers", "output_layers"} <= config.keys()
    return lists_layers or description["class_name"] in _MODELS


def name_of(description: Mapping[str, Any]) -> str:
    """Return the name of a layer."""
    for place in (description, description["config"]):
        name = place.get("name") if isinstance(place, dict) else None
        if isinstance(name, str):
            return name
    return str(description["class_name"]).lower()


def layers_of(config: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the descriptions of the layers of a model; CorruptError if they are something else."""
    layers = config.get("layers")
    who = f"model {shortened(path)!r}" if path else "the model"
    if not isinstance(layers, list):
        raise CorruptError(f"{who}: got no list of layers, want one")
    for each in layers:
        if not is_description(each) or not isinstance(each["config"], dict):
            raise CorruptError(f"{who}: got a layer without class_name and config, want both")
    return layers
