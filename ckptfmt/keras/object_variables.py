"""Variables of layers, found through the objects that TensorFlow saved.

A model of Keras 2 refers to its layers as ``layer-N``, in the order of ``model.layers``, and a layer refers
to its variables and the layers in it by its attributes, in SavedModels as in checkpoints of
``save_weights``. The keys of the checkpoint do not matter: they may lead through other objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ckptfmt.errors import UnsupportedError
from ckptfmt.keras.layer_variables import INNER_CELLS, RANKS
from ckptfmt.keras.placed import Placed, names_text
from ckptfmt.keras.structure import Layer, variable_path
from ckptfmt.keras.translation import below
from ckptfmt.object_graph.object_graph import ObjectGraph, ObjectNode
from ckptfmt.text.quoting import shortened

_LAYER = re.compile(r"layer-([0-9]{1,9})")

_MEMBER = re.compile(r"[0-9]{1,9}")

_VALUE = "VARIABLE_VALUE"

LISTS = frozenset(
    (
        *("variables", "trainable_variables", "non_trainable_variables", "regularization_losses"),
        *("keras_api", "optimizer", "_optimizer", "signatures", "loss", "metrics"),
    )
)
"""Edges to what Keras lists a second time, and to what is not part of a layer."""


GENERATORS = frozenset(("_random_generator", "_generator", "_state_var"))
"""Edges to generators of random numbers and to their states, which Keras 3 makes anew."""


def find_model(graph: ObjectGraph) -> ObjectNode | None:
    """Return the object that is a Keras model: the root, or its only child that has layers."""
    if numbered_layers(graph.root):
        return graph.root
    children = {node.id: node for name, node in graph.root.children.items() if name not in LISTS}
    models = [node for node in children.values() if numbered_layers(node)]
    return models[0] if len(models) == 1 else None


def numbered_layers(node: ObjectNode) -> dict[int, ObjectNode]:
    """Return the layers of a model by number; empty if the object is no model."""
    layers = {
        int(found[1]): child for name, child in node.children.items() if (found := _LAYER.fullmatch(name))
    }
    return dict(sorted(layers.items()))


def place_objects(model: Layer, node: ObjectNode) -> Placed:
    """Return where the variables of a model go, found through its objects."""
    placed = Placed()
    _place(model, node, placed)
    return placed


def _place(layer: Layer, node: ObjectNode, placed: Placed) -> None:
    placed.objects[layer.path] = node
    if not layer.is_known:
        _place_unknown(layer, node, placed)
        return
    for path, variable in layer.places():
        found = (_descend(node, name.split("/")) for name in variable.names)
        keys = (variable_key(each) for each in found if each is not None)
        key = next((key for key in keys if key is not None), None)
        if key is None:
            placed.miss(layer, names_text(variable.names))
        else:
            placed.tensors[path] = key
    for inner in layer.layers:
        if inner.is_input:
            continue
        child = _follow(node, inner, layer)
        if child is None:
            _miss_all(inner, placed)
        else:
            _place(inner, child, placed)


def _follow(node: ObjectNode, inner: Layer, layer: Layer) -> ObjectNode | None:
    """Return the object of a layer in a layer."""
    edges = inner.edges
    if layer.class_name == "Sequential" and _counts_input(node.children, layer):
        edges = (f"layer-{int(edges[0].removeprefix('layer-')) + 1}",)
    found = _descend(node, edges)
    # The layers of CuDNN, which become those of Keras's own, have no cell.
    return node if found is None and layer.class_name in INNER_CELLS else found


def _descend(node: ObjectNode, edges: Iterable[str]) -> ObjectNode | None:
    """Return the object that edges lead to one after the other; None if one is missing."""
    found: ObjectNode | None = node
    for edge in edges:
        found = None if found is None else found.children.get(edge)
    return found


def _counts_input(children: Mapping[str, ObjectNode], layer: Layer) -> bool:
    """Return whether the layers of a Sequential model are numbered from its input."""
    return layer.layers[0].is_input and f"layer-{len(layer.layers) - 1}" in children


def _miss_all(layer: Layer, placed: Placed) -> None:
    for each in layer.walk():
        for variable in each.variables:
            placed.miss(each, names_text(variable.names))


def variable_key(node: ObjectNode) -> str | None:
    """Return the key of the value of an object that is a variable."""
    for attribute in node.attributes:
        if attribute.name == _VALUE and attribute.keys:
            return attribute.keys[0]
    return None


# --- layers of classes that are not Keras's own -------------------------------------------------------------


def _place_unknown(layer: Layer, node: ObjectNode, placed: Placed) -> None:
    """Place the variables of a layer of any class: its own in the order of Keras 2, others by attribute.

    Variables of layers in lists and dictionaries are refused: classes are part of their paths, and objects do
    not say theirs.
    """
    waiting = [(node, layer.path, False)]
    met = {node.id}
    while waiting:
        at, path, is_in_list = waiting.pop()
        own = own_variables(at)
        if own and is_in_list:
            what = f"layer {shortened(layer.where)!r} of class {shortened(layer.class_name)!r}: "
            raise UnsupportedError(f"{what}it has layers in lists, whose classes are not stored")
        if own:
            placed.guessed.append(layer.where or layer.name)
        placed.tensors |= {variable_path(path, number): key for number, key in enumerate(own)}
        for name, child in at.children.items():
            if name not in LISTS and name not in GENERATORS and child.id not in met:
                met.add(child.id)
                waiting.append((child, below(path, name), is_in_list or name.isdecimal()))


def own_variables(node: ObjectNode) -> list[str]:
    """Return the keys of the variables that a layer has itself, in the order of Keras 2 if that is known.

    A SavedModel lists them. In a checkpoint, the names that Keras's own layers use tell, or else the order in
    which the layer was given them.
    """
    children = node.children
    own = {
        name: child
        for name, child in children.items()
        if name not in LISTS and name not in GENERATORS and variable_key(child) is not None
    }
    order = list({child.id: child for child in own.values()}.values())
    if "variables" in children:
        listed = [child.id for child in numbered(children["variables"])]
        places = {number: at for at, number in enumerate(listed)}
        order.sort(key=lambda child: places.get(child.id, len(places)))
    elif own.keys() <= RANKS.keys():
        order = [own[name] for name in sorted(own, key=lambda name: RANKS[name])]
    keys = (variable_key(child) for child in order)
    return list(dict.fromkeys(key for key in keys if key is not None))


def numbered(node: ObjectNode) -> list[ObjectNode]:
    """Return the members of a list, in their order."""
    members = {int(name): child for name, child in node.children.items() if _MEMBER.fullmatch(name)}
    return [members[number] for number in sorted(members)]
