"""The layers of a Keras 2 model, as data: its SavedModel describes each in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.notebook.card import Card, Text
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import keras_metadata
from ckptfmt.proto.parse import parse_message

KERAS_METADATA_FILE = "keras_metadata.pb"
"""The file in the directory of a SavedModel in which Keras 2 describes the layers."""


class KerasLayer(NamedTuple):
    """A model, layer or metric, as Keras 2 describes it."""

    node: int
    """Number of its object."""
    path: str
    """Path from the model, such as ``root.layer-0``."""
    identifier: str
    """The kind of Keras object, such as ``_tf_keras_layer``."""
    class_name: str | None
    """Name of its class, None if it is not given."""
    config: Mapping[str, Any] | None
    """The result of ``get_config``, None if it is not given."""
    metadata: Mapping[str, Any]
    """The whole description."""

    def _card(self) -> Card:
        config = Text("config", lambda: json.dumps(self.config, indent=1, ensure_ascii=False))
        facts = ("class", self.class_name), ("kind", self.identifier), ("object", str(self.node))
        return Card("KerasLayer", self.path, facts, [] if self.config is None else [config])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def decode_keras_layers(data: bytes, file: str) -> tuple[KerasLayer, ...]:
    """Return the layers in a serialized SavedMetadata; CorruptError if a description is not JSON."""
    layers = []
    for node in parse_message(keras_metadata.SavedMetadata, data, file).nodes:
        try:
            metadata = json.loads(node.metadata) if node.metadata else {}
        except (ValueError, RecursionError) as error:
            raise CorruptError(f"layer {node.node_path!r}: not JSON: {error}", file=file) from error
        metadata = metadata if isinstance(metadata, dict) else {}
        config, class_name = metadata.get("config"), metadata.get("class_name")
        layers.append(
            KerasLayer(
                node.node_id,
                node.node_path,
                node.identifier,
                class_name if isinstance(class_name, str) else None,
                config if isinstance(config, dict) else None,
                metadata,
            )
        )
    return tuple(layers)
