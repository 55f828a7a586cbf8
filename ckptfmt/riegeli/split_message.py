"""Split protos (``*.cpb``): one message in the records of a Riegeli file, which are merged again.

::

    file:     the record of each chunk …, then a ChunkMetadata as the last record

ChunkMetadata has for each chunk its kind, size and the position of its record, and a ChunkedMessage: a tree
that tells what goes where. A message is the chunk of its number, if it has one, then its fields, each a
ChunkedMessage of its own that goes to where a path leads: field numbers, each followed by an index or a map
key where the field has many. An empty path leads to the message itself, whose repeated fields it makes
longer. Shorter paths and lesser numbers come first, then lesser chunks. The record of a bytes or string field
is its value.

Source: TensorFlow ``tools/proto_splitter/chunk.proto``, ``merge.cc``, ``cc/util.cc``.
"""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.proto import proto_splitter
from ckptfmt.proto.parse import parse_message
from ckptfmt.riegeli.file import RiegeliFile
from ckptfmt.storage.file import RandomAccessFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

Selector: TypeAlias = int | str | None
"""Which value of a field: an index, a map key, or None where it has only one."""

JOIN_VERSION = 0
"""The version of merging that is written here, as TensorFlow numbers them."""

MAX_DEPTH = 100
"""Messages within messages that paths may make: what protobuf itself reads in binary."""

LEAST_LIMIT = 2 << 30
"""Bytes that the records may decode to in any file unless the caller says otherwise."""

MAX_EXPANSION = 64
"""How many times larger than its file they may be: weights hardly compress, so models stay far below it."""


class SplitProto:
    """An open split proto file."""

    def __init__(self, file: RandomAccessFile) -> None:
        """Read the tree of a file, with the name ``*.cpb`` as TensorFlow has it.

        Raises
        ------
        CorruptError
            The file is no split proto, or is damaged.
        UnsupportedError
            It is of a later version, or its records are stored in a way not read here.
        """
        self._file = file
        self._riegeli = RiegeliFile(file)
        self._end = self._riegeli.last_position
        record = self._riegeli.record(self._end)
        self._metadata = parse_message(proto_splitter.ChunkMetadata, record, file.name)
        if not self._metadata.HasField("message"):
            raise CorruptError(
                "the last record is no metadata of a split proto", file=file.name, offset=self._end
            )
        version = self._metadata.version.join_version
        if version > JOIN_VERSION:
            raise UnsupportedError(
                f"split proto needs merging of version {version}, here it is version {JOIN_VERSION}",
                file=file.name,
            )

    @property
    def root(self) -> bytes:
        """What of the message its parts are put into, serialized; errors as of :meth:`merge`."""
        chunked, infos = self._metadata.message, self._metadata.chunks
        if not chunked.HasField("chunk_index") or chunked.chunk_index >= len(infos):
            return b""
        info = infos[chunked.chunk_index]
        (chunk,) = _read_chunks(self._riegeli, [info], self._end, self._limit(None)).values()
        return chunk[1]

    def merge(self, cls: type[M], *, limit: int | None = None) -> M:
        """Return the message.

        Parameters
        ----------
        cls
            What it is merged into: for ``saved_model.cpb``, a SavedModel.
        limit
            Bytes that the parts may decode to; if not given, the greater of :data:`LEAST_LIMIT` and
            :data:`MAX_EXPANSION` times the file.

        Raises
        ------
        CorruptError
            The file is damaged, or its parts do not fit the message.
        UnsupportedError
            Its records are stored in a way not read here.
        LimitError
            The parts decode to more bytes than the limit.
        """
        metadata = self._metadata
        chunks = _read_chunks(self._riegeli, metadata.chunks, self._end, self._limit(limit))
        message = cls()
        _Merger(self._file.name, chunks).merge(metadata.message, message, 0)
        return message

    def _limit(self, limit: int | None) -> int:
        return max(LEAST_LIMIT, MAX_EXPANSION * self._file.size) if limit is None else limit


