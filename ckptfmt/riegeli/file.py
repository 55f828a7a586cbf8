"""Riegeli/records files: records of bytes in chunks.

::

    file:     chunk …, and a block header before every byte whose offset is a multiple of 65536

The first 64 bytes are a block header and a signature chunk, the same in every file. The position of a record
is the beginning of its chunk plus its number in the chunk. Chunks are at least as long as they have records,
so no two records share a position, and the last chunk that begins at or before a position has its record.

Everything that is read is verified: the hashes and distances of block headers, the hashes of chunk headers,
and the hashes of chunk data up to a size. Sizes in headers are compared with the file before they are
believed.

Source: Riegeli ``doc/riegeli_records_file_format.md``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, TruncatedError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.riegeli.block import (
    BLOCK_HEADER_SIZE,
    BLOCK_SIZE,
    SIGNATURE,
    decode_block_header,
    offset_after,
    read_between_headers,
)
from ckptfmt.riegeli.chunk import (
    CHUNK_HEADER_SIZE,
    WITHOUT_RECORDS,
    Chunk,
    ChunkRecords,
    check_supported,
    decode_chunk_header,
    decode_records,
)
from ckptfmt.riegeli.highway_hash import highway_hash64
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.coding import Buffer

VERIFIED_SIZE = 16 << 20
"""Bytes of data up to which a chunk's hash is verified unless the caller says otherwise, which takes a little
more than a second. Riegeli's writer closes a chunk at 1 MiB; a longer one ends with a long record."""


