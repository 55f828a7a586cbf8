"""Reading graphs, from a GraphDef, a MetaGraphDef or a SavedModel."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.filetype.kinds import Holds
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.saved_variables import SavedVariable, saved_variables
from ckptfmt.graph.read.logged import find_event_files, read_logged
from ckptfmt.graph.read.message_file import MessageFile, open_message
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.proto import messages
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.wire.coding import Buffer


def read_graph(
    path: str | os.PathLike[str] | bytes | bytearray | memoryview,
    *,
    tags: Iterable[str] | None = None,
    step: int | None = None,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> Graph:
    """Return the graph in a file: a GraphDef, a MetaGraphDef or a SavedModel, serialized or as text.

    The constants of a memory-mapped graph (``.pbmm``) are ``Const`` nodes like those of any other; large ones
    are views of the file. For an event file, this is its last graph, or else the one that TensorFlow 2 traced
    last, as TensorBoard shows it.

    Parameters
    ----------
    path
        The file, recognised by its content, the directory of a SavedModel, or a directory with event files.
        Or the content of a file as bytes, which are never a path: for example the ``graph_def`` of an event.
    tags
        The tags of one meta graph of a SavedModel; needed if it has several. Or the tag of a traced graph in
        an event file.
    step
        The step at which the graph in an event file was logged, to read another one than the last.
    backend, fs
        How files are read, and the file system they are in: see :func:`ckptfmt.open`.
    limits
        How much memory and work the file may take: see :class:`ckptfmt.Limits`.

    Raises
    ------
    CorruptError
        The file is damaged, or of no known kind.
    UnsupportedError
        The path leads to something else; the message says what it is, and what reads it.
    GraphError
        No meta graph of a SavedModel has these tags, or it has several and no tags were given. No graph was
        logged at this step.
    PathNotFoundError, NotReadableError
        The file does not exist, or cannot be read.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    events = _event_files(path, fs)
    if events:
        return read_logged(events, fs, tags=tags, step=step, limits=limits).graph()
    if step is not None:
        raise GraphError(f"got step {step}, but only the graphs in event files have steps", file=_name(path))
    with open_message(path, Holds.GRAPH, fs, limits) as file:
        if file.holds is Holds.GRAPH:
            return Graph(file.parse_outline(), file.name)
        return _meta_graph(file, tags, Holds.GRAPH).graph


def read_meta_graph(
    path: str | os.PathLike[str] | bytes | bytearray | memoryview,
    *,
    tags: Iterable[str] | None = None,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> MetaGraph:
    """Return the meta graph in a file: a ``.meta`` file or a SavedModel, serialized or as text.

    The last one in an event file is returned. Parameters and errors are those of
    :func:`read_graph`; a GraphDef raises UnsupportedError.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    events = _event_files(path, fs)
    if events:
        return read_logged(events, fs, wanted=Holds.META_GRAPH, limits=limits).meta_graph()
    with open_message(path, Holds.META_GRAPH, fs, limits) as file:
        return _meta_graph(file, tags, Holds.META_GRAPH)


def read_saved_variables(
    path: str | os.PathLike[str], *, fs: Filesystem | None = None, limits: Limits = DEFAULT
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
        The file does not exist, or cannot be read.
    """
    meta = read_meta_graph(path, fs=fs, limits=limits)
    if not meta.message.HasField("graph_def"):
        raise CorruptError("not a MetaGraphDef: it has no graph", file=meta.file)
    return saved_variables(meta.message, meta.file)


def _event_files(source: str | os.PathLike[str] | Buffer | bytearray, fs: Filesystem) -> list[str]:
    return [] if isinstance(source, bytes | bytearray | memoryview) else find_event_files(source, fs)


def _name(source: str | os.PathLike[str] | Buffer | bytearray) -> str | None:
    return None if isinstance(source, bytes | bytearray | memoryview) else os.fspath(source)


def _meta_graph(file: MessageFile, tags: Iterable[str] | None, wanted: Holds) -> MetaGraph:
    if file.holds is Holds.META_GRAPH:
        return MetaGraph(file.parse(messages.MetaGraphDef), file.name)
    if file.holds is Holds.SAVED_MODEL:
        model = file.parse(messages.SavedModel)
        return choose(
            [MetaGraph(meta, file.name, file.directory) for meta in model.meta_graphs], tags, file.name
        )
    raise file.refusal(wanted)


def choose(meta_graphs: list[MetaGraph], tags: Iterable[str] | None, file: str) -> MetaGraph:
    """Return the meta graph that has exactly these tags; without tags, the only one.

    Raises GraphError, which lists the tags of all, if not exactly one fits or there are none.
    """
    if not meta_graphs:
        raise GraphError("a SavedModel without any meta graph", file=file)
    wanted = None if tags is None else frozenset([tags] if isinstance(tags, str) else tags)
    fitting = [meta for meta in meta_graphs if wanted is None or meta.tags == wanted]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(", ".join(sorted(meta.tags)) or "(none)" for meta in meta_graphs)
    got = "no tags" if wanted is None else f"the tags {', '.join(sorted(wanted)) or '(none)'}"
    raise GraphError(f"got {got}, want those of one meta graph: {known}", file=file)
