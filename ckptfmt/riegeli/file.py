"""Riegeli/records files: records of bytes, in hashed and perhaps compressed chunks.

::

    file:          chunk …, and a block header before every byte whose offset is a multiple of 65536
    block header:  hash uint64 | bytes back to the begin of its chunk uint64 | bytes on to its end uint64
    chunk:         chunk header | data | padding
    chunk header:  hash uint64 | data size uint64 | hash of data uint64 | type uint8 | num_records uint56
                   | decoded size uint64
    simple data:   compression uint8 | size of sizes varint | sizes | values
    sizes:         size of a record varint …       values: the records, one after the other
    compressed:    decompressed size varint | bytes

A header's hash covers the header's bytes behind it. A block header may interrupt a chunk anywhere, its header
included; a chunk that begins with a block begins at the block header. The first 64 bytes are those of a
signature chunk, the same in every file. The position of a record is the begin of its chunk plus its number in
the chunk; padding makes each chunk at least as long as it has records, so no two records share one.

The hash is HighwayHash-64 with a key of Riegeli's own. Source: Riegeli
``doc/riegeli_records_file_format.md``; HighwayHash ``highwayhash/hh_portable.h``.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ckptfmt.errors import (
    ChecksumError,
    CkptfmtError,
    CorruptError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.coding import MAX_VARINT_BYTES, Buffer, decode_varint, decode_varints

BLOCK_SIZE = 1 << 16
BLOCK_HEADER_SIZE = 24
CHUNK_HEADER_SIZE = 40
_USABLE = BLOCK_SIZE - BLOCK_HEADER_SIZE

SIGNATURE = bytes.fromhex(
    "83af70d10d884a3f 0000000000000000 4000000000000000"
    "91bac23c9287e1a9 0000000000000000 e19f13c0e9b1c372 7300000000000000 0000000000000000"
)
"""The first 64 bytes of every file: a block header and the header of a chunk without data."""

SIGNATURE_CHUNK = 0x73  # "s"
METADATA_CHUNK = 0x6D  # "m"
PADDING_CHUNK = 0x70  # "p"
SIMPLE_CHUNK = 0x72  # "r"
TRANSPOSED_CHUNK = 0x74  # "t"

WITHOUT_RECORDS = frozenset([SIGNATURE_CHUNK, METADATA_CHUNK, PADDING_CHUNK])
"""Chunks that are skipped: they hold no records."""

VERIFIED_SIZE = 16 << 20
"""Bytes of data up to which a chunk's hash is verified unless the caller says otherwise: at about 13 MB/s
more than a second. Riegeli's writer closes a chunk at 1 MiB; a longer one ends with a long record."""

DECODED_LIMIT = 2 << 30
"""Bytes that a compressed chunk may decode to unless the caller says otherwise: as many as a message."""

_MASK64 = (1 << 64) - 1
_MASK32 = (1 << 32) - 1

_MUL0 = (0xDBE6D5D5FE4CCE2F, 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3)
_MUL1 = (0x3BD39E10CB0EF593, 0xC0ACF169B5F18A8C, 0xBE5466CF34E90C6C, 0x452821E638D01377)

KEY = struct.unpack("<4Q", b"Riegeli/records\n" * 2)
"""The key of all hashes in these files."""

_LANES = struct.Struct("<4Q")
_ZIPPER = bytes([3, 12, 2, 5, 14, 1, 15, 0, 11, 4, 10, 13, 9, 6, 8, 7])
"""For each byte of two lanes, which of their bytes comes there."""
_ZIPPER_LANES = _ZIPPER + bytes(16 + place for place in _ZIPPER)
_TABLE_REST = bytes(256 - _LANES.size)

_BLOCK_HEADER = struct.Struct("<3Q")
_CHUNK_HEADER = struct.Struct("<5Q")


