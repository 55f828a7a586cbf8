"""The layers of a Keras 2 model, as data: its SavedModel describes each in JSON.

::

    TensorFlow 1.15 to 2.4     SavedUserObject.metadata of each Keras object in the model's graph of objects
    TensorFlow 2.5 and later   keras_metadata.pb, beside saved_model.pb; only model.save writes it

Without descriptions, as ``tf.saved_model.save`` writes models since TensorFlow 2.5, the objects are still
marked. Keras 3 neither marks nor describes them.

Source: Keras 2 ``saving/legacy/saved_model/save.py``, TensorFlow 2.4 ``python/keras/saving/saved_model``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError, CorruptError
from ckptfmt.graph.meta.variables import Source
from ckptfmt.limits import Limits
from ckptfmt.notebook.card import Card, Fact, Table, Text
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.saved_model.keras_objects import KerasObjects
from ckptfmt.saved_model.variables import ModelVariables, ObjectVariable
from ckptfmt.tensors.checkpoint import Checkpoint
from ckptfmt.text.printing import shape_text
from ckptfmt.text.quoting import shortened

KERAS_METADATA_FILE = "keras_metadata.pb"
"""The file in the directory of a SavedModel in which Keras 2 describes the layers."""

_MARK = "_tf_keras_"
"""How the identifiers of Keras objects begin."""

_JSON_RATIO = 32
"""The most bytes of memory for each byte of JSON: ``[[],[]`` takes 64 bytes for each three."""

_BYTES_PER_LAYER = 1000
"""Memory for a layer besides its description."""

_TOKENS = re.compile(r'\\.|["\[\]{}]')
"""What tells brackets of JSON from those in its strings."""

_SHOWN_LENGTH = 100
"""Characters of a name in the text of a layer."""


@dataclass(frozen=True, eq=False, repr=False)
class KerasLayer:
    """A model, layer or metric, as Keras 2 describes it."""

    node: int
    """Number of its object."""
    path: str
    """Path from the model, such as ``root.layer-0``; unique, unlike the name."""
    identifier: str
    """The kind of Keras object, such as ``_tf_keras_layer``."""
    name: str
    """Its name, such as ``dense_1``."""
    class_name: str | None
    """Name of its class, None if it is not given."""
    config: Mapping[str, Any] | None
    """The result of ``get_config``, None if it is not given."""
    metadata: Mapping[str, Any]
    """The whole description; empty if there is none."""
    _objects: KerasObjects = field(repr=False)
    _checkpoint: Callable[[], Checkpoint | CheckpointNotFoundError] = field(repr=False)
    _file: str = field(repr=False)

    def _card(self) -> Card:
        config = Text("config", lambda: json.dumps(self.config, indent=1, ensure_ascii=False))
        facts: list[tuple[str, Fact]] = [
            *(("name", self.name), ("class", self.class_name), ("kind", self.identifier)),
            ("parameters", lambda: self.parameters or None),
        ]
        weights = Table(
            "Weights",
            ("name", "dtype", "shape", "trainable"),
            lambda: self.object_variables.items(),
            lambda item: (
                *(item[0], item[1].dtype.name, shape_text(item[1].shape)),
                "yes" if item[1].trainable else "no",
            ),
            is_open=True,
        )
        return Card("KerasLayer", self.path, facts, [weights, *([] if self.config is None else [config])])

    def _repr_html_(self) -> str:
        return to_html(self._card)

    @property
    def weights(self) -> ModelVariables:
        """Its weights in the order of Keras, read on access: ``kernel``, ``bias``.

        The names are relative to the layer; those of its sublayers begin with the name of the sublayer, as in
        ``lstm_cell/kernel``. If the checkpoint does not have a weight, it is not among them.

        Raises CorruptError if the model does not have the layer's object.
        """
        opened = self._checkpoint()
        is_open = isinstance(opened, Checkpoint)
        sources = {
            name: Source(variable.key if variable.key is not None else variable.name, None)
            for name, variable in self.object_variables.items()
            if variable.key is not None or not is_open
        }
        return ModelVariables(sources, opened if is_open else copy(opened), self._file)

    @property
    def object_variables(self) -> Mapping[str, ObjectVariable]:
        """What the model says of its weights, by the same names: dtype, shape, key, whether to train them."""
        return self._objects.weights(self.node)

    @property
    def parameters(self) -> int | None:
        """How many numbers its weights have; None if the model does not give all of their shapes."""
        total = 0
        for variable in self.object_variables.values():
            sizes = [] if variable.shape is None else [size for size in variable.shape if size is not None]
            if variable.shape is None or len(sizes) < len(variable.shape):
                return None
            total += prod(sizes)
        return total

    def __repr__(self) -> str:
        name = repr(shortened(self.name, _SHOWN_LENGTH))
        # Escaped, so that it stays on one line.
        kind = "" if self.class_name is None else " " + repr(shortened(self.class_name, _SHOWN_LENGTH))[1:-1]
        try:
            count, parameters = len(self.weights), self.parameters
        except (CkptfmtError, ValueError):  # damaged, or closed
            return f"<KerasLayer {name}{kind}>"
        if not count:
            return f"<KerasLayer {name}{kind}, no weights>"
        known = "" if parameters is None else f", {_count(parameters, 'parameter')}"
        return f"<KerasLayer {name}{kind}, {_count(count, 'weight')}{known}>"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Description(NamedTuple):
    """What Keras says of an object."""

    node: int
    path: str
    identifier: str
    text: str
    """JSON, empty if there is none."""


def decode_descriptions(data: bytes, file: str, limits: Limits) -> list[Description]:
    """Return the descriptions in a serialized SavedMetadata."""
    nodes = parse_message(keras_metadata.SavedMetadata, data, file).nodes
    limits.check_memory("Keras layers", len(nodes) * _BYTES_PER_LAYER, len(data), file=file)
    return [Description(node.node_id, node.node_path, node.identifier, node.metadata) for node in nodes]


def described_objects(nodes: Sequence[messages.SavedObject], objects: KerasObjects) -> list[Description]:
    """Return the descriptions in the objects of a model, of those that Keras has marked as its own."""
    return [
        Description(number, objects.path(number), node.user_object.identifier, node.user_object.metadata)
        for number, node in enumerate(nodes)
        if node.WhichOneof("kind") == "user_object" and node.user_object.identifier.startswith(_MARK)
    ]


def keras_layers(
    descriptions: Iterable[Description],
    described_in: str,
    objects: KerasObjects,
    checkpoint: Callable[[], Checkpoint | CheckpointNotFoundError],
    limits: Limits,
) -> tuple[KerasLayer, ...]:
    """Return the layers that a file describes; CorruptError if a description is not a JSON object."""
    layers = []
    for node, path, identifier, text in descriptions:
        metadata = _parse_description(text, path, described_in, limits)
        config, class_name = metadata.get("config"), metadata.get("class_name")
        config = config if isinstance(config, dict) else None
        named = [each["name"] for each in (metadata, config or {}) if isinstance(each.get("name"), str)]
        name = named[0] if named else objects.found_name(node, path)
        # Of several descriptions of an object, the first counts.
        objects.names.setdefault(node, name)
        class_name = class_name if isinstance(class_name, str) else None
        layers.append(
            KerasLayer(
                *(node, path, identifier, name, class_name, config, metadata, objects, checkpoint),
                described_in,
            )
        )
    return tuple(layers)


def _parse_description(text: str, path: str, file: str, limits: Limits) -> dict[str, Any]:
    who = f"layer {shortened(path)!r}"
    limits.check_memory(f"the description of {who}", len(text) * _JSON_RATIO, len(text), file=file)
    if limits.max_depth is not None and text.count("[") + text.count("{") > limits.max_depth:
        limits.check_depth(f"{who}: JSON values in JSON values", _depth(text), file=file)
    try:
        metadata = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{who}: not JSON: {error}", file=file) from error
    if not isinstance(metadata, dict):
        raise CorruptError(f"{who}: got JSON of type {type(metadata).__name__}, want an object", file=file)
    return metadata


def _depth(text: str) -> int:
    """Return how deep the brackets of a JSON text are nested, without parsing it: a parser recurses."""
    depth = most = 0
    is_quoted = False
    for token in _TOKENS.finditer(text):
        char = token[0]
        if char == '"':
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (char in "[{") - (char in "]}")
            most = max(most, depth)
    return most
