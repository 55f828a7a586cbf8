"""What the Saver in a ``.meta`` file restores."""

from __future__ import annotations

import os

from ckptfmt.errors import CorruptError
from ckptfmt.graph.meta.saved_variables import SavedVariable, saved_variables
from ckptfmt.graph.read.read import read_meta_graph
from ckptfmt.storage.filesystem import Filesystem


def read_saved_variables(
    path: str | os.PathLike[str], *, fs: Filesystem | None = None
) -> dict[str, SavedVariable]:
    """Return what the Saver of a ``.meta`` file, binary or text, would restore: name in the checkpoint first.

    In the order in which it restores them.

    Raises
    ------
    CorruptError
        The file is no MetaGraphDef with a graph, or what it says of its variables contradicts itself.
    GraphError
        The graph has variables, and nothing says which of them are saved; or the names are computed when it
        runs.
    PathNotFoundError, NotReadableError
        There is no such file, or the system refuses it.
    """
    meta = read_meta_graph(path, fs=fs)
    if not meta.message.HasField("graph_def"):
        raise CorruptError("not a MetaGraphDef: it has no graph", file=meta.file)
    return saved_variables(meta.message, meta.file)
