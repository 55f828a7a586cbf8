"""Variables of a model whose configuration is not known, placed by their objects and names.

A checkpoint does not say the classes of layers, and Keras 3 makes them part of the paths. But Keras names a
layer after its class unless the user does, and variables after layers: ``dense_1/kernel`` is of a Dense. A
layer in a layer is stored by its attribute, so its class does not matter, unless it is in a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.classes import classes
from ckptfmt.keras.layer_variables import INNER_CELLS, RANKS
from ckptfmt.keras.object_variables import GENERATORS, LISTS, numbered, numbered_layers, variable_key
from ckptfmt.keras.placed import Placed
from ckptfmt.keras.structure import container_paths, snake_case, variable_path
from ckptfmt.keras.translation import below
from ckptfmt.limits import Limits
from ckptfmt.object_graph.object_graph import ObjectNode
from ckptfmt.text.quoting import listed, shortened

NOTE = "classes of layers are inferred from their names: pass config= if names tell other classes"
"""What the user should know about a model that was placed so."""

_NUMBER = re.compile(r"_\d+\Z")

_INNER = {
    "cell": "RNN",
    "layer": "TimeDistributed",
    "forward_layer": "Bidirectional",
    "_query_dense": "MultiHeadAttention",
    # The variables of this layer are named without it.
    "variance": "Normalization",
    "adapt_variance": "Normalization",
}
"""Attributes that only layers of one class have, in this order of precedence."""

_PROJECTION = re.compile(r"_((?:query|key|value|output)_dense)\Z")

_FOLLOWED = re.compile(
    r"cell|layer|forward_layer|backward_layer|activation|_(?:query|key|value|output)_dense"
)
"""Attributes by which layers refer to the layers in them."""


_NOT_KEPT = GENERATORS | {"summary", "num_documents"}
"""Attributes of layers that are variables which Keras 3 does not have, or makes itself."""


def place_inferred(model: ObjectNode, file: str, limits: Limits) -> Placed:
    """Return where the variables of a model go.

    Raises UnsupportedError if a class cannot be told, or a variable is in an unknown place; the message names
    them.
    """
    work = _Inference(file, limits)
    work.place_model(model, "")
    unknown = [*dict.fromkeys(work.unknown), *_unplaced(model, set(work.placed.tensors.values()))]
    if unknown:
        raise UnsupportedError(
            f"classes of layers are not stored, and names do not tell those of {listed(unknown, 20)}: "
            "pass the configuration of the model as config=",
            file=file,
        )
    return work.placed


def _unplaced(model: ObjectNode, placed: set[str]) -> list[str]:
    """Return the names of variables of layers that have no place."""
    waiting, met = [model], {model.id}
    names = []
    while waiting:
        for name, child in waiting.pop().children.items():
            if child.id in met or name in LISTS:
                continue
            met.add(child.id)
            waiting.append(child)
            key = variable_key(child)
            if key is not None and key not in placed and name not in _NOT_KEPT:
                names.append(shortened(child.full_name or key))
    return names


class _Inference:
    """A model being placed."""

    def __init__(self, file: str, limits: Limits) -> None:
        self.file, self.limits = file, limits
        self.placed = Placed()
        self.unknown: list[str] = []
        """What is known of layers whose classes are not."""

    def place_model(self, node: ObjectNode, path: str) -> None:
        """Place the variables of a model."""
        layers = [child for child in numbered_layers(node).values() if _has_variables(child)]
        self._place_container(layers, below(path, "layers"))

    def _place_container(self, layers: Sequence[ObjectNode], container: str) -> None:
        self.limits.check_depth("layers in layers", container.count("/"), file=self.file)
        names = [self._class_name(child) for child in layers]
        for child, path in zip(layers, container_paths(container, names), strict=True):
            if numbered_layers(child):
                self.place_model(child, path)
            else:
                self._place_layer(child, path)

    def _class_name(self, node: ObjectNode) -> str:
        children = node.children
        layers = numbered_layers(node)
        if layers:
            if 0 in layers and _has_variables(layers[0]):
                return "Sequential"  # the first layer of a functional model is its input
            self.unknown.append("a model in the model")
            return ""
        full_name = next(_full_names(node), "")
        name = full_name.split("/")[0]
        by_name = _default_names().get(_NUMBER.sub("", name))
        for attribute, class_name in _INNER.items():
            if attribute in children and _has_variables(children[attribute]):
                is_cell = attribute == "cell" and by_name in INNER_CELLS
                return by_name if is_cell and by_name is not None else class_name
        if by_name is None:
            self.unknown.append(shortened(name or full_name))
            return ""
        return by_name

    def _place_layer(self, node: ObjectNode, path: str) -> None:
        self.limits.check_depth("layers in layers", path.count("/"), file=self.file)
        children = node.children
        own = {name: key for name, child in children.items() if (key := variable_key(child)) is not None}
        stored = sorted((name for name in own if name in RANKS), key=lambda name: RANKS[name])
        # Of a variable with two names, the first is the one that was adapted.
        keys = list(dict.fromkeys(own[name] for name in stored))
        self.placed.tensors |= {variable_path(path, at): key for at, key in enumerate(keys)}
        for name, child in children.items():
            if not _FOLLOWED.fullmatch(name) or not _has_variables(child):
                continue
            if name == "layer" and "forward_layer" in children:
                continue  # what both directions of a Bidirectional were made from
            inner = below(path, _PROJECTION.sub(r"\1", name))
            if numbered_layers(child):
                self.place_model(child, inner)
            else:
                self._place_layer(child, inner)
        if "cells" in children:
            self._place_cells(children["cells"], below(path, "cells"))

    def _place_cells(self, node: ObjectNode, container: str) -> None:
        cells = numbered(node)
        names = []
        for cell in cells:
            parts = next(_full_names(cell), "").split("/")
            name = _NUMBER.sub("", parts[-2]) if len(parts) > 1 else ""
            class_name = _default_names().get(name)
            if class_name is None:
                self.unknown.append(shortened("/".join(parts)))
            names.append(class_name or "")
        for cell, path in zip(cells, container_paths(container, names), strict=True):
            self._place_layer(cell, path)


def _default_names() -> dict[str, str]:
    """Return the classes of layers by the names that Keras gives to the first layer of each."""
    return {snake_case(name): name for name in classes("layers")}


def _full_names(node: ObjectNode) -> Iterator[str]:
    """Iterate over the names of the variables below an object."""
    for each in _below(node):
        if each.full_name:
            yield each.full_name


def _has_variables(node: ObjectNode) -> bool:
    return any(variable_key(each) is not None for each in _below(node))


def _below(node: ObjectNode) -> Iterator[ObjectNode]:
    """Iterate over the objects that belong to a layer or a model."""
    waiting, met = [node], {node.id}
    while waiting:
        at = waiting.pop()
        yield at
        for name, child in at.children.items():
            belongs = name in RANKS or name == "cells" or name.isdecimal() or name.startswith("layer-")
            if (belongs or _FOLLOWED.fullmatch(name)) and child.id not in met:
                met.add(child.id)
                waiting.append(child)
