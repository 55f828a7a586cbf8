"""The names that a SavedModel gives to the variables of its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing

from ckptfmt.errors import CkptfmtError
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.object_graph.saved_objects import stored_objects
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, decode_fields

FILE = "saved_model.pb"
VARIABLES = "variables"
META_GRAPHS = 2
"""The field of a SavedModel that holds its meta graphs."""
OBJECT_GRAPH_DEF = 7
"""The field of a MetaGraphDef that holds its objects."""


def names_in_saved_model(prefix: str, fs: Filesystem, graph: ObjectGraph) -> Mapping[str, str]:
    """Return the names of variables by their keys, from the SavedModel that a checkpoint belongs to.

    ``graph`` is that of the checkpoint. The result is empty if there is no SavedModel around it, or if that
    is damaged: opening the SavedModel says what is wrong with it.
    """
    folder = os.path.dirname(prefix)
    if os.path.basename(folder) != VARIABLES:
        return {}
    try:
        with closing(fs.open(os.path.join(os.path.dirname(folder), FILE))) as file:
            objects = _objects(file.read(0, file.size), file.name)
            nodes = objects.nodes
            stored = stored_objects(nodes, graph)
            return {
                key: node.variable.name
                for number, node in enumerate(nodes)
                if node.WhichOneof("kind") == "variable" and number in stored and node.variable.name
                for key in graph.nodes[stored[number]].keys
            }
    except CkptfmtError:
        return {}


def _objects(data: Buffer, file: str) -> messages.SavedObjectGraph:
    """Return the objects of a serialized SavedModel; only their bytes in it are parsed."""
    # The first meta graph that has objects: all share the checkpoint.
    for model in decode_fields(data):
        if (model.number, model.wire_type) == (META_GRAPHS, LENGTH_DELIMITED):
            for field in decode_fields(model.content):
                if (field.number, field.wire_type) == (OBJECT_GRAPH_DEF, LENGTH_DELIMITED):
                    return parse_message(messages.SavedObjectGraph, field.content, file)
    return messages.SavedObjectGraph()
