"""Names of layers with a slash in them, which Keras 3 does not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptfmt.keras.description import layers_of, name_of
from ckptfmt.keras.translation import Work, below


def without_slashes(config: dict[str, Any], path: str, work: Work) -> dict[str, Any]:
    """Return the configuration of a model whose layers have underscores instead of slashes in their names."""
    layers = layers_of(config, path)
    names = [name_of(each) for each in layers]
    taken = set(names)
    new: dict[str, str] = {}
    for name in names:
        if "/" in name and name not in new:
            new[name] = name.replace("/", "_")
            while new[name] in taken:
                new[name] += "_"
            taken.add(new[name])
            work.renamed[below(path, new[name])] = name
    if not new:
        return config
    changed = {**config, "layers": [_renamed_layer(each, new) for each in layers]}
    for key in ("input_layers", "output_layers"):
        if key in config:
            changed[key] = _renamed(config[key], new)
    return changed


def _renamed_layer(description: dict[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    name = name_of(description)
    changed = dict(description)
    if name in new:
        changed["name"] = new[name]
        changed["config"] = {**description["config"], "name": new[name]}
    if "inbound_nodes" in description:
        changed["inbound_nodes"] = _renamed(description["inbound_nodes"], new)
    return changed


def _renamed(value: Any, new: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return the calls of a layer, or the ends of a model, with other names of layers."""
    if isinstance(value, dict):
        return {key: _renamed(each, new) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) in (3, 4) and isinstance(value[0], str) and type(value[1]) is int:
        return [new.get(value[0], value[0]), *(_renamed(each, new) for each in value[1:])]
    return [_renamed(each, new) for each in value]
