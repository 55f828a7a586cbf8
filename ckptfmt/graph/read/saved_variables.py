"""Saved variables from a file: what the Saver in a ``.meta`` file restores."""

from __future__ import annotations

import os

from ckptfmt.errors import CorruptError
from ckptfmt.graph.meta.saved_variables import SavedVariable, saved_variables
from ckptfmt.graph.read.read import read_meta_graph
from ckptfmt.storage.filesystem import Filesystem


def read_saved_variables(
    path: str | os.PathLike[str], *, fs: Filesystem | None = None
) -> dict[str, SavedVariable]:
    """Return what the Saver of a ``.meta`` file, binary or text, restores, by name in the checkpoint.

    The order is that in which the Saver restores them.

    Raises
    ------
    CorruptError
        The file is not a MetaGraphDef with a graph, or contradicts itself about a variable.
    GraphError
        The graph has variables, but nothing says which of them are saved; or names are computed when the
        graph runs.
    PathNotFoundError, NotReadableError
        The file does not exist, or the system refuses to read it.
    """
    meta = read_meta_graph(path, fs=fs)
    if not meta.message.HasField("graph_def"):
        raise CorruptError("not a MetaGraphDef: it has no graph", file=meta.file)
    return saved_variables(meta.message, meta.file)
