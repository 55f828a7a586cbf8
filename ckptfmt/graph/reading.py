"""Reading graphs, from a GraphDef, a MetaGraphDef or a SavedModel."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.message_file import Kind, MessageFile
from ckptfmt.graph.meta_graph import MetaGraph
from ckptfmt.proto import messages


def read_graph(path: str | os.PathLike[str], *, tags: Iterable[str] | None = None) -> Graph:
    """Return the graph in a file: a GraphDef, a MetaGraphDef or a SavedModel, serialized or as text.

    Parameters
    ----------
    path
        The file; what it holds is told by its content. Or the directory of a SavedModel.
    tags
        Which meta graph of a SavedModel; needed where it has several.

    Raises
    ------
    CorruptError
        The file holds nothing of this kind.
    GraphError
        No meta graph of a SavedModel has these tags, or there are several and none were given.
    CheckpointNotFoundError, NotReadableError
        There is no such file, or the system refuses it.
    """
    with _open(path) as file:
        if file.kind is Kind.GRAPH:
            return Graph(file.parse(messages.GraphDef), file.name)
        return _meta_graph(file, tags).graph


def read_meta_graph(path: str | os.PathLike[str], *, tags: Iterable[str] | None = None) -> MetaGraph:
    """Return the meta graph in a file: a ``.meta`` file or a SavedModel, serialized or as text.

    Parameters and errors are those of :func:`read_graph`; a GraphDef, which is none, is a CorruptError.
    """
    with _open(path) as file:
        return _meta_graph(file, tags)


def _open(path: str | os.PathLike[str]) -> MessageFile:
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112 - pathlib fails on names that no system has
        found = (os.path.join(name, file) for file in SAVED_MODEL_FILES)  # noqa: PTH118
        name = next(filter(os.path.isfile, found), os.path.join(name, SAVED_MODEL_FILES[0]))  # noqa: PTH118
    return MessageFile(name)


def _meta_graph(file: MessageFile, tags: Iterable[str] | None) -> MetaGraph:
    kind = file.kind
    if kind is Kind.META_GRAPH:
        return MetaGraph(file.parse(messages.MetaGraphDef), file.name)
    if kind is Kind.SAVED_MODEL:
        model = file.parse(messages.SavedModel)
        return choose([MetaGraph(meta, file.name) for meta in model.meta_graphs], tags, file.name)
    if kind is Kind.GRAPH:
        raise CorruptError("not a MetaGraphDef but a GraphDef: see read_graph", file=file.name)
    raise CorruptError("neither a GraphDef, nor a MetaGraphDef or SavedModel", file=file.name, offset=0)


def choose(meta_graphs: list[MetaGraph], tags: Iterable[str] | None, file: str) -> MetaGraph:
    """Return the meta graph that has exactly these tags; without tags the only one there is.

    Raises GraphError, which lists the tags there are.
    """
    wanted = None if tags is None else frozenset([tags] if isinstance(tags, str) else tags)
    fitting = [meta for meta in meta_graphs if wanted is None or meta.tags == wanted]
    if len(fitting) == 1:
        return fitting[0]
    there = "; ".join(", ".join(sorted(meta.tags)) or "(none)" for meta in meta_graphs) or "none at all"
    got = "no tags" if wanted is None else f"the tags {', '.join(sorted(wanted)) or '(none)'}"
    raise GraphError(f"{file}: got {got}, want those of one meta graph: {there}")
