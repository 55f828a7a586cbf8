"""Files of one message: GraphDef, MetaGraphDef or SavedModel, serialized, as text or split, told by content.

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

import re
from collections.abc import Iterable
from enum import Enum
from functools import cached_property
from types import TracebackType
from typing import TypeVar

from ckptfmt.errors import CorruptError
from ckptfmt.graph.split import SplitProto
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message, parse_text
from ckptfmt.riegeli import SIGNATURE
from ckptfmt.wire.coding import LENGTH_DELIMITED, VARINT, Buffer, Field, decode_fields
from ckptfmt.wire.file import MappedFile

M = TypeVar("M", bound="messages.GraphDef | messages.MetaGraphDef | messages.SavedModel")

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


class MessageFile:
    """An open file of one message."""

    def __init__(self, path: str) -> None:
        """Open a file; CheckpointNotFoundError where there is none, NotReadableError where it is refused."""
        self.name = path
        """The path."""
        self._file = MappedFile(path)

    @cached_property
    def _head(self) -> bytes:
        return bytes(self._file.read(0, min(self._file.size, _HEAD)))

    @cached_property
    def _split(self) -> SplitProto | None:
        return SplitProto(self._file) if self._head.startswith(SIGNATURE) else None

    @property
    def kind(self) -> Kind | None:
        """What it seems to hold, None if nothing of this kind; of a split one as its first part tells.

        Raises CorruptError, UnsupportedError where it is a split one that cannot be read.
        """
        return kind_of(self._file.read(0, self._file.size) if self._split is None else self._split.root)

    def parse(self, cls: type[M]) -> M:
        """Return the message; CorruptError where the file is damaged, or holds another."""
        if self._split is not None:
            return self._split.merge(cls)
        data = self._file.read(0, self._file.size)
        if is_text(self._head):
            return parse_text(cls, bytes(data), self.name)
        return parse_message(cls, data, self.name)

    def __enter__(self) -> MessageFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


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
