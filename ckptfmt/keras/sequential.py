"""Sequential models: layers in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ckptfmt.keras.description import is_description, is_model, layers_of, name_of
from ckptfmt.keras.names import without_slashes
from ckptfmt.keras.translation import Work, below


def translate_sequential(config: dict[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Translate a Sequential model. Its input, if the first layer says it, becomes a layer."""
    config = without_slashes(config, path, work)
    layers = layers_of(config, path)
    translated: list[dict[str, Any]] = []
    if layers and layers[0]["class_name"] != "InputLayer":
        translated += input_of(layers[0])
    for each in layers:
        translated.append(work.layer(each, below(path, name_of(each))))
    new: dict[str, Any] = {"name": config.get("name", "sequential"), "layers": translated}
    if not (translated and translated[0]["class_name"] == "InputLayer"):
        shape = config.get("build_input_shape")
        if isinstance(shape, list):
            new["build_input_shape"] = shape
    return {"module": "keras", "class_name": "Sequential", "config": new, "registered_name": None}


def input_of(first: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Iterate over the input layer that a first layer stands for; none if the model was never built."""
    name = name_of(first)
    while is_model(first) and "batch_input_shape" not in first["config"]:
        layers = first["config"].get("layers")
        if not isinstance(layers, list) or not layers or not is_description(layers[0]):
            return
        first = layers[0]
    config = first["config"]
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if isinstance(shape, list):
        dtype = config.get("dtype")
        yield {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {
                "batch_shape": shape,
                "dtype": dtype if isinstance(dtype, str) else "float32",
                "name": f"{name}_input",
            },
            "registered_name": None,
        }