class RiegeliFile:
    """A Riegeli/records file; opening it checks its signature.

    Parameters
    ----------
    file
        The file.
    verify_up_to
        Bytes of data up to which a chunk's hash is verified; 0 leaves all data to the checks of the
        decompressor and of the sizes. Headers are always verified.
    limits
        How many bytes one compressed chunk may decode to.

    Raises
    ------
    CorruptError
        The file is not a Riegeli/records file.
    """

    def __init__(
        self, file: RandomAccessFile, *, verify_up_to: int = VERIFIED_SIZE, limits: Limits = DEFAULT
    ) -> None:
        self.file = file
        self._verify_up_to = verify_up_to
        self._limits = limits
        self._last_decoded: tuple[Chunk, ChunkRecords] | None = None
        if file.size < len(SIGNATURE):
            raise TruncatedError(
                "too short to be a Riegeli/records file",
                wanted=len(SIGNATURE),
                available=file.size,
                file=file.name,
                offset=0,
            )
        signature = bytes(file.read(0, len(SIGNATURE)))
        if signature != SIGNATURE:
            raise CorruptError(
                f"not a Riegeli/records file: got signature {signature.hex()}, want {SIGNATURE.hex()}",
                file=file.name,
                offset=0,
            )

    def chunks(self) -> Iterator[Chunk]:
        """Iterate over all chunks in file order; only headers are read.

        Raises
        ------
        CorruptError
            A header is damaged, or a chunk ends after the end of the file.
        """
        begin = 0
        while begin < self.file.size:
            chunk = self._read_header(begin)
            yield chunk
            # At least a header further on, so the loop ends.
            begin = chunk.end

    def items(self) -> Iterator[tuple[int, memoryview]]:
        """Iterate over the positions and bytes of all records in file order; each chunk is read once.

        Raises
        ------
        CorruptError
            A chunk is damaged; the records of the chunks before it have been returned.
        UnsupportedError
            A chunk is transposed, or of a type or compression that is not known here.
        LimitError
            A chunk decodes to more bytes than the limit.
        """
        for chunk in self.chunks():
            if chunk.num_records:
                records = self._read_records(chunk)
                for index in range(chunk.num_records):
                    yield chunk.begin + index, records[index]

    def records(self) -> Iterator[memoryview]:
        """Iterate over all records in file order; raises the errors of :meth:`items`."""
        return (record for _, record in self.items())

    @cached_property
    def _begins(self) -> array[int]:
        """Offsets of the chunks that hold records."""
        # An array of 8 bytes each: a large file has very many chunks.
        return array("Q", (chunk.begin for chunk in self.chunks() if chunk.num_records))

    @property
    def last_position(self) -> int:
        """The position of the last record.

        Raises CorruptError if the file has no records.
        """
        if not self._begins:
            raise CorruptError("no records", file=self.file.name, offset=self.file.size)
        last = self._read_header(self._begins[-1])
        return last.begin + last.num_records - 1

    def chunk_at(self, position: int) -> Chunk:
        """Return the chunk that holds the record at a position.

        Raises CorruptError if no record has that position.
        """
        # Records are often asked for in turn, so the chunk decoded last is tried first.
        decoded = self._last_decoded
        if decoded is not None and 0 <= position - decoded[0].begin < decoded[0].num_records:
            return decoded[0]
        # The last chunk that begins at or before the position has it, or no chunk does.
        index = bisect_right(self._begins, position) - 1
        if index >= 0:
            chunk = self._read_header(self._begins[index])
            if position - chunk.begin < chunk.num_records:
                return chunk
        raise CorruptError("no record at this position", file=self.file.name, offset=position)

    def record(self, position: int) -> memoryview:
        """Return the record at a position; a chunk is decoded once for records asked for in turn.

        Raises the errors of :meth:`items`, and CorruptError if no record has that position.
        """
        chunk = self.chunk_at(position)
        decoded = self._last_decoded
        # chunk_at() returns the very chunk that was decoded last, if that has the record.
        if decoded is None or decoded[0] is not chunk:
            decoded = self._last_decoded = chunk, self._read_records(chunk)
        return decoded[1][position - chunk.begin]

    def _read_header(self, begin: int) -> Chunk:
        """Return the chunk at ``begin``, with its header and the block headers in it verified."""
        self._check_inside(begin, offset_after(begin, CHUNK_HEADER_SIZE))
        header = bytes(read_between_headers(self.file, begin, CHUNK_HEADER_SIZE))
        chunk = decode_chunk_header(header, begin)
        self._verify("chunk header", chunk.header_hash, header[8:], begin)
        self._check_inside(begin, chunk.end)
        # Every block that begins within the chunk has a header that says where the chunk begins and ends.
        first_block = -(-begin // BLOCK_SIZE) * BLOCK_SIZE
        # The check above bounds this loop by the size of the file.
        for block in range(first_block, chunk.end, BLOCK_SIZE):
            self._check_block_header(block, chunk)
        if chunk.type in WITHOUT_RECORDS and chunk.num_records:
            raise CorruptError(
                f"chunk of type {chr(chunk.type)!r}: got {chunk.num_records} records, want 0",
                file=self.file.name,
                offset=begin,
            )
        return chunk

    def _check_inside(self, begin: int, end: int) -> None:
        if end > self.file.size:
            raise TruncatedError(
                "chunk outside the file",
                wanted=end - begin,
                available=self.file.size - begin,
                file=self.file.name,
                offset=begin,
            )

    def _check_block_header(self, block: int, chunk: Chunk) -> None:
        data = bytes(self.file.read(block, BLOCK_HEADER_SIZE))
        header = decode_block_header(data)
        self._verify("block header", header.hash, data[8:], block)
        to_begin, to_end = block - chunk.begin, chunk.end - block
        if (header.to_begin, header.to_end) != (to_begin, to_end):
            raise CorruptError(
                f"block header: got distances {header.to_begin} and {header.to_end}, "
                f"want {to_begin} and {to_end}",
                file=self.file.name,
                offset=block,
            )

    def _verify(self, what: str, stored: int, data: Buffer, offset: int) -> None:
        computed = highway_hash64(data)
        if computed != stored:
            raise ChecksumError(
                f"{what}: hash mismatch", stored=stored, computed=computed, file=self.file.name, offset=offset
            )

    def _read_records(self, chunk: Chunk) -> ChunkRecords:
        """Return the records of a chunk, verified up to the size that the caller wants."""
        check_supported(chunk, self.file.name)  # before the data are hashed, which takes long
        data = read_between_headers(self.file, offset_after(chunk.begin, CHUNK_HEADER_SIZE), chunk.data_size)
        if len(data) <= self._verify_up_to:
            self._verify("chunk data", chunk.data_hash, data, chunk.begin)
        try:
            return decode_records(chunk, data, self._limits)
        except CkptfmtError as error:
            # An offset in decompressed data means nothing in the file, so the error is placed at the chunk.
            error.offset = None
            raise error.at(self.file.name, chunk.begin) from error.__cause__
