"""The values of arguments: dtype policies, initializers and their kind, activations."""

from __future__ import annotations

from ckptfmt.keras.classes import activations, classes
from ckptfmt.keras.description import Json, is_description
from ckptfmt.keras.translation import Work

_KIND_OF_ENDING = {
    "_initializer": "initializers",
    "_regularizer": "regularizers",
    "_constraint": "constraints",
}
"""What an argument holds whose name ends like this."""


def kind_of(argument: str) -> str | None:
    """Return what an argument holds, such as ``initializers``; None if it is nothing of that kind."""
    return next((kind for ending, kind in _KIND_OF_ENDING.items() if argument.endswith(ending)), None)


def dtype_policy(value: Json) -> Json:
    """Return a dtype or a policy of Keras 2 as the name of a policy; None for that of the input."""
    if isinstance(value, dict):
        config = value.get("config")
        value = config.get("name") if isinstance(config, dict) else None
    # Keras 2 infers it from the input, which Keras 3 does not.
    return None if value in ("infer", "_infer") else value


def translate_object(kind: str, value: Json, path: str, argument: str, work: Work) -> Json:
    """Translate an initializer, a regularizer or a constraint.

    They matter when weights are made or trained, so that one of a class of the author's own is left out.
    """
    if value is None or (isinstance(value, str) and value in classes(kind)):
        return value
    known = classes(kind).get(value["class_name"]) if is_description(value) else None
    if known is None or not is_description(value):
        work.drop(path, argument, value)
        return None
    config = value["config"] if isinstance(value["config"], dict) else {}
    return {
        "module": f"keras.{kind}",
        "class_name": known.name,
        "config": {key: each for key, each in config.items() if key in known.arguments},
        "registered_name": None,
    }


def translate_activation(value: Json, path: str, class_name: str, work: Work) -> Json:
    """Translate an activation: the name of a function, a function, or a layer."""
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if value is None or (isinstance(value, str) and value in activations()):
        return value
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        activation = work.layer(value, f"{path}/activation")
        if isinstance(value.get("build_config"), dict):
            # Keras 3 does not build the layer for an activation when it builds the layer that has it.
            activation["build_config"] = value["build_config"]
        return activation
    name = value if isinstance(value, str) else type(value).__name__
    work.refuse(path, class_name, f"has the activation {name!r}, which Keras 3 does not have")
    return value


def translate_argument(argument: str, value: Json, path: str, class_name: str, work: Work) -> Json:
    """Translate the value of an argument that Keras 2 and Keras 3 have."""
    kind = kind_of(argument)
    if kind is not None:
        return translate_object(kind, value, path, argument, work)
    if argument.endswith("activation"):
        return translate_activation(value, path, class_name, work)
    if argument == "dtype":
        return dtype_policy(value)
    return value
