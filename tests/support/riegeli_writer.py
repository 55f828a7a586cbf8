"""Writes Riegeli/records files, following the description of the format only.

It computes hashes and sizes independently of the reader; tests compare it with files by Google's writer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import cramjam

from tests.support.table_writer import encode_varint

WORD = (1 << 64) - 1
HALF = (1 << 32) - 1
RIEGELI_KEY = (0x2F696C6567656952, 0x0A7364726F636572) * 2


class PortableHash:
    """HighwayHash-64, word by word as in ``hh_portable.h``."""

    def __init__(self, key: Sequence[int]) -> None:
        self.mul0 = [0xDBE6D5D5FE4CCE2F, 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3]
        self.mul1 = [0x3BD39E10CB0EF593, 0xC0ACF169B5F18A8C, 0xBE5466CF34E90C6C, 0x452821E638D01377]
        self.v0 = [a ^ b for a, b in zip(self.mul0, key, strict=True)]
        self.v1 = [a ^ (b >> 32 | (b << 32 & WORD)) for a, b in zip(self.mul1, key, strict=True)]

    def update(self, lanes: Sequence[int]) -> None:
        for i in range(4):
            self.v1[i] = (self.v1[i] + lanes[i] + self.mul0[i]) & WORD
            self.mul0[i] ^= (self.v1[i] & HALF) * (self.v0[i] >> 32)
            self.v0[i] = (self.v0[i] + self.mul1[i]) & WORD
            self.mul1[i] ^= (self.v0[i] & HALF) * (self.v1[i] >> 32)
        for to, of in ((self.v0, self.v1), (self.v1, self.v0)):
            for i in (0, 2):
                low, high = of[i], of[i + 1]
                to[i] = (to[i] + self.zip0(high, low)) & WORD
                to[i + 1] = (to[i + 1] + self.zip1(high, low)) & WORD

    @staticmethod
    def zip0(v1: int, v0: int) -> int:
        return (
            (((v0 & 0xFF000000) | (v1 & 0xFF00000000)) >> 24)
            | (((v0 & 0xFF0000000000) | (v1 & 0xFF000000000000)) >> 16)
            | (v0 & 0xFF0000)
            | ((v0 & 0xFF00) << 32)
            | ((v1 & 0xFF00000000000000) >> 8)
            | (v0 << 56 & WORD)
        )

    @staticmethod
    def zip1(v1: int, v0: int) -> int:
        return (
            (((v1 & 0xFF000000) | (v0 & 0xFF00000000)) >> 24)
            | (v1 & 0xFF0000)
            | ((v1 & 0xFF0000000000) >> 16)
            | ((v1 & 0xFF00) << 24)
            | ((v0 & 0xFF000000000000) >> 8)
            | ((v1 & 0xFF) << 48)
            | (v0 & 0xFF00000000000000)
        )

    def rest(self, data: bytes) -> None:
        size = len(data)
        packet = bytearray(32)
        for i in range(4):
            self.v0[i] = (self.v0[i] + (size << 32) + size) & WORD
            low, high = self.v1[i] & HALF, self.v1[i] >> 32
            low = (low << size | low >> (32 - size)) & HALF
            high = (high << size | high >> (32 - size)) & HALF
            self.v1[i] = high << 32 | low
        packet[: size & ~3] = data[: size & ~3]
        tail = data[size & ~3 :]
        if size & 16:
            packet[28:32] = data[size - 4 :]
        elif tail:
            packet[16], packet[17], packet[18] = tail[0], tail[len(tail) >> 1], tail[-1]
        self.update(struct.unpack("<4Q", packet))

    def digest(self) -> int:
        for _ in range(4):
            self.update([self.v0[i] >> 32 | (self.v0[i] << 32 & WORD) for i in (2, 3, 0, 1)])
        return (self.v0[0] + self.v1[0] + self.mul0[0] + self.mul1[0]) & WORD


def portable_hash(data: bytes, key: Sequence[int] = RIEGELI_KEY) -> int:
    state = PortableHash(key)
    whole = len(data) // 32 * 32
    for lanes in struct.iter_unpack("<4Q", data[:whole]):
        state.update(lanes)
    if whole < len(data):
        state.rest(data[whole:])
    return state.digest()


def with_hash(data: bytes) -> bytes:
    return struct.pack("<Q", portable_hash(data)) + data


BLOCK = 65536


class RiegeliWriter:
    """Writes chunks; tests can make every number of a header wrong."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.chunk(b"s", b"")

    def chunk(
        self,
        kind: bytes,
        data: bytes,
        num_records: int = 0,
        decoded: int = 0,
        *,
        size: int | None = None,
        wrong_hash: bool = False,
    ) -> int:
        """Write a chunk; return its offset."""
        begin = len(self.out)
        header = struct.pack(
            "<QQQQ",
            len(data) if size is None else size,
            portable_hash(data) ^ wrong_hash,
            kind[0] | num_records << 8,
            decoded,
        )
        content = with_hash(header) + data
        places = list(self._pieces(begin, len(content)))
        end = max(places[-1][0] + places[-1][1], begin + num_records)
        if 1 <= end % BLOCK <= 24:
            end += 25 - end % BLOCK
        done = 0
        for at, count in places:
            self._pad_to(at, begin, end)
            self.out += content[done : done + count]
            done += count
        self._pad_to(end, begin, end)
        return begin

    @staticmethod
    def _pieces(at: int, size: int) -> Iterator[tuple[int, int]]:
        while size:
            if at % BLOCK == 0:
                at += 24
            count = min(size, BLOCK - at % BLOCK)
            yield at, count
            at += count
            size -= count

    def _pad_to(self, at: int, begin: int, end: int) -> None:
        while len(self.out) < at:
            if len(self.out) % BLOCK == 0:
                block = len(self.out)
                self.out += with_hash(struct.pack("<QQ", block - begin, end - block))
            else:
                self.out += bytes(min(at - len(self.out), -len(self.out) % BLOCK))

    def records(self, records: Sequence[bytes], compression: str = "none") -> list[int]:
        """Write a simple chunk, and return the positions of the records."""
        begin = self.chunk(b"r", simple(records, compression), len(records), sum(map(len, records)))
        return [begin + index for index in range(len(records))]


COMPRESSORS = {
    "none": (b"\0", None),
    "brotli": (b"b", cramjam.brotli.compress),
    "zstd": (b"z", cramjam.zstd.compress),
    "snappy": (b"s", cramjam.snappy.compress_raw),
}


def packed(data: bytes, compression: str, claim: int | None = None) -> bytes:
    _, compress = COMPRESSORS[compression]
    if compress is None:
        return data
    return encode_varint(len(data) if claim is None else claim) + bytes(compress(data))


def simple(records: Sequence[bytes], compression: str) -> bytes:
    sizes = packed(b"".join(encode_varint(len(record)) for record in records), compression)
    values = packed(b"".join(records), compression)
    return COMPRESSORS[compression][0] + encode_varint(len(sizes)) + sizes + values
