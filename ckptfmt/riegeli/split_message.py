"""Split protos (``*.cpb``): one message in the records of a Riegeli file.

TensorFlow writes a SavedModel of 2 GiB or more this way, since no single protobuf message can be that long::

    file:     the record of each chunk …, then a ChunkMetadata as the last record

For each chunk, ChunkMetadata has its kind, its size and the position of its record. It also holds the tree
that :mod:`ckptfmt.riegeli.merge` follows.

Source: TensorFlow ``tools/proto_splitter/chunk.proto``, ``merge.cc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.proto import proto_splitter
from ckptfmt.proto.parse import parse_message
from ckptfmt.riegeli.file import RiegeliFile
from ckptfmt.riegeli.merge import ChunkMerger
from ckptfmt.storage.file import RandomAccessFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

JOIN_VERSION = 0
"""The version of merging that is implemented here, as TensorFlow numbers them."""


class SplitProto:
    """An open split proto file."""

    def __init__(self, file: RandomAccessFile, *, limits: Limits = DEFAULT) -> None:
        """Read the metadata of a file; ``limits`` say how many bytes its chunks may decode to.

        Raises
        ------
        CorruptError
            The file is not a split proto, or is damaged.
        UnsupportedError
            It is of a later version, or its records are stored in a way that is not read here.
        """
        self._file = file
        self._limits = limits
        self._riegeli = RiegeliFile(file, limits=limits)
        self._metadata_position = self._riegeli.last_position
        record = self._riegeli.record(self._metadata_position)
        self._metadata = parse_message(proto_splitter.ChunkMetadata, record, file.name, None)
        if not self._metadata.HasField("message"):
            raise CorruptError(
                "the last record is not the metadata of a split proto",
                file=file.name,
                offset=self._metadata_position,
            )
        version = self._metadata.version.join_version
        if version > JOIN_VERSION:
            raise UnsupportedError(
                f"split proto: got join version {version}, want {JOIN_VERSION}", file=file.name
            )

    @property
    def root(self) -> bytes:
        """The chunk that all others are merged into, serialized; raises the errors of :meth:`merge`."""
        chunked, infos = self._metadata.message, self._metadata.chunks
        if not chunked.HasField("chunk_index") or chunked.chunk_index >= len(infos):
            return b""
        ((_, data),) = self._read_chunks([infos[chunked.chunk_index]]).values()
        return data

    def merge(self, cls: type[M]) -> M:
        """Return the message, of a class: for ``saved_model.cpb``, a SavedModel.

        Raises
        ------
        CorruptError
            The file is damaged, or its chunks do not fit the message.
        UnsupportedError
            Its records are stored in a way that is not read here.
        LimitError
            The chunks decode to more bytes than the limits allow.
        """
        chunks = self._read_chunks(self._metadata.chunks)
        message = cls()
        ChunkMerger(self._file.name, chunks).merge(self._metadata.message, message)
        return message

    def _read_chunks(
        self, infos: Sequence[proto_splitter.ChunkInfo]
    ) -> dict[int, tuple[proto_splitter.ChunkInfo, bytes]]:
        """Return the records of chunks by number."""
        riegeli, name = self._riegeli, self._file.name
        chunks: dict[int, tuple[proto_splitter.ChunkInfo, bytes]] = {}
        previous, begin, decoded = -1, -1, 0
        # In file order, so that each Riegeli chunk is decompressed once. Chunks with the same record are then
        # neighbours; they are refused, since they could make a small file a large message.
        for number in sorted(range(len(infos)), key=lambda number: infos[number].offset):
            info = infos[number]
            if info.offset >= self._metadata_position:
                what = f"chunk {number}: no record of a chunk at this position"
                raise CorruptError(what, file=name, offset=info.offset)
            if info.offset == previous:
                what = f"chunk {number}: another chunk has the same record"
                raise CorruptError(what, file=name, offset=info.offset)
            previous = info.offset
            stored = riegeli.chunk_at(info.offset)
            if stored.begin != begin:
                begin = stored.begin
                decoded += stored.decoded_size
                self._limits.check_bytes("bytes of a split proto", decoded, self._file.size, file=name)
            record = riegeli.record(info.offset)
            if len(record) != info.size:
                raise CorruptError(
                    f"chunk {number}: got {len(record)} bytes, want {info.size}",
                    file=name,
                    offset=info.offset,
                )
            # A copy: a view would keep all that was decompressed together with it.
            chunks[number] = info, bytes(record)
        return chunks
