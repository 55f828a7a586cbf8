"""Blocks: the stretches of 64 KiB that a Riegeli file is divided into.

A block header is at every offset that is a multiple of 65536, so that a reader can find a chunk from any
place in the file::

    block header:  hash uint64 | bytes back to the beginning of its chunk uint64 | bytes on to its end uint64

The hash covers the two distances. A block header may interrupt anything, even the header of a chunk, so a
size counted without block headers has to be translated into an offset in the file.

Source: Riegeli ``doc/riegeli_records_file_format.md``, ``riegeli/records/block.h``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ckptfmt.riegeli.highway_hash import highway_hash64
from ckptfmt.storage.file import RandomAccessFile

SIGNATURE = bytes.fromhex(
    "83af70d10d884a3f 0000000000000000 4000000000000000"
    "91bac23c9287e1a9 0000000000000000 e19f13c0e9b1c372 7300000000000000 0000000000000000"
)
"""The first 64 bytes of every file: a block header and the header of a chunk without data."""

BLOCK_SIZE = 1 << 16
BLOCK_HEADER_SIZE = 24

_USABLE_SIZE = BLOCK_SIZE - BLOCK_HEADER_SIZE
"""Bytes of a block that belong to chunks."""

_BLOCK_HEADER = struct.Struct("<3Q")


class BlockHeader(NamedTuple):
    """The header at the beginning of a block."""

    hash: int
    """Hash of the other fields."""
    to_begin: int
    """Bytes back to the beginning of the chunk that it interrupts; 0 if the chunk begins here."""
    to_end: int
    """Bytes on to the end of that chunk."""


def decode_block_header(data: bytes) -> BlockHeader:
    """Return the header in 24 bytes, which are not verified."""
    return BlockHeader(*_BLOCK_HEADER.unpack(data))


def encode_block_header(to_begin: int, to_end: int) -> bytes:
    """Return the header of a block with these distances; the inverse of :func:`decode_block_header`."""
    distances = _BLOCK_HEADER.pack(0, to_begin, to_end)[8:]
    return highway_hash64(distances).to_bytes(8, "little") + distances


def offset_after(start: int, size: int) -> int:
    """Return the offset after ``size`` bytes of a chunk that begin at ``start``, block headers added."""
    # The second term counts the usable bytes of the block before start, less one: a chunk that ends together
    # with its block does not reach the next header. At the beginning of a block its header is still ahead,
    # and the remainder is one less than all usable bytes of a block, so that the first byte adds that header.
    headers = (size + (start + _USABLE_SIZE - 1) % BLOCK_SIZE) // _USABLE_SIZE
    return start + size + headers * BLOCK_HEADER_SIZE


def next_possible_boundary(offset: int) -> int:
    """Return the first offset from ``offset`` on where a chunk may end.

    A chunk ends neither within a block header nor right after one: it would end before that header instead.
    """
    return offset + max(0, -offset % BLOCK_SIZE - (_USABLE_SIZE - 1))


def read_between_headers(file: RandomAccessFile, start: int, size: int) -> memoryview:
    """Return ``size`` bytes of a chunk from ``start`` on, without the block headers among them.

    The result is a view of the file if no block header interrupts the bytes, else a copy.
    """
    parts = []
    while size:
        if start % BLOCK_SIZE == 0:
            start += BLOCK_HEADER_SIZE
        part = file.read(start, min(size, BLOCK_SIZE - start % BLOCK_SIZE))
        parts.append(part)
        start += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
