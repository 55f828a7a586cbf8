"""Riegeli/records files, written as Riegeli's own writer does; ``file`` reads them.

Records are collected in a chunk until the next would make it longer than 1 MiB, and a longer record is a
chunk of its own. Memory holds one chunk; a record that is not compressed is written from where it is.

Writing takes as long as its hashes do, which is about 80 ms for each megabyte that is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ckptfmt.riegeli.block import BLOCK_SIZE, SIGNATURE, encode_block_header
from ckptfmt.riegeli.chunk import SIMPLE_CHUNK, decode_chunk_header, encode_chunk_header
from ckptfmt.riegeli.compression import COMPRESSION_BYTES, STORED, Compression, compress_part
from ckptfmt.riegeli.highway_hash import highway_hash64_of_pieces
from ckptfmt.storage.output import Output
from ckptfmt.wire.coding import Buffer, encode_varint

CHUNK_SIZE = 1 << 20
"""Bytes up to which records share a chunk."""

_POSITION_SIZE = 8
"""Riegeli counts the position of a record in the size of its chunk, so that empty records fill it too."""


class RiegeliWriter:
    """Writes records to a file, to which nothing has been written yet. The caller commits the output.

    Parameters
    ----------
    output
        The file.
    compression
        How chunks are compressed; None stores them as they are.
    """

    def __init__(self, output: Output, *, compression: Compression | None = "brotli") -> None:
        self._output = output
        self._compression = compression
        self._records: list[Sequence[Buffer]] = []
        self._chunk_size = 0
        self._begin = len(SIGNATURE)
        """Offset of the chunk that is being collected."""
        output.write(SIGNATURE)

    def write(self, *pieces: Buffer) -> int:
        """Add a record, given in pieces, and return its position.

        The pieces must not change until the next call. Raises NotWritableError if the output cannot be
        written.
        """
        size = _size(pieces) + _POSITION_SIZE
        if self._chunk_size + size > CHUNK_SIZE:
            self.flush()
        self._records.append(pieces)
        self._chunk_size += size
        return self._begin + len(self._records) - 1

    def write_stored(self, *pieces: Buffer) -> int:
        """Write a record as a chunk of its own, which is not compressed; else as :meth:`write`.

        The pieces are not copied, and may change after the call.
        """
        self.flush()
        position = self._begin
        self._write_records([pieces], None)
        return position

    def flush(self) -> None:
        """Write the records that were collected, if any; to be called after the last."""
        if self._records:
            self._write_records(self._records, self._compression)
            self._records, self._chunk_size = [], 0

    def _write_records(self, records: list[Sequence[Buffer]], compression: Compression | None) -> None:
        """Write a simple chunk of records."""
        sizes = compress_part(compression, [encode_varint(_size(pieces)) for pieces in records])
        values = [piece for pieces in records for piece in pieces]
        kind = STORED if compression is None else COMPRESSION_BYTES[compression]
        head = bytes([kind]) + encode_varint(len(sizes)) + sizes
        data = [head, *(values if compression is None else [compress_part(compression, values)])]
        header = encode_chunk_header(
            chunk_type=SIMPLE_CHUNK,
            num_records=len(records),
            decoded_size=sum(map(_size, records)),
            data_size=_size(data),
            data_hash=highway_hash64_of_pieces(data),
        )
        end = decode_chunk_header(header, self._begin).end
        self._output.write_all(_with_block_headers([header, *data], self._begin, end))
        self._begin = end


def _size(pieces: Iterable[Buffer]) -> int:
    return sum(map(len, pieces))


def _with_block_headers(pieces: Iterable[Buffer], begin: int, end: int) -> Iterator[Buffer]:
    """Iterate over the bytes of a chunk, between two offsets, with block headers and padding."""
    offset = begin
    for data in pieces:
        piece, done = memoryview(data), 0
        while done < len(piece):
            if offset % BLOCK_SIZE == 0:
                header = encode_block_header(offset - begin, end - offset)
                yield header
                offset += len(header)
            part = piece[done : done + BLOCK_SIZE - offset % BLOCK_SIZE]
            yield part
            offset += len(part)
            done += len(part)
    while offset < end:
        if offset % BLOCK_SIZE == 0:
            padding = encode_block_header(offset - begin, end - offset)
        else:
            padding = bytes(min(end - offset, BLOCK_SIZE - offset % BLOCK_SIZE))
        yield padding
        offset += len(padding)
