"""Footer, block handles, and reading one block of a table file.

::

    footer:   metaindex handle | index handle | zeros up to byte 40 | magic uint64
    handle:   offset varint | size varint                   size without the trailer
    trailer:  block type uint8 | masked CRC-32C uint32      of the stored bytes and the type

Source: LevelDB ``table/format.h``, ``doc/table_format.md``; TensorFlow ``core/lib/io/format.cc``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ckptfmt.errors import ChecksumError, CorruptError, LimitError, TruncatedError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table.compression import DECOMPRESSORS
from ckptfmt.wire.coding import Buffer, decode_varint, encode_varint
from ckptfmt.wire.crc32c import crc32c, unmask

FOOTER_SIZE = 48
MAGIC = 0xDB4775248B80FB57
MAGIC_BYTES = MAGIC.to_bytes(8, "little")
TRAILER_SIZE = 5  # block type uint8, CRC uint32

COPY_BELOW = 1 << 20
"""Blocks smaller than this many bytes are copied out of the file: ``bytes`` are decoded faster than views."""


class BlockHandle(NamedTuple):
    """Where a block is in its file."""

    offset: int
    """First byte of the block."""
    size: int
    """Stored bytes of the block, without its 5-byte trailer."""


class Footer(NamedTuple):
    """The last 48 bytes of a table: where its two root blocks are."""

    metaindex: BlockHandle
    index: BlockHandle  # type: ignore[assignment]  # hides tuple.index, which nobody needs


def encode_handle(handle: BlockHandle) -> bytes:
    """Return a block handle as it is stored."""
    return encode_varint(handle.offset) + encode_varint(handle.size)


def decode_handle(data: Buffer, pos: int) -> tuple[BlockHandle, int]:
    """Return the block handle at ``pos`` and the position after it."""
    offset, pos = decode_varint(data, pos)
    size, pos = decode_varint(data, pos)
    return BlockHandle(offset, size), pos


def encode_footer(footer: Footer) -> bytes:
    """Return a footer as it is stored."""
    handles = encode_handle(footer.metaindex) + encode_handle(footer.index)
    return handles.ljust(FOOTER_SIZE - len(MAGIC_BYTES), b"\x00") + MAGIC_BYTES


def read_footer(file: RandomAccessFile) -> Footer:
    """Read the footer; CorruptError if the file is not a table."""
    if file.size < FOOTER_SIZE:
        raise TruncatedError(
            "too short to be a table", wanted=FOOTER_SIZE, available=file.size, file=file.name, offset=0
        )
    start = file.size - FOOTER_SIZE
    data = bytes(file.read(start, FOOTER_SIZE))
    if data[-8:] != MAGIC_BYTES:
        raise CorruptError(
            f"not a table: got magic {data[-8:].hex()}, want {MAGIC_BYTES.hex()}",
            file=file.name,
            offset=start + FOOTER_SIZE - 8,
        )
    try:
        return _decode_footer(data)
    except CorruptError as error:
        raise error.at(file.name, start) from None


# The small indexes of a training run all end alike.
@lru_cache(maxsize=64)
def _decode_footer(data: bytes) -> Footer:
    metaindex, pos = decode_handle(data, 0)
    return Footer(metaindex, decode_handle(data, pos)[0])


def read_block(file: RandomAccessFile, handle: BlockHandle) -> Buffer:
    """Return the contents of a block, verified and decompressed.

    Raises CorruptError if they are damaged, LimitError if there is no memory to decompress them.
    """
    # A handle may claim anything, so its bounds are checked before bytes are read, then checksum and type.
    stored_size = handle.size + TRAILER_SIZE
    if handle.offset + stored_size > file.size:
        raise TruncatedError(
            "block outside the file",
            wanted=stored_size,
            available=max(0, file.size - handle.offset),
            file=file.name,
            offset=handle.offset,
        )
    stored = file.read(handle.offset, stored_size)
    # The checksum covers the stored bytes and the type, so that nothing is decompressed that is damaged.
    computed = crc32c(stored[:-4])
    expected = unmask(int.from_bytes(stored[-4:], "little"))
    if computed != expected:
        raise ChecksumError(
            "block: checksum mismatch",
            stored=expected,
            computed=computed,
            file=file.name,
            offset=handle.offset,
        )
    block_type = stored[handle.size]
    decompress = DECOMPRESSORS.get(block_type)
    if decompress is None:
        raise CorruptError(
            f"block type: got {block_type}, want one of {sorted(DECOMPRESSORS)}",
            file=file.name,
            offset=handle.offset + handle.size,
        )
    try:
        contents = decompress(stored[: handle.size])
    except (CorruptError, LimitError) as error:
        raise error.at(file.name, handle.offset) from error.__cause__
    return bytes(contents) if len(contents) < COPY_BELOW else contents