def highway_hash64(data: Buffer, key: Iterable[int] = KEY) -> int:
    """Return the HighwayHash-64 of bytes, with a key of four 64-bit words."""
    key = tuple(key)
    v0 = [start ^ word for start, word in zip(_MUL0, key, strict=True)]
    v1 = [start ^ _rotate32(word) for start, word in zip(_MUL1, key, strict=True)]
    whole = len(data) // _LANES.size * _LANES.size
    state = _update((*v0, *v1, *_MUL0, *_MUL1), _LANES.iter_unpack(data[:whole]))
    if whole < len(data):
        state = _update_rest(state, bytes(data[whole:]))
    for _ in range(4):
        lanes = _rotate32(state[2]), _rotate32(state[3]), _rotate32(state[0]), _rotate32(state[1])
        state = _update(state, [lanes])
    return (state[0] + state[4] + state[8] + state[12]) & _MASK64


def _rotate32(word: int) -> int:
    return word >> 32 | (word & _MASK32) << 32


def _update(state: tuple[int, ...], packets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The state (v0, v1, mul0, mul1, four lanes each) after packets of four lanes."""
    # Local names and lanes written out: a loop over lanes takes twice the time.
    a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3 = state
    mask64, mask32, rest = _MASK64, _MASK32, _TABLE_REST
    pack, unpack = _LANES.pack, _LANES.unpack
    # Bytes change places in one step: the places are translated by a table that begins with the bytes.
    zipper = _ZIPPER_LANES.translate
    for p0, p1, p2, p3 in packets:
        b0 = (b0 + c0 + p0) & mask64
        b1 = (b1 + c1 + p1) & mask64
        b2 = (b2 + c2 + p2) & mask64
        b3 = (b3 + c3 + p3) & mask64
        c0 ^= (b0 & mask32) * (a0 >> 32)
        c1 ^= (b1 & mask32) * (a1 >> 32)
        c2 ^= (b2 & mask32) * (a2 >> 32)
        c3 ^= (b3 & mask32) * (a3 >> 32)
        a0 = (a0 + d0) & mask64
        a1 = (a1 + d1) & mask64
        a2 = (a2 + d2) & mask64
        a3 = (a3 + d3) & mask64
        d0 ^= (a0 & mask32) * (b0 >> 32)
        d1 ^= (a1 & mask32) * (b1 >> 32)
        d2 ^= (a2 & mask32) * (b2 >> 32)
        d3 ^= (a3 & mask32) * (b3 >> 32)
        z0, z1, z2, z3 = unpack(zipper(pack(b0, b1, b2, b3) + rest))
        a0 = (a0 + z0) & mask64
        a1 = (a1 + z1) & mask64
        a2 = (a2 + z2) & mask64
        a3 = (a3 + z3) & mask64
        z0, z1, z2, z3 = unpack(zipper(pack(a0, a1, a2, a3) + rest))
        b0 = (b0 + z0) & mask64
        b1 = (b1 + z1) & mask64
        b2 = (b2 + z2) & mask64
        b3 = (b3 + z3) & mask64
    return a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3


def _update_rest(state: tuple[int, ...], rest: bytes) -> tuple[int, ...]:
    """The state after the 1 to 31 bytes that fill no packet."""
    size = len(rest)
    v0 = [(lane + (size << 32) + size) & _MASK64 for lane in state[:4]]
    v1 = [_rotate_halves(lane, size) for lane in state[4:8]]
    packet = bytearray(_LANES.size)
    words = size & ~3
    packet[:words] = rest[:words]
    tail = size & 3
    if size & 16:
        packet[28:] = rest[-4:]
    elif tail:
        packet[16:19] = rest[words], rest[words + (tail >> 1)], rest[-1]
    return _update((*v0, *v1, *state[8:]), [_LANES.unpack(packet)])


def _rotate_halves(word: int, count: int) -> int:
    """The two 32-bit halves of a word, each rotated left."""
    low, high = word & _MASK32, word >> 32
    low = (low << count | low >> (32 - count)) & _MASK32
    high = (high << count | high >> (32 - count)) & _MASK32
    return high << 32 | low


# The library is imported when the first compressed chunk is met: files of this kind are rare.


def _brotli(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.brotli.decompress_into(data, out))


def _zstd(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.zstd.decompress_into(data, out))


def _snappy(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.snappy.decompress_raw_into(data, out))


STORED = 0
DECOMPRESSORS: dict[int, tuple[str, Callable[[Buffer, memoryview], int]]] = {
    0x62: ("brotli", _brotli),
    0x73: ("snappy", _snappy),
    0x7A: ("zstd", _zstd),
}
"""Compression byte -> its name, and the function that decompresses into a buffer and returns its length."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The header of a chunk, and where the chunk lies in its file."""

    begin: int
    """Offset of its first byte, which may be that of a block header."""
    end: int
    """Offset behind its padding: the begin of the next chunk."""
    type: int
    """What the data are: SIMPLE_CHUNK or one of the others."""
    num_records: int
    """Records in it."""
    decoded_size: int
    """Bytes of all its records."""
    data_size: int
    """Stored bytes of its data, without block headers."""
    data_hash: int
    """Their hash."""


@dataclass(frozen=True, slots=True)
class _Records:
    """The records of one chunk."""

    values: memoryview
    ends: list[int]
    """Where in the values each record ends."""

    def __getitem__(self, index: int) -> memoryview:
        return self.values[self.ends[index - 1] if index else 0 : self.ends[index]]


def _behind(pos: int, size: int) -> int:
    """The offset behind ``size`` bytes of a chunk that go on at ``pos``."""
    return pos + size + (size + (pos + _USABLE - 1) % BLOCK_SIZE) // _USABLE * BLOCK_HEADER_SIZE


def _possible_boundary(pos: int) -> int:
    """The first offset from ``pos`` on where a chunk may end: not in a block header, nor right behind one."""
    return pos + max(0, -pos % BLOCK_SIZE - (_USABLE - 1))


class RiegeliFile:
    """A Riegeli/records file; opening it checks its signature.

    What is read is verified: the hashes and distances of block headers, the hashes of chunk headers, and
    those of the data of chunks as far as ``verify_up_to`` says.

    Parameters
    ----------
    file
        The file.
    verify_up_to
        Bytes of data up to which a chunk's hash is verified; 0 leaves all data to the checks of the
        decompressor and of the sizes. Headers are always verified.
    limit
        Bytes that one compressed chunk may decode to; a LimitError says so where a file asks for more.

    Raises
    ------
    CorruptError
        The file is no Riegeli/records file.
    """

    def __init__(
        self, file: RandomAccessFile, *, verify_up_to: int = VERIFIED_SIZE, limit: int = DECODED_LIMIT
    ) -> None:
        self.file = file
        self._verify_up_to = verify_up_to
        self._limit = limit
        self._kept: tuple[Chunk, _Records] | None = None
        if file.size < len(SIGNATURE):
            raise TruncatedError(
                "too short to be a Riegeli/records file",
                wanted=len(SIGNATURE),
                available=file.size,
                file=file.name,
                offset=0,
            )
        found = bytes(file.read(0, len(SIGNATURE)))
        if found != SIGNATURE:
            raise CorruptError(
                f"not a Riegeli/records file: got signature {found.hex()}, want {SIGNATURE.hex()}",
                file=file.name,
                offset=0,
            )

    def chunks(self) -> Iterator[Chunk]:
        """Iterate over all chunks, in file order; only headers are read.

        Raises
        ------
        CorruptError
            A header is damaged, or a chunk ends behind the end of the file.
        """
        begin = 0
        while begin < self.file.size:
            chunk = self._read_header(begin)
            yield chunk
            begin = chunk.end

    def items(self) -> Iterator[tuple[int, memoryview]]:
        """Iterate over the positions and bytes of all records, in file order; each chunk is read once.

        Raises
        ------
        CorruptError
            A chunk is damaged; the records of those before it have been returned.
        UnsupportedError
            A chunk is transposed, or of a kind or compression that is not known here.
        LimitError
            A chunk decodes to more bytes than the limit.
        """
        for chunk in self.chunks():
            if chunk.num_records:
                records = self._read_records(chunk)
                for index in range(chunk.num_records):
                    yield chunk.begin + index, records[index]

    def records(self) -> Iterator[memoryview]:
        """Iterate over all records in file order, as :meth:`items` does."""
        return (record for _, record in self.items())

    @cached_property
    def _begins(self) -> array[int]:
        """Begins of the chunks that hold records."""
        return array("Q", (chunk.begin for chunk in self.chunks() if chunk.num_records))

    @property
    def last_position(self) -> int:
        """The position of the last record.

        Raises CorruptError where the file has none.
        """
        if not self._begins:
            raise CorruptError("no records", file=self.file.name, offset=self.file.size)
        last = self._read_header(self._begins[-1])
        return last.begin + last.num_records - 1

    def chunk_at(self, position: int) -> Chunk:
        """Return the chunk that holds the record at a position.

        Raises CorruptError where no record is.
        """
        kept = self._kept
        if kept is not None and 0 <= position - kept[0].begin < kept[0].num_records:
            return kept[0]
        index = bisect_right(self._begins, position) - 1
        if index >= 0:
            chunk = self._read_header(self._begins[index])
            if position - chunk.begin < chunk.num_records:
                return chunk
        raise CorruptError("no record at this position", file=self.file.name, offset=position)

    def record(self, position: int) -> memoryview:
        """Return the record at a position; records of one chunk asked for in turn are decoded once.

        Raises the errors of :meth:`items`, and CorruptError where no record is.
        """
        chunk = self.chunk_at(position)
        kept = self._kept
        if kept is None or kept[0] is not chunk:
            kept = self._kept = chunk, self._read_records(chunk)
        return kept[1][position - chunk.begin]

    def _read_header(self, begin: int) -> Chunk:
        """The chunk at ``begin``, its header and the block headers in it verified."""
        self._check_inside(begin, _behind(begin, CHUNK_HEADER_SIZE))
        header = bytes(self._read(begin, CHUNK_HEADER_SIZE))
        stored, data_size, data_hash, type_and_records, decoded_size = _CHUNK_HEADER.unpack(header)
        self._verify("chunk header", stored, header[8:], begin)
        chunk_type, num_records = type_and_records & 0xFF, type_and_records >> 8
        end = max(
            _behind(begin, CHUNK_HEADER_SIZE + data_size),
            _possible_boundary(begin + num_records),
        )
        self._check_inside(begin, end)
        for block in range(-(-begin // BLOCK_SIZE) * BLOCK_SIZE, end, BLOCK_SIZE):
            self._check_block_header(block, begin, end)
        if chunk_type in WITHOUT_RECORDS and num_records:
            raise CorruptError(
                f"chunk of type {chr(chunk_type)!r}: got {num_records} records, want 0",
                file=self.file.name,
                offset=begin,
            )
        return Chunk(begin, end, chunk_type, num_records, decoded_size, data_size, data_hash)

    def _check_inside(self, begin: int, end: int) -> None:
        if end > self.file.size:
            raise TruncatedError(
                "chunk outside the file",
                wanted=end - begin,
                available=self.file.size - begin,
                file=self.file.name,
                offset=begin,
            )

    def _check_block_header(self, block: int, begin: int, end: int) -> None:
        header = bytes(self.file.read(block, BLOCK_HEADER_SIZE))
        stored, back, on = _BLOCK_HEADER.unpack(header)
        self._verify("block header", stored, header[8:], block)
        if (back, on) != (block - begin, end - block):
            raise CorruptError(
                f"block header: got distances {back} and {on}, want {block - begin} and {end - block}",
                file=self.file.name,
                offset=block,
            )

    def _verify(self, what: str, stored: int, data: Buffer, offset: int) -> None:
        computed = highway_hash64(data)
        if computed != stored:
            raise ChecksumError(
                f"{what} hash mismatch", stored=stored, computed=computed, file=self.file.name, offset=offset
            )

    def _read(self, pos: int, size: int) -> memoryview:
        """``size`` bytes of a chunk from ``pos`` on, less block headers; a view where none is among them."""
        pieces = []
        while size:
            if pos % BLOCK_SIZE == 0:
                pos += BLOCK_HEADER_SIZE
            piece = self.file.read(pos, min(size, BLOCK_SIZE - pos % BLOCK_SIZE))
            pieces.append(piece)
            pos += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def _read_records(self, chunk: Chunk) -> _Records:
        """The records of a chunk, verified as far as wanted and decompressed."""
        if chunk.type != SIMPLE_CHUNK:
            what = f"records in a chunk of type 0x{chunk.type:02x}"
            if chunk.type == TRANSPOSED_CHUNK:
                what = "the records are in a transposed chunk, which is not read yet"
            raise UnsupportedError(what, file=self.file.name, offset=chunk.begin)
        data = self._read(_behind(chunk.begin, CHUNK_HEADER_SIZE), chunk.data_size)
        if len(data) <= self._verify_up_to:
            self._verify("chunk data", chunk.data_hash, data, chunk.begin)
        try:
            return self._decode_simple(chunk, data)
        except CkptfmtError as error:
            # Offsets in compressed data would say little: the chunk is the place.
            error.offset = 0
            raise error.at(self.file.name, chunk.begin) from error.__cause__

    def _decode_simple(self, chunk: Chunk, data: memoryview) -> _Records:
        if not data:
            raise TruncatedError("simple chunk", wanted=1, available=0)
        compression = data[0]
        if compression != STORED:
            if compression not in DECOMPRESSORS:
                raise UnsupportedError(f"compression 0x{compression:02x}")
            if chunk.decoded_size > self._limit:
                raise LimitError("bytes of a chunk", limit=self._limit, asked=chunk.decoded_size)
        size, pos = decode_varint(data, 1)
        if size > len(data) - pos:
            raise TruncatedError("sizes of records", wanted=size, available=len(data) - pos)
        stored_sizes, stored_values = data[pos : pos + size], data[pos + size :]
        longest = MAX_VARINT_BYTES * chunk.num_records
        encoded = _decompress(compression, stored_sizes, "sizes", chunk.num_records, longest)
        sizes, used = decode_varints(encoded, chunk.num_records)
        if used != len(encoded):
            raise CorruptError(
                f"sizes of {chunk.num_records} records: got {len(encoded)} bytes, want {used}", offset=0
            )
        ends, end = [], 0
        for size in sizes.tolist():
            end += size
            ends.append(end)
        if end != chunk.decoded_size:
            raise CorruptError(f"sizes of records: got {end} in all, want {chunk.decoded_size}", offset=0)
        values = _decompress(compression, stored_values, "values", chunk.decoded_size, chunk.decoded_size)
        return _Records(values, ends)


def _decompress(compression: int, data: memoryview, what: str, least: int, most: int) -> memoryview:
    """The decompressed bytes, at least and at most so many: what the stored size says is checked first."""
    if compression == STORED:
        size = len(data)
    else:
        size, pos = decode_varint(data, 0)
        data = data[pos:]
    if not least <= size <= most:
        want = str(least) if least == most else f"{least} to {most}"
        raise CorruptError(f"{what} of records: got {size} bytes, want {want}", offset=0)
    if compression == STORED:
        return data
    name, decompress = DECOMPRESSORS[compression]
    # Pages that are not written to take no memory, whatever the size claimed.
    out = np.empty(size, np.uint8).data
    import cramjam

    try:
        written = decompress(data, out)
    except cramjam.DecompressionError as error:
        raise CorruptError(f"{what} of records: {name} data do not decompress: {error}", offset=0) from error
    if written != size:
        raise CorruptError(f"{what} of records: {name} data are of {written} bytes, want {size}", offset=0)
    return out.toreadonly()
