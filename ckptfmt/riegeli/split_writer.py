"""Split protos (``*.cpb``), written so that :mod:`ckptfmt.riegeli.split_message` and TensorFlow read them.

No program in C++ reads a message of 2 GiB. So large values are written as parts of their own, from where they
are: in the message, or beside it, as a graph keeps its constants.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from ckptfmt.proto import proto_splitter
from ckptfmt.riegeli.compression import Compression
from ckptfmt.riegeli.divide import FieldPath, Part, divide
from ckptfmt.riegeli.large_values import serialize_without_large_values
from ckptfmt.riegeli.writer import CHUNK_SIZE, RiegeliWriter
from ckptfmt.storage.output import Output
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.damage import is_repeated

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

SPLIT_SUFFIX = ".cpb"
"""What the names of split messages end in."""

MAX_PART = (1 << 31) - 1
"""Bytes of the longest part: protobuf reads no longer message."""

SPLITTER_VERSION = 1
"""The version of TensorFlow's splitter; its parts are joined as of version 0."""


def write_split_message(
    output: Output,
    message: Message,
    contents: Iterable[tuple[FieldPath, Buffer]] = (),
    *,
    max_part: int = MAX_PART,
    compression: Compression | None = "brotli",
) -> None:
    """Write a message to a file as a split proto. The caller commits the output.

    Memory holds the serialized message without its values of 1 MiB and more, and a copy of one of these at a
    time; contents are written from where they are. Writing takes about 80 ms for each megabyte of the file,
    because all of it is hashed.

    Parameters
    ----------
    output
        The file. Nothing has been written to it yet.
    message
        The message, of any size. It must not change meanwhile.
    contents
        Values of ``bytes`` fields that the message lacks, each with the path to its field. All elements of
        lists on the path are in the message. An entry of the list is used once the one before it is written.
    max_part
        Bytes of the longest part, if no single value takes more.
    compression
        How the parts are compressed; None stores them as they are. TensorFlow uses ``"brotli"``. Values of
        more than 1 MiB are never compressed: they are numbers, mostly.

    Raises
    ------
    ValueError
        A path does not lead to a ``bytes`` field, or its content takes 2 GiB or more.
    NotWritableError
        The output cannot be written.
    """
    descriptor: Any = message.DESCRIPTOR
    writer = RiegeliWriter(output, compression=compression)
    metadata = proto_splitter.ChunkMetadata()
    metadata.version.splitter_version = SPLITTER_VERSION
    data, values = serialize_without_large_values(message)
    for part in divide(memoryview(data), descriptor, max_part):
        _write_part(writer, metadata, descriptor, part)
    for path, content in chain(((value.path, value.read()) for value in values), contents):
        if len(content) > MAX_PART:
            raise ValueError(f"content: got {len(content)} bytes, want at most {MAX_PART}")
        _write_part(writer, metadata, descriptor, Part(path, [content], is_message=False))
    writer.write(metadata.SerializeToString(deterministic=True))
    writer.flush()


def _write_part(
    writer: RiegeliWriter, metadata: proto_splitter.ChunkMetadata, root: Descriptor, part: Part
) -> None:
    """Write a part as a record, and add it to the metadata; the first is the message itself."""
    number = len(metadata.chunks)
    if number == 0:
        chunked = metadata.message
    else:
        field = metadata.message.chunked_fields.add()
        field.field_tag.extend(_tags(root, part))
        chunked = field.message
    chunked.chunk_index = number
    size = sum(map(len, part.pieces))
    write = writer.write if part.is_message or size <= CHUNK_SIZE else writer.write_stored
    kind = proto_splitter.ChunkInfo
    metadata.chunks.add(
        type=kind.MESSAGE if part.is_message else kind.BYTES, size=size, offset=write(*part.pieces)
    )


def _tags(root: Descriptor, part: Part) -> list[proto_splitter.FieldIndex]:
    """Return the path of a part as TensorFlow writes it; ValueError if it does not lead there."""
    tags: list[proto_splitter.FieldIndex] = []
    inner: Any = root
    field: Any = None
    for step in part.path:
        field = None if inner is None else inner.fields_by_number.get(step.field)
        if field is None or _selector_type(field) is not type(step.selector):
            raise ValueError(f"{root.full_name}: no field at {part.path}")
        tags.append(proto_splitter.FieldIndex(field=step.field))
        if isinstance(step.selector, str):
            tags.append(proto_splitter.FieldIndex(map_key=proto_splitter.FieldIndex.MapKey(s=step.selector)))
        elif step.selector is not None:
            tags.append(proto_splitter.FieldIndex(index=step.selector))
        if _is_map(field):
            field = field.message_type.fields_by_name["value"]
        inner = field.message_type
    is_text = field is not None and field.type in (field.TYPE_BYTES, field.TYPE_STRING)
    if not (inner is not None if part.is_message else is_text):
        raise ValueError(f"{root.full_name}: not a field of bytes at {part.path}")
    return tags


def _selector_type(field: FieldDescriptor) -> type:
    """Return the type of what selects one value of a field."""
    if not is_repeated(field):
        return type(None)
    return str if _is_map(field) else int


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