def _read_chunks(
    riegeli: RiegeliFile, infos: Sequence[proto_splitter.ChunkInfo], last: int, limit: int
) -> dict[int, tuple[proto_splitter.ChunkInfo, bytes]]:
    """The records of the chunks by chunk number, read in file order so that each is decompressed once."""
    name = riegeli.file.name
    chunks: dict[int, tuple[proto_splitter.ChunkInfo, bytes]] = {}
    used, begin, decoded = -1, -1, 0
    for number in sorted(range(len(infos)), key=lambda number: infos[number].offset):
        info = infos[number]
        if info.offset == used or info.offset >= last:
            raise CorruptError(
                f"chunk {number}: its record is that of another", file=name, offset=info.offset
            )
        used = info.offset
        stored = riegeli.chunk_at(used)
        if stored.begin != begin:
            begin = stored.begin
            decoded += stored.decoded_size
            if decoded > limit:
                raise LimitError("bytes of a split proto", limit=limit, asked=decoded, file=name)
        record = riegeli.record(used)
        if len(record) != info.size:
            raise CorruptError(
                f"chunk {number}: got {len(record)} bytes, want {info.size}", file=name, offset=used
            )
        # A copy: a view would keep all of what was decompressed with it.
        chunks[number] = info, bytes(record)
    return chunks


