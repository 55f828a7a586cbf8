"""Pictures of Keras models: their layers, and the tensors between them.

The configuration of a model says which layers it has, and how they are connected. The functions that compute
its outputs say the shapes of the tensors: a layer is a scope in the names of their nodes. Models with a class
of their own have no such configuration; then the functions also say how the layers are connected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.signature import DEFAULT_SIGNATURE
from ckptfmt.graph.outputs import PLACEHOLDERS
from ckptfmt.pictures.keras_config import ConfiguredLayer, configured_layers, decode_shape
from ckptfmt.pictures.picture import Box, Picture, Sketch, type_text
from ckptfmt.pictures.trace import Traced, trace
from ckptfmt.saved_model.keras_layers import KerasLayer
from ckptfmt.saved_model.saved_model import SavedModel

_ROOT = "root"
"""The path of the model itself."""

_MAX_PARTS = 100
"""Parts of a path that are looked at."""

_MAX_READABLE = 2_000
"""Arrows of a picture that has nodes between layers."""


class Layers(NamedTuple):
    """A picture of the layers of a model."""

    picture: Picture
    is_described: bool
    """Whether the model describes its layers; if not, they are the scopes of nodes."""


def draw_layers(model: SavedModel) -> Layers | None:
    """Return a picture of the layers of a model of TensorFlow 2; None if no layers are found.

    Raises CorruptError if a description of a layer is not JSON.
    """
    if not model.meta_graph.message.object_graph_def.nodes:
        return None  # a model of TensorFlow 1
    graph = model.meta_graph.graph
    # Several signatures often are one function under several names.
    default = model.meta_graph.signatures.nodes(DEFAULT_SIGNATURE)
    outputs = sorted(default) or [node.name for node in graph.outputs]
    picture = _draw_described(model.keras_layers, graph, outputs)
    if picture is not None:
        return Layers(picture, True)
    traced = trace(graph, outputs, None)
    picture = _draw_traced(traced, {})
    return None if picture is None else Layers(picture, False)


def _draw_described(layers: Iterable[KerasLayer], graph: Graph, outputs: list[str]) -> Picture | None:
    """Return a picture of the layers that Keras describes; None if it describes none."""
    described = {layer.path: layer for layer in layers}
    root = described.get(_ROOT)
    if root is None:
        return None
    own = {_name_of(layer): layer for layer in _outermost(described)}
    configured = configured_layers(root.config)
    if configured:
        traced = trace(graph, outputs, {layer.name for layer in configured})
        return _draw_configured(configured, traced, own)
    return _draw_traced(trace(graph, outputs, set(own)), own) if own else None


def _outermost(described: Mapping[str, KerasLayer]) -> Iterator[KerasLayer]:
    """Iterate over the layers of a model that are not parts of other layers."""
    for path, layer in described.items():
        parts = path.split(".")
        above = (".".join(parts[:length]) for length in range(2, min(len(parts), _MAX_PARTS)))
        is_layer = "metric" not in layer.identifier and "optimizer" not in layer.identifier
        if (
            path != _ROOT
            and is_layer
            and "keras_api" not in parts
            and not any(map(described.__contains__, above))
        ):
            yield layer


def _name_of(layer: KerasLayer) -> str:
    for name in (layer.metadata.get("name"), (layer.config or {}).get("name")):
        if isinstance(name, str):
            return name
    return layer.path.rpartition(".")[2]


# --- from the configuration ------------------------------------------------------------------------------


def _draw_configured(layers: list[ConfiguredLayer], traced: Traced, own: Mapping[str, KerasLayer]) -> Picture:
    sketch = Sketch()
    by_name = {layer.name: layer for layer in layers}
    taken = {source for layer in layers for source in layer.sources}
    for layer in by_name.values():
        lines = [layer.name, layer.class_name]
        if layer.layers:
            lines.append(f"{layer.layers:,} layers")
        is_input = layer.class_name == "InputLayer"
        kind = type_text(layer.dtype, layer.shape) if is_input else ""
        if layer.name not in taken:
            kind = kind or traced.leaving.get(layer.name, "")
        sketch.add_box(
            layer.name, Box((*lines, *filter(None, [kind])), "argument" if is_input else "layer", None)
        )
    for layer in by_name.values():
        for name in layer.sources:
            source = by_name[name]
            label = traced.between.get((name, layer.name)) or traced.leaving.get(name)
            if not label and source.class_name == "InputLayer":
                label = type_text(source.dtype, source.shape)
            if not label and len(layer.sources) == 1 and layer.name in own:
                label = type_text("", decode_shape(own[layer.name].metadata.get("build_input_shape")))
            sketch.add_arrow(name, layer.name, "data", label or "")
    return sketch.picture(upward=False)


# --- from the functions ----------------------------------------------------------------------------------


def _draw_traced(traced: Traced, own: Mapping[str, KerasLayer]) -> Picture | None:
    """Return a picture of layers and the nodes between them.

    Returns None if no node is in a layer, or if that is more than people can read.
    """
    has_layers = any(isinstance(key, str) for pair in traced.between for key in pair)
    if not has_layers or len(traced.between) > _MAX_READABLE:
        return None
    sketch = Sketch()
    taken = {source for source, _ in traced.between}
    for key in dict.fromkeys(key for pair in traced.between for key in pair):
        if key in traced.nodes:
            node = traced.nodes[key]
            is_input = node.op in PLACEHOLDERS
            kind = traced.leaving.get(key, "") if is_input or key not in taken else ""
            lines = (node.name, "input" if is_input else node.op, kind)
            sketch.add_box(key, Box(tuple(filter(None, lines)), "argument" if is_input else "node", None))
        else:
            kind = "" if key in taken else traced.leaving.get(key, "")
            layer = own.get(str(key))
            lines = (str(key), (layer.class_name if layer else None) or "", kind)
            sketch.add_box(key, Box(tuple(filter(None, lines)), "layer", None))
    for (source, target), label in traced.between.items():
        sketch.add_arrow(source, target, "data", label)
    return sketch.picture(upward=False)
