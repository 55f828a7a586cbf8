"""Chunks: the hashed and perhaps compressed groups that records are stored in.

::

    chunk:         chunk header | data | padding
    chunk header:  hash uint64 | data size uint64 | hash of data uint64 | type uint8 | num_records uint56
                   | decoded size uint64
    simple data:   compression uint8 | size of sizes varint | sizes | values
    sizes:         size of a record varint …       values: the records, one after the other
    compressed:    decompressed size varint | bytes

The hash of the header covers the rest of the header. Padding makes each chunk at least as long as it has
records. Block headers may interrupt a chunk anywhere; see :mod:`ckptfmt.riegeli.block`.

Source: Riegeli ``doc/riegeli_records_file_format.md``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ckptfmt.errors import CorruptError, TruncatedError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.riegeli.block import next_possible_boundary, offset_after
from ckptfmt.riegeli.compression import DECOMPRESSORS, STORED, decompress_part
from ckptfmt.riegeli.highway_hash import highway_hash64
from ckptfmt.wire.coding import MAX_VARINT_BYTES, decode_varint, decode_varints

CHUNK_HEADER_SIZE = 40

SIGNATURE_CHUNK = 0x73  # "s"
METADATA_CHUNK = 0x6D  # "m"
PADDING_CHUNK = 0x70  # "p"
SIMPLE_CHUNK = 0x72  # "r"
TRANSPOSED_CHUNK = 0x74  # "t"

WITHOUT_RECORDS = frozenset([SIGNATURE_CHUNK, METADATA_CHUNK, PADDING_CHUNK])
"""Chunks that are skipped, because they hold no records."""

_CHUNK_HEADER = struct.Struct("<5Q")


@dataclass(frozen=True, slots=True)
class Chunk:
    """The header of a chunk, and the place of the chunk in its file."""

    begin: int
    """Offset of its first byte, which may be that of a block header."""
    end: int
    """Offset after its padding, where the next chunk begins."""
    type: int
    """The kind of its data: SIMPLE_CHUNK or one of the others."""
    num_records: int
    """How many records it has."""
    decoded_size: int
    """Bytes of all its records."""
    data_size: int
    """Stored bytes of its data, without block headers."""
    data_hash: int
    """Hash of its data."""
    header_hash: int
    """Hash of the rest of its header."""


@dataclass(frozen=True, slots=True)
class ChunkRecords:
    """The decoded records of one chunk."""

    values: memoryview
    ends: list[int]
    """Where each record ends in the values."""

    def __getitem__(self, index: int) -> memoryview:
        return self.values[self.ends[index - 1] if index else 0 : self.ends[index]]


def decode_chunk_header(data: bytes, begin: int) -> Chunk:
    """Return the chunk with this header of 40 bytes, which are not verified, at an offset of a file."""
    header_hash, data_size, data_hash, type_and_records, decoded_size = _CHUNK_HEADER.unpack(data)
    num_records = type_and_records >> 8
    # Each record has a position of its own, counted from the beginning of the chunk. A chunk with fewer bytes
    # than records is padded, so that the positions do not reach into the next chunk.
    end = max(offset_after(begin, CHUNK_HEADER_SIZE + data_size), next_possible_boundary(begin + num_records))
    return Chunk(
        begin, end, type_and_records & 0xFF, num_records, decoded_size, data_size, data_hash, header_hash
    )


def encode_chunk_header(
    *, chunk_type: int, num_records: int, decoded_size: int, data_size: int, data_hash: int
) -> bytes:
    """Return the header of a chunk; the inverse of :func:`decode_chunk_header`."""
    fields = _CHUNK_HEADER.pack(0, data_size, data_hash, chunk_type | num_records << 8, decoded_size)[8:]
    return highway_hash64(fields).to_bytes(8, "little") + fields


def check_supported(chunk: Chunk, file: str) -> None:
    """Raise UnsupportedError unless the records of a chunk of this type can be read."""
    if chunk.type == SIMPLE_CHUNK:
        return
    what = f"records in a chunk of type 0x{chunk.type:02x}"
    if chunk.type == TRANSPOSED_CHUNK:
        what = "the records are in a transposed chunk, which is not read yet"
    raise UnsupportedError(what, file=file, offset=chunk.begin)


def decode_records(chunk: Chunk, data: memoryview, limits: Limits) -> ChunkRecords:
    """Return the records in the data of a simple chunk; errors have no place in a file.

    Raises
    ------
    CorruptError
        The data are damaged, or sizes contradict each other.
    UnsupportedError
        The compression is not known here.
    LimitError
        The data are compressed, and decode to more bytes than one value may have.
    """
    if not data:
        raise TruncatedError("simple chunk", wanted=1, available=0)
    compression = data[0]
    if compression != STORED:
        if compression not in DECOMPRESSORS:
            raise UnsupportedError(f"compression 0x{compression:02x}")
        limits.check_bytes("bytes of a chunk", chunk.decoded_size)
    size, pos = decode_varint(data, 1)
    if size > len(data) - pos:
        raise TruncatedError("sizes of records", wanted=size, available=len(data) - pos)
    ends = _decode_ends(chunk, compression, data[pos : pos + size])
    # The sizes add up to the size in the header, which has been compared with the limits: the values cannot
    # take more memory than that.
    exact = chunk.decoded_size
    values = decompress_part(compression, data[pos + size :], "values of records", exact, exact)
    return ChunkRecords(values, ends)


def _decode_ends(chunk: Chunk, compression: int, data: memoryview) -> list[int]:
    """Return where each record ends, from their compressed sizes."""
    count = chunk.num_records
    encoded = decompress_part(compression, data, "sizes of records", count, MAX_VARINT_BYTES * count)
    sizes, used = decode_varints(encoded, count)
    if used != len(encoded):
        raise CorruptError(f"sizes of {count} records: got {len(encoded)} bytes, want {used}")
    # Python's integers: a sum of 64-bit sizes may overflow.
    ends, end = [], 0
    for size in sizes.tolist():
        end += size
        ends.append(end)
    if end != chunk.decoded_size:
        raise CorruptError(f"sizes of records: got {end} in all, want {chunk.decoded_size}")
    return ends
