"""Merging: a message from the chunks that it was split into.

A ChunkedMessage is a tree that says what goes where. Its message begins as the chunk that it names, if it
names one; then its fields are merged into it, each a ChunkedMessage of its own at the end of a path. A path
is a list of field numbers, each followed by an index or a map key if the field is repeated or a map. An empty
path leads to the message itself, whose repeated fields become longer. The chunk of a bytes or string field is
its value.

The order matters, because an element can only be filled after those before it exist. TensorFlow sorts the
fields of a message by path, then by chunk: a shorter path comes before a longer one that begins with it.

Three bounds keep a small file from becoming a large message: each chunk is used once at most, an index is at
most one larger than the list is long, and messages nest no deeper than protobuf reads them.

Source: TensorFlow ``tools/proto_splitter/chunk.proto``, ``merge.cc``, ``cc/util.cc``.
"""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ckptfmt.errors import CorruptError
from ckptfmt.proto import proto_splitter
from ckptfmt.wire.damage import find_damage

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

Selector: TypeAlias = int | str | None
"""One value of a field: its index, its map key, or None if the field has only one."""

MAX_DEPTH = 100
"""The most messages within messages that paths may make: protobuf itself reads no more in binary."""


class ChunkMerger:
    """Merges chunks into the places that a tree of chunked messages gives them."""

    def __init__(self, file: str, chunks: dict[int, tuple[proto_splitter.ChunkInfo, bytes]]) -> None:
        """Take the chunks of a file by number, and empty the mapping as they are used."""
        self._file = file
        self._unused = chunks
        self._count = len(chunks)

    def merge(self, chunked: proto_splitter.ChunkedMessage, target: Message, depth: int = 0) -> None:
        """Merge a chunked message into ``target``, which is nested ``depth`` messages deep.

        Raises CorruptError if chunks or paths do not fit the message.
        """
        from google.protobuf.message import DecodeError

        if chunked.HasField("chunk_index"):
            info, data = self._use(chunked.chunk_index, proto_splitter.ChunkInfo.MESSAGE)
            try:
                target.MergeFromString(data)
            except (DecodeError, RecursionError, ValueError) as error:
                # ValueError: the pure-Python decoder's UnicodeDecodeError.
                damage = find_damage(type(target), memoryview(data))
                reason = error if damage is None else damage.what
                raise self._corrupt(
                    f"chunk {chunked.chunk_index} is not a {target.DESCRIPTOR.full_name} message: {reason}",
                    info.offset,
                ) from error
        for field in sorted(chunked.chunked_fields, key=_order):
            self._merge_field(field, target, depth + 1)

    def _merge_field(self, field: proto_splitter.ChunkedField, target: Message, depth: int) -> None:
        """Follow the path of a field from ``target``, and merge or assign the field at its end."""
        # Reversed, so that pop() takes them in order.
        tags = list(reversed(field.field_tag))
        while tags:
            # A message nested deeper could be neither serialized nor freed again.
            if depth > MAX_DEPTH:
                raise self._corrupt(f"nested deeper than {MAX_DEPTH} messages")
            descriptor = self._descriptor(target, tags.pop())
            has_selector = tags and tags[-1].WhichOneof("kind") != "field"
            selector = self._selector(descriptor, tags.pop() if has_selector else None, target)
            value = _value_field(descriptor)
            if value.message_type is None:
                if tags or field.message.chunked_fields:
                    raise self._corrupt(
                        f"the path continues after {descriptor.full_name}, which is not a message"
                    )
                _assign(target, descriptor, selector, self._scalar(value, field.message))
                return
            target = _enter(target, descriptor, selector)
            depth += 1
        # The recursion ends: protobuf has parsed the tree, and accepts no more than 100 messages within each
        # other.
        self.merge(field.message, target, depth)

    def _descriptor(self, target: Message, tag: proto_splitter.FieldIndex) -> FieldDescriptor:
        """Return the field of a message that a tag names."""
        if tag.WhichOneof("kind") != "field":
            raise self._corrupt(f"an index or map key without a field of {target.DESCRIPTOR.full_name}")
        descriptor: Any = target.DESCRIPTOR.fields_by_number.get(tag.field)
        if descriptor is None:
            raise self._corrupt(f"{target.DESCRIPTOR.full_name} has no field {tag.field}")
        named: FieldDescriptor = descriptor
        return named

    def _selector(
        self, descriptor: FieldDescriptor, tag: proto_splitter.FieldIndex | None, target: Message
    ) -> Selector:
        """Return the index or map key after a field's number; None if the field has one value."""
        container = getattr(target, descriptor.name)
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
        if want == "map_key":
            return self._map_key(descriptor, tag)
        # Elements come in order, so each exists already or is the next.
        if tag.index > len(container):
            raise self._corrupt(
                f"{descriptor.full_name}: got index {tag.index}, want at most {len(container)}"
            )
        return tag.index

    def _map_key(self, descriptor: FieldDescriptor, tag: proto_splitter.FieldIndex) -> Selector:
        from google.protobuf.message_factory import GetMessageClass

        kind = tag.map_key.WhichOneof("type")
        if kind is None:
            raise self._corrupt(f"{descriptor.full_name}: a map key without a value")
        key: Selector = getattr(tag.map_key, kind)
        entry: Any = descriptor.message_type
        try:
            # A map treats some keys of a wrong type as missing; a message of its entries refuses them all.
            GetMessageClass(entry)(key=key)
        except (TypeError, ValueError) as error:
            raise self._corrupt(f"{descriptor.full_name}: map key {key!r}: {error}") from error
        return key

    def _scalar(self, descriptor: FieldDescriptor, chunked: proto_splitter.ChunkedMessage) -> bytes | str:
        """Return the value of a bytes or string field, which is a chunk as it is."""
        if descriptor.type not in (descriptor.TYPE_BYTES, descriptor.TYPE_STRING):
            raise self._corrupt(f"{descriptor.full_name} is a number, which a chunk cannot hold")
        if not chunked.HasField("chunk_index"):
            raise self._corrupt(f"no chunk for {descriptor.full_name}")
        info, data = self._use(chunked.chunk_index, proto_splitter.ChunkInfo.BYTES)
        if descriptor.type == descriptor.TYPE_BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._corrupt(f"{descriptor.full_name}: {error}", info.offset) from error

    def _use(self, number: int, kind: int) -> tuple[proto_splitter.ChunkInfo, bytes]:
        """Return a chunk, which must be of that kind, and forget it."""
        if number >= self._count:
            raise self._corrupt(f"got chunk {number}, want 0 to {self._count - 1}")
        if number not in self._unused:
            # TensorFlow's writer never does this, and it could make a small file a large message.
            raise self._corrupt(f"chunk {number} is used twice")
        info, data = self._unused.pop(number)
        if info.type != kind:
            raise self._corrupt(f"chunk {number}: got kind {info.type}, want {kind}", info.offset)
        return info, data

    def _corrupt(self, what: str, offset: int | None = None) -> CorruptError:
        return CorruptError(f"split proto: {what}", file=self._file, offset=offset)


