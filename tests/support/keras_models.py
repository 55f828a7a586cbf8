"""SavedModels with Keras objects, made of messages: small ones, and some that no Keras writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import keras_metadata, messages
from tests.support.table_writer import write_bundle


class KerasModel:
    """A model of TensorFlow 2.4, with the descriptions in its objects, that is still to be written."""

    def __init__(self) -> None:
        self.message = messages.SavedModel(saved_model_schema_version=1)
        self.meta = self.message.meta_graphs.add()
        self.meta.meta_info_def.tags.append("serve")
        self.graph = self.meta.object_graph_def
        self.stored = messages.TrackableObjectGraph()
        self.tensors: dict[str, np.ndarray] = {}
        self._add()

    def _add(self) -> int:
        self.graph.nodes.add()
        self.stored.nodes.add()
        return len(self.graph.nodes) - 1

    def link(self, parent: int, edge: str, child: int) -> int:
        """Make an object the child of another."""
        for graph in (self.graph, self.stored):
            graph.nodes[parent].children.add(local_name=edge, node_id=child)
        return child

    def describe(
        self, number: int, description: str | Mapping[str, Any], kind: str = "_tf_keras_layer"
    ) -> int:
        """Make an object a layer, with this description in JSON."""
        text = description if isinstance(description, str) else json.dumps(description)
        self.graph.nodes[number].user_object.identifier = kind
        self.graph.nodes[number].user_object.metadata = text
        return number

    def layer(self, parent: int, edge: str, name: str, class_name: str = "Dense") -> int:
        """Add a layer, and return the number of its object."""
        layer = self.link(parent, edge, self._add())
        return self.describe(layer, {"name": name, "class_name": class_name, "config": {"name": name}})

    def object(self, parent: int, edge: str) -> int:
        """Add an object that is no layer, such as a list."""
        number = self.link(parent, edge, self._add())
        self.graph.nodes[number].user_object.identifier = "trackable_list_wrapper"
        return number

    def variable(self, parent: int, edge: str, full_name: str, value: Any) -> int:
        """Add a variable, and return the number of its object."""
        number = self.link(parent, edge, self._add())
        array = np.asarray(value, np.float32)
        variable = self.graph.nodes[number].variable
        variable.dtype, variable.name, variable.trainable = 1, full_name, True
        for size in array.shape:
            variable.shape.dim.add(size=size)
        key = f"v{number}/.ATTRIBUTES/VARIABLE_VALUE"
        self.stored.nodes[number].attributes.add(
            name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key
        )
        self.tensors[key] = array
        return number

    def list_weights(self, layer: int, *variables: int) -> None:
        """Add the list that Keras keeps of the weights of a layer."""
        listed = self.object(layer, "variables")
        for at, variable in enumerate(variables):
            self.link(listed, str(at), variable)

    def descriptions(self) -> bytes:
        """Take the descriptions out of the objects; return them as TensorFlow 2.5 writes them, in a file."""
        described = keras_metadata.SavedMetadata()
        for number, node in enumerate(self.graph.nodes):
            if node.user_object.metadata:
                described.nodes.add(
                    node_id=number,
                    node_path=f"root.{number}",
                    identifier=node.user_object.identifier,
                    metadata=node.user_object.metadata,
                )
                node.user_object.metadata = ""
        return described.SerializeToString()

    def write(self, folder: Path) -> Path:
        """Write the model and its checkpoint into a directory, and return that."""
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_bytes(self.message.SerializeToString())
        strings = {OBJECT_GRAPH_KEY: self.stored.SerializeToString()}
        write_bundle(folder / "variables" / "variables", self.tensors, strings=strings)
        return folder


def sequential() -> KerasModel:
    """Return a model of a Dense layer ``dense`` and an LSTM layer ``lstm``, whose weights its cell has."""
    model = KerasModel()
    model.describe(0, {"name": "net", "class_name": "Sequential", "config": {}}, "_tf_keras_sequential")
    dense = model.layer(0, "layer-0", "dense")
    bias = model.variable(dense, "bias", "net/dense/bias", np.arange(3))
    kernel = model.variable(dense, "kernel", "net/dense/kernel", np.arange(6).reshape(2, 3))
    model.list_weights(dense, kernel, bias)
    lstm = model.layer(0, "layer-1", "lstm", "LSTM")
    cell = model.layer(lstm, "cell", "lstm_cell", "LSTMCell")
    gates = model.variable(cell, "kernel", "net/lstm/kernel", np.arange(12).reshape(3, 4))
    model.list_weights(cell, gates)
    model.list_weights(lstm, gates)
    model.list_weights(0, kernel, bias, gates)
    return model
