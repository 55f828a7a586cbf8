"""``write_graph``, as ``tf.io`` and ``tf.compat.v1.train`` have it."""

from __future__ import annotations

import os
from typing import Any

from ckptfmt.graph.graph import Graph
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.storage.local import LOCAL


def write_graph(
    graph_or_graph_def: Any,  # noqa: ANN401  (messages of any library)
    logdir: str | os.PathLike[str],
    name: str,
    as_text: bool = True,
) -> str:
    """Write a graph, or a GraphDef of TensorFlow, to a file of a directory, and return its path.

    As in TensorFlow, the directory is made if it does not exist, a file of that name is replaced, and text is
    the default, whatever the name. NotWritableError if the system refuses.
    """
    graph = graph_or_graph_def
    if not isinstance(graph, Graph):
        graph = Graph(parse_message(messages.GraphDef, graph.SerializeToString(), None, None))
    directory = os.fspath(logdir)
    LOCAL.make_directory(directory)
    path = os.path.join(directory, name)
    graph.write(path, as_text=as_text, overwrite=True)
    return path