def _value_field(descriptor: FieldDescriptor) -> FieldDescriptor:
    """Return the field itself, or that of the value in a map's entries."""
    entry = descriptor.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return entry.fields_by_name["value"]
    return descriptor


def _enter(target: Message, descriptor: FieldDescriptor, selector: Selector) -> Message:
    """Return the message in a field of ``target``, and add it if it does not exist yet."""
    value: Any = getattr(target, descriptor.name)
    if selector is None:
        value.SetInParent()  # an empty message counts as present
        inner: Message = value
    elif descriptor is _value_field(descriptor) and selector == len(value):
        inner = value.add()
    else:
        inner = value[selector]
    return inner


def _assign(target: Message, descriptor: FieldDescriptor, selector: Selector, value: bytes | str) -> None:
    """Set a bytes or string field of ``target``, or one value of it."""
    if selector is None:
        setattr(target, descriptor.name, value)
        return
    container = getattr(target, descriptor.name)
    if isinstance(container, MutableSequence) and selector == len(container):
        container.append(value)
    else:
        container[selector] = value


def _order(field: proto_splitter.ChunkedField) -> tuple[object, ...]:
    """Return the key by which TensorFlow sorts fields: the path, then the number of the chunk."""
    path: list[tuple[object, ...]] = []
    for tag in field.field_tag:
        kind = tag.WhichOneof("kind") or ""
        if kind == "map_key":
            key = tag.map_key.WhichOneof("type") or ""
            path.append((kind, key, getattr(tag.map_key, key) if key else 0))
        else:
            path.append((kind, getattr(tag, kind) if kind else 0))
    return path, field.message.chunk_index
