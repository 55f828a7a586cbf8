"""Block types: how the contents of a table block are stored, plainly or compressed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TypeAlias

from ckptfmt.errors import CorruptError
from ckptfmt.wire.buffers import new_buffer
from ckptfmt.wire.coding import Buffer, decode_varint

Compression: TypeAlias = Literal["snappy"]
"""How a writer may compress blocks."""

COMPRESSIONS: tuple[Compression, ...] = ("snappy",)

SNAPPY_MAX_RATIO = 32
"""A snappy block never grows by more: its densest element, a copy, makes 64 bytes of 3."""


def _stored(data: memoryview) -> memoryview:
    return data


def _snappy(data: memoryview) -> memoryview:
    """Decompress a snappy block: the length of its contents as a varint, then elements."""
    # The length is compared with what snappy can make of the data before memory is allocated for it.
    claimed, _ = decode_varint(data, 0)
    if claimed > SNAPPY_MAX_RATIO * len(data):
        raise CorruptError(
            f"snappy block of {len(data)} bytes claims to hold {claimed}, more than snappy can", offset=0
        )
    # Most files have no compressed block.
    import cramjam

    # Into memory allocated here: if cramjam's own allocation fails, it ends the process.
    out = new_buffer(claimed, f"bytes of memory for a snappy block of {len(data)} bytes")
    try:
        cramjam.snappy.decompress_raw_into(data, out)
    except cramjam.DecompressionError as error:
        raise CorruptError(f"snappy block does not decompress: {error}", offset=0) from error
    return out.toreadonly()


DECOMPRESSORS: dict[int, Callable[[memoryview], memoryview]] = {
    0: _stored,
    1: _snappy,
}
"""Block type byte -> function from stored to decoded bytes."""


def compress(contents: bytearray, compression: Compression | None) -> tuple[Buffer, int]:
    """Return what is stored for a block, and its type.

    As in LevelDB, a block is stored plainly unless snappy saves more than an eighth of it: less is not worth
    the work of every reader.
    """
    if compression == "snappy":
        import cramjam

        # Snappy refuses blocks that may exceed 4 GiB when compressed; they are stored plainly.
        with suppress(cramjam.CompressionError):
            stored = memoryview(cramjam.snappy.compress_raw(contents))
            if len(stored) < len(contents) - len(contents) // 8:
                return stored, 1
    return memoryview(contents), 0
