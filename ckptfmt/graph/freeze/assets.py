"""Assets: the paths of a SavedModel's files, as constants in a frozen graph.

TensorFlow feeds the path of each file to a tensor when it loads a model. A graph of TensorFlow 1 reads the
tensor itself; one of TensorFlow 2 assigns it to a variable, which no checkpoint has::

    Placeholder ── AssignVariableOp(VarHandleOp)        VarHandleOp ── ReadVariableOp ── initializer
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from ckptfmt.arrays.encode import to_proto
from ckptfmt.dtypes import find_dtype
from ckptfmt.errors import GraphError
from ckptfmt.graph.meta.asset_path import asset_path
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.origins import Origins
from ckptfmt.proto import messages

_STRING = find_dtype(messages.DataType.DT_STRING)


class Assets:
    """The files that the graph of a SavedModel reads."""

    def __init__(self, meta: MetaGraph | None) -> None:
        self._file = "" if meta is None else meta.file
        self._directory = None if meta is None else meta.directory
        # Only output 0 is ever listed: the nodes are constants and placeholders.
        self._filenames = {
            parse_output(asset.tensor).node: asset.filename for asset in (meta.assets if meta else ())
        }

    def __bool__(self) -> bool:
        return bool(self._filenames)

    def place(self, graph: messages.GraphDef) -> dict[str, np.ndarray]:
        """Make the tensors of the assets constants, and return the variables that they are assigned to.

        The assignments are removed: each of these variables is to become a constant, its path. If the
        directory of the model is not known, the graph stays as it is.

        Raises CorruptError if the name of an asset leads out of the directory.
        """
        if self._directory is None or not self:
            return {}
        nodes = Origins(graph.node, self._file)
        paths: dict[str, np.ndarray] = {}
        for node in graph.node:
            if node.op != "AssignVariableOp":
                continue
            filename = self._filenames.get(nodes.origin(node, 1).node)
            if filename is not None:
                path = asset_path(self._directory, filename, self._file)
                paths[nodes.origin(node, 0).node] = np.array(path.encode("utf-8", "surrogateescape"), object)
                _clear(node, "NoOp")
        for name, filename in self._filenames.items():
            path = asset_path(self._directory, filename, self._file)
            if name not in nodes.nodes:
                continue  # the graph may have been pruned
            node = nodes.node(name)
            _clear(node, "Const")
            node.attr["dtype"].type = _STRING.code
            node.attr["value"].tensor.CopyFrom(to_proto(path.encode("utf-8", "surrogateescape"), _STRING))
        return paths

    def check(self, graph: messages.GraphDef, needed: Set[str]) -> None:
        """Raise GraphError if one of the nodes that are needed is an asset whose path is not known."""
        for node in graph.node:
            if node.name in needed and node.name in self._filenames and node.op.startswith("Placeholder"):
                name = self._filenames[node.name]
                what = f"the path of asset {name!r} is not known: pass a model that was read by its path"
                raise GraphError(what, node=node.name)


def _clear(node: messages.NodeDef, op: str) -> None:
    """Make a node one of another op; only its name stays."""
    name = node.name
    node.Clear()
    node.name, node.op = name, op