class _Merger:
    """Puts chunks where a tree of chunked messages wants them; each is used once, then forgotten."""

    def __init__(self, file: str, chunks: dict[int, tuple[proto_splitter.ChunkInfo, bytes]]) -> None:
        self._file = file
        self._chunks = chunks
        self._count = len(chunks)

    def merge(self, chunked: proto_splitter.ChunkedMessage, target: Message, depth: int) -> None:
        """Merge a chunked message into ``target``, which lies ``depth`` messages deep."""
        from google.protobuf.message import DecodeError

        if chunked.HasField("chunk_index"):
            info, data = self._take(chunked.chunk_index, proto_splitter.ChunkInfo.MESSAGE)
            try:
                target.MergeFromString(data)
            except (DecodeError, RecursionError, ValueError) as error:
                # ValueError: the pure-Python decoder's UnicodeDecodeError.
                raise self._corrupt(
                    f"chunk {chunked.chunk_index} is not a {target.DESCRIPTOR.full_name} message: {error}",
                    info.offset,
                ) from error
        for field in sorted(chunked.chunked_fields, key=_order):
            self._merge_field(field, target, depth + 1)

    def _merge_field(self, field: proto_splitter.ChunkedField, target: Message, depth: int) -> None:
        """Follow a path from ``target`` and put there what belongs there."""
        tags = list(reversed(field.field_tag))
        while tags:
            # Nested deeper, messages could be neither serialized nor freed again.
            if depth > MAX_DEPTH:
                raise self._corrupt(f"nested deeper than {MAX_DEPTH} messages")
            descriptor = self._descriptor(target, tags.pop())
            many = tags and tags[-1].WhichOneof("kind") != "field"
            selector = self._selector(descriptor, tags.pop() if many else None, target)
            value = _value_field(descriptor)
            if value.message_type is None:
                if tags or field.message.chunked_fields:
                    raise self._corrupt(f"a path goes on behind {descriptor.full_name}, which is no message")
                self._assign(target, descriptor, selector, self._scalar(value, field.message))
                return
            target = _step(target, descriptor, selector)
            depth += 1
        self.merge(field.message, target, depth)

    def _descriptor(self, target: Message, tag: proto_splitter.FieldIndex) -> FieldDescriptor:
        if tag.WhichOneof("kind") != "field":
            raise self._corrupt(f"an index or map key without a field of {target.DESCRIPTOR.full_name}")
        descriptor: Any = target.DESCRIPTOR.fields_by_number.get(tag.field)
        if descriptor is None:
            raise self._corrupt(f"{target.DESCRIPTOR.full_name} has no field {tag.field}")
        found: FieldDescriptor = descriptor
        return found

    def _selector(
        self, descriptor: FieldDescriptor, tag: proto_splitter.FieldIndex | None, target: Message
    ) -> Selector:
        """The index or map key behind a field's number; None where the field has one value."""
        from google.protobuf.message_factory import GetMessageClass

        container = getattr(target, descriptor.name)
        entry: Any = descriptor.message_type
        want = None
        if isinstance(container, MutableMapping):
            want = "map_key"
        elif isinstance(container, MutableSequence):
            want = "index"
        got = None if tag is None else tag.WhichOneof("kind") or "nothing"
        if got != want:
            raise self._corrupt(f"{descriptor.full_name}: got {got or 'no index'}, want {want or 'no index'}")
        if tag is None:
            return None
        if want == "index":
            # Elements come in order, so each is there already or is the next.
            if tag.index > len(container):
                raise self._corrupt(f"{descriptor.full_name}: index {tag.index} of {len(container)}")
            return tag.index
        kind = tag.map_key.WhichOneof("type")
        if kind is None:
            raise self._corrupt(f"{descriptor.full_name}: a map key without a value")
        key: Selector = getattr(tag.map_key, kind)
        try:
            # Maps take some keys of other types as none; an entry refuses them all.
            GetMessageClass(entry)(key=key)
        except (TypeError, ValueError) as error:
            raise self._corrupt(f"{descriptor.full_name}: map key {key!r}: {error}") from error
        return key

    def _scalar(self, descriptor: FieldDescriptor, chunked: proto_splitter.ChunkedMessage) -> bytes | str:
        """The value of a field that is no message: a record as it is."""
        if descriptor.type not in (descriptor.TYPE_BYTES, descriptor.TYPE_STRING):
            raise self._corrupt(f"{descriptor.full_name} is a number, which no chunk holds")
        if not chunked.HasField("chunk_index"):
            raise self._corrupt(f"no chunk for {descriptor.full_name}")
        info, data = self._take(chunked.chunk_index, proto_splitter.ChunkInfo.BYTES)
        if descriptor.type == descriptor.TYPE_BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._corrupt(f"{descriptor.full_name}: {error}", info.offset) from error

    def _assign(
        self, target: Message, descriptor: FieldDescriptor, selector: Selector, value: bytes | str
    ) -> None:
        if selector is None:
            setattr(target, descriptor.name, value)
            return
        container = getattr(target, descriptor.name)
        if isinstance(container, MutableSequence) and selector == len(container):
            container.append(value)
        else:
            container[selector] = value

    def _take(self, number: int, kind: int) -> tuple[proto_splitter.ChunkInfo, bytes]:
        """The chunk of a number, which must be of that kind; nothing can have it after that."""
        if number >= self._count:
            raise self._corrupt(f"chunk {number} of {self._count}")
        if number not in self._chunks:
            # TensorFlow's writer never does this; a small file could make a large message of it.
            raise self._corrupt(f"chunk {number} is used twice")
        info, data = self._chunks.pop(number)
        if info.type != kind:
            raise self._corrupt(f"chunk {number}: got kind {info.type}, want {kind}", info.offset)
        return info, data

    def _corrupt(self, what: str, offset: int | None = None) -> CorruptError:
        return CorruptError(f"split proto: {what}", file=self._file, offset=offset)


def _value_field(descriptor: FieldDescriptor) -> FieldDescriptor:
    """The field itself, or the value of a map's entries."""
    entry = descriptor.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return entry.fields_by_name["value"]
    return descriptor


def _step(target: Message, descriptor: FieldDescriptor, selector: Selector) -> Message:
    """The message in a field of ``target``, made if it is not there yet."""
    value: Any = getattr(target, descriptor.name)
    if selector is None:
        value.SetInParent()
        found: Message = value
    elif descriptor is _value_field(descriptor) and selector == len(value):
        found = value.add()
    else:
        found = value[selector]
    return found


def _order(field: proto_splitter.ChunkedField) -> tuple[object, ...]:
    """What TensorFlow sorts by: the path, then the chunk's number."""
    path: list[tuple[object, ...]] = []
    for tag in field.field_tag:
        kind = tag.WhichOneof("kind") or ""
        if kind == "map_key":
            key = tag.map_key.WhichOneof("type") or ""
            path.append((kind, key, getattr(tag.map_key, key) if key else 0))
        else:
            path.append((kind, getattr(tag, kind) if kind else 0))
    return path, field.message.chunk_index
