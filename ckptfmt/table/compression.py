"""Block types: how the bytes of a table block are stored."""

from __future__ import annotations

from collections.abc import Callable

from ckptfmt.errors import CorruptError
from ckptfmt.wire.buffers import new_buffer
from ckptfmt.wire.coding import decode_varint

SNAPPY_MAX_RATIO = 32
"""No snappy element makes more than 64 bytes of 3, so no honest block grows by more than this."""


def _stored(data: memoryview) -> memoryview:
    return data


def _snappy(data: memoryview) -> memoryview:
    # The claimed length is checked before anything is allocated for it.
    claimed, _ = decode_varint(data, 0)
    if claimed > SNAPPY_MAX_RATIO * len(data):
        raise CorruptError(
            f"snappy block of {len(data)} bytes claims to hold {claimed}, more than snappy can", offset=0
        )
    # Imported when the first compressed block is met: most files have none.
    import cramjam

    # Into memory asked for here: where there is none, cramjam would end the process.
    out = new_buffer(claimed, "memory for a snappy block")
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
