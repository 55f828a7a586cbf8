"""The layers of a model as a tree, and where Keras 3 stores the variables of each.

::

    layers/dense/vars/0                              a Dense, the first of its container
    layers/dense_1/vars/0                            the second
    layers/functional/layers/conv2d/vars/0           a model in a model
    layers/lstm/cell/vars/0                          a layer in a layer, by its attribute
    layers/rnn/cell/cells/gru_cell/vars/0            a layer in a list, by its class again
    layers/bidirectional/backward_layer/cell/vars/0

The names of layers play no part: Keras 3 counts the layers of one class in each container, in its order.

Source: Keras 3 ``saving/saving_lib.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptfmt.keras.classes import classes
from ckptfmt.keras.description import is_description, is_model, layers_of, name_of
from ckptfmt.keras.layer_variables import INNER_CELLS, LayerVariable, variables_of
from ckptfmt.keras.translation import below

_PROJECTIONS = ("query_dense", "key_dense", "value_dense", "output_dense")
"""The layers in a MultiHeadAttention, in the order in which it makes them."""

INNER_LOOKUP = "/_lookup_layer"
"""The end of the path of the layer in a TextVectorization that has its vocabulary."""


@dataclass(eq=False)
class Layer:
    """A layer of a model, or the model itself."""

    class_name: str
    name: str
    config: dict[str, Any]
    path: str
    """Where Keras 3 stores it: ``layers/dense_1``; empty for the model."""
    edges: tuple[str, ...]
    """The edges to it from the layer that it is in, in the object graph of Keras 2."""
    where: str
    """Its path in a translation: names of models and its own, ``encoder/dense_1``; empty for the model."""
    is_trained: bool = True
    is_input: bool = False
    is_known: bool = True
    """Whether its class is one of Keras's own."""
    layers: list[Layer] = field(default_factory=list)
    """The layers in it, in the order in which Keras 2 makes them."""

    @property
    def is_model(self) -> bool:
        """Whether it is a Sequential or functional model."""
        return self.class_name in ("Sequential", "Functional")

    @property
    def variables(self) -> Sequence[LayerVariable]:
        """Its own variables, in the order of Keras 3."""
        return variables_of(self.class_name, self.config)

    def places(self) -> list[tuple[str, LayerVariable]]:
        """Return where Keras 3 stores each of its own variables."""
        return [
            (variable_path(self.path, at if each.key is None else each.key), each)
            for at, each in enumerate(self.variables)
        ]

    def walk(self) -> Iterator[Layer]:
        """Iterate over it and all layers in it."""
        yield self
        for each in self.layers:
            yield from each.walk()


def variable_path(layer: str, key: int | str) -> str:
    """Return where Keras 3 stores a variable of a layer."""
    return f"{layer}/vars/{key}" if layer else f"vars/{key}"


def structure(config: Mapping[str, Any]) -> Layer:
    """Return the layers of a model, from its configuration for Keras 3."""
    return _layer(config, "", (), "", is_trained=True)


def _layer(
    description: Mapping[str, Any], path: str, edges: tuple[str, ...], where: str, *, is_trained: bool
) -> Layer:
    config = description["config"] if isinstance(description["config"], dict) else {}
    class_name = str(description["class_name"])
    layer = Layer(
        *(class_name, name_of(description), config, path, edges, where),
        is_trained=is_trained and config.get("trainable", True) is not False,
        is_input=class_name == "InputLayer",
        is_known=class_name in classes("layers") or is_model(description) or class_name == "ConvLSTMCell",
    )
    layer.layers += _inner_layers(layer, description)
    return layer


def _inner_layers(layer: Layer, description: Mapping[str, Any]) -> Iterator[Layer]:
    config = layer.config
    if is_model(description):
        descriptions = layers_of(config, layer.where)
        paths = container_paths(below(layer.path, "layers"), (each["class_name"] for each in descriptions))
        # A Sequential model of Keras 2 does not count its input.
        start = sum(each["class_name"] == "InputLayer" for each in descriptions[:1])
        first = -start if layer.class_name == "Sequential" else 0
        for at, (each, path) in enumerate(zip(descriptions, paths, strict=True), first):
            yield _inner(layer, each, path, (f"layer-{at}",))
    elif layer.class_name in INNER_CELLS:
        # It has the arguments of the layer, so also those that say which variables there are.
        cell = {"class_name": INNER_CELLS[layer.class_name], "config": {**config, "name": "cell"}}
        yield _inner(layer, cell, f"{layer.path}/cell", ("cell",))
    elif layer.class_name == "Bidirectional":
        forward = config.get("layer")
        directions = {"forward_layer": forward, "backward_layer": config.get("backward_layer") or forward}
        for attribute, direction in directions.items():
            if is_description(direction):
                yield _inner(layer, direction, f"{layer.path}/{attribute}", (attribute,))
    elif layer.class_name == "MultiHeadAttention":
        for attribute in _PROJECTIONS:
            dense = {
                "class_name": "EinsumDense",
                "config": {"name": attribute, "bias_axes": config.get("use_bias", True)},
            }
            yield _inner(layer, dense, f"{layer.path}/{attribute}", (f"_{attribute}",))
    elif layer.class_name == "TextVectorization":
        lookup = {"class_name": "StringLookup", "config": {**config, "name": "lookup"}}
        yield _inner(layer, lookup, layer.path + INNER_LOOKUP, ("_lookup_layer",))
    else:
        yield from _attributes(layer)


def _attributes(layer: Layer) -> Iterator[Layer]:
    """Iterate over the layers that a configuration has as arguments."""
    for attribute in ("activation", "cell", "layer"):
        each = layer.config.get(attribute)
        if is_description(each) and (attribute != "activation" or each["class_name"] in classes("layers")):
            yield _inner(layer, each, f"{layer.path}/{attribute}", (attribute,))
    cells = layer.config.get("cells")
    if isinstance(cells, list):
        described = [each for each in cells if is_description(each)]
        paths = container_paths(f"{layer.path}/cells", (each["class_name"] for each in described))
        for at, (each, path) in enumerate(zip(described, paths, strict=True)):
            yield _inner(layer, each, path, ("cells", str(at)))


def _inner(layer: Layer, description: Mapping[str, Any], path: str, edges: tuple[str, ...]) -> Layer:
    where = below(layer.where, name_of(description) if layer.is_model else "/".join(edges))
    return _layer(description, path, edges, where, is_trained=layer.is_trained)


def container_paths(container: str, class_names: Iterable[str]) -> Iterator[str]:
    """Iterate over the paths of the layers in a container, which their classes determine."""
    counts: Counter[str] = Counter()
    for class_name in class_names:
        name = snake_case(class_name)
        yield f"{container}/{name}_{counts[name]}" if counts[name] else f"{container}/{name}"
        counts[name] += 1


def snake_case(class_name: str) -> str:
    """Return what Keras calls the first layer of a class."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
