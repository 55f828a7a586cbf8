"""Reading graphs: GraphDef, MetaGraphDef and SavedModel files, serialized or as text, told by content.

None of the three has a magic number. Told apart they are by their fields:

=====  ==================  =======================  ==================
field  GraphDef            MetaGraphDef             SavedModel
=====  ==================  =======================  ==================
1      node, many          meta_info_def, one       schema, a number
2      library             graph_def                meta_graphs
3      version, a number   saver_def
4      versions            collection_def: a map
5-7                        signature_def …
=====  ==================  =======================  ==================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta_graph import MetaGraph
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message, parse_text
from ckptfmt.wire.coding import LENGTH_DELIMITED, VARINT, Buffer, Field, decode_fields
from ckptfmt.wire.file import read_file

M = TypeVar("M", bound="messages.GraphDef | messages.MetaGraphDef | messages.SavedModel")

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
"""What the message of a SavedModel directory is called, in the order in which TensorFlow looks."""

_HEAD = 4096
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_FIRST_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*([a-z_]+)\s*[:{<]")
_OP = re.compile(rb"[A-Za-z_][A-Za-z0-9_.>\-/]*")


class Kind(Enum):
    """What a file holds."""

    GRAPH = "GraphDef"
    META_GRAPH = "MetaGraphDef"
    SAVED_MODEL = "SavedModel"


_TEXT_FIELDS = {
    **dict.fromkeys((b"node", b"library", b"versions", b"version"), Kind.GRAPH),
    **dict.fromkeys(
        (
            *(b"meta_info_def", b"graph_def", b"saver_def", b"collection_def", b"signature_def"),
            *(b"asset_file_def", b"object_graph_def"),
        ),
        Kind.META_GRAPH,
    ),
    **dict.fromkeys((b"saved_model_schema_version", b"meta_graphs"), Kind.SAVED_MODEL),
}


def kind_of(data: Buffer) -> Kind | None:
    """Return what bytes hold, serialized or as text, or None; only their frame is looked at."""
    head = bytes(data[:_HEAD])
    if is_text(head):
        first = _FIRST_FIELD.match(head)
        return None if first is None else _TEXT_FIELDS.get(first[1])
    try:
        return _kind_of_fields(decode_fields(memoryview(data)))
    except CorruptError:
        return None


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file is text; serialized, a length or a tag below the space comes soon."""
    return not _NOT_TEXT.search(head)


def _kind_of_fields(fields: Iterable[Field]) -> Kind | None:
    first: Field | None = None
    ones, may_be = 0, {Kind.GRAPH, Kind.META_GRAPH}
    for field in fields:
        if field.number == 1 and field.wire_type == VARINT and not ones:
            return Kind.SAVED_MODEL if all(_is_meta_graphs(other) for other in fields) else None
        if field.number not in range(1, 8):
            return None
        if field.number == 1:
            ones += 1
            first = first or field
        if field.wire_type != LENGTH_DELIMITED:
            may_be &= {Kind.GRAPH} if (field.number, field.wire_type) == (3, VARINT) else set()
        elif field.number in (3, 5, 6, 7):
            may_be &= {Kind.META_GRAPH}
        elif field.number == 4:
            # A VersionDef begins with a number, an entry of a map with its key.
            is_map = bytes(field.content[:1]) == b"\n"
            may_be &= {Kind.META_GRAPH if is_map else Kind.GRAPH}
        if ones > 1:
            may_be &= {Kind.GRAPH}
        if not may_be:
            return None
    if first is None:
        return may_be.pop() if len(may_be) == 1 else None
    may_be &= {Kind.GRAPH if _is_node(first) else Kind.META_GRAPH}
    return may_be.pop() if may_be else None


def _is_meta_graphs(field: Field) -> bool:
    return field.number == 2 and field.wire_type == LENGTH_DELIMITED


def _is_node(field: Field) -> bool:
    """Whether a field holds a NodeDef: it has an op, where a MetaInfoDef has a list of definitions."""
    parts = {part.number: part for part in decode_fields(field.content) if part.wire_type == LENGTH_DELIMITED}
    return 2 in parts and _OP.fullmatch(bytes(parts[2].content)) is not None


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
    name, data = _read(path)
    kind = kind_of(data)
    if kind is Kind.GRAPH:
        return Graph(_parse(messages.GraphDef, data, name), name)
    return _meta_graph(kind, data, name, tags).graph


def read_meta_graph(path: str | os.PathLike[str], *, tags: Iterable[str] | None = None) -> MetaGraph:
    """Return the meta graph in a file: a ``.meta`` file or a SavedModel, serialized or as text.

    Parameters and errors are those of :func:`read_graph`; a GraphDef, which is none, is a CorruptError.
    """
    name, data = _read(path)
    return _meta_graph(kind_of(data), data, name, tags)


def _read(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112 - pathlib fails on names that no system has
        found = (os.path.join(name, file) for file in SAVED_MODEL_FILES)  # noqa: PTH118
        name = next(filter(os.path.isfile, found), os.path.join(name, SAVED_MODEL_FILES[0]))  # noqa: PTH118
    return name, read_file(name)


def _meta_graph(kind: Kind | None, data: bytes, file: str, tags: Iterable[str] | None) -> MetaGraph:
    if kind is Kind.META_GRAPH:
        return MetaGraph(_parse(messages.MetaGraphDef, data, file), file)
    if kind is Kind.SAVED_MODEL:
        model = _parse(messages.SavedModel, data, file)
        return choose([MetaGraph(meta, file) for meta in model.meta_graphs], tags, file)
    if kind is Kind.GRAPH:
        raise CorruptError("not a MetaGraphDef but a GraphDef: see read_graph", file=file)
    raise CorruptError("neither a GraphDef, nor a MetaGraphDef or SavedModel", file=file, offset=0)


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


def _parse(cls: type[M], data: bytes, file: str) -> M:
    if is_text(data[:_HEAD]):
        return parse_text(cls, data, file)
    return parse_message(cls, data, file)
