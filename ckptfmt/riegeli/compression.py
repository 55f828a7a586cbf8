"""Compressed parts of chunks: brotli, zstd or snappy data after their decompressed size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from ckptfmt.errors import CorruptError
from ckptfmt.wire.coding import Buffer, decode_varint, encode_varint

STORED = 0
"""The compression byte of data that are not compressed."""

# cramjam is imported only for the first compressed chunk: such files are rare.


def _decompress_brotli(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.brotli.decompress_into(data, out))


def _decompress_zstd(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.zstd.decompress_into(data, out))


def _decompress_snappy(data: Buffer, out: memoryview) -> int:
    import cramjam

    return int(cramjam.snappy.decompress_raw_into(data, out))


DECOMPRESSORS: dict[int, tuple[str, Callable[[Buffer, memoryview], int]]] = {
    0x62: ("brotli", _decompress_brotli),
    0x73: ("snappy", _decompress_snappy),
    0x7A: ("zstd", _decompress_zstd),
}
"""Compression byte -> its name, and the function that decompresses into a buffer and returns the size."""


Compression: TypeAlias = Literal["brotli", "zstd", "snappy"]
"""Compressions of chunks by name, besides none."""

BROTLI_LEVEL = 6
"""Riegeli's own choice."""

COMPRESSION_BYTES = {name: number for number, (name, _) in DECOMPRESSORS.items()}
"""Name of a compression -> its byte."""


def compress_part(compression: Compression | None, pieces: Sequence[Buffer]) -> Buffer:
    """Return a part of a chunk, given in pieces, as it is stored; the inverse of :func:`decompress_part`."""
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if compression is None:
        return data
    import cramjam

    compressed: Buffer
    if compression == "brotli":
        compressed = memoryview(cramjam.brotli.compress(data, BROTLI_LEVEL))
    elif compression == "zstd":
        compressed = memoryview(cramjam.zstd.compress(data))
    else:
        compressed = memoryview(cramjam.snappy.compress_raw(data))
    return encode_varint(len(data)) + compressed


def decompress_part(compression: int, data: memoryview, what: str, least: int, most: int) -> memoryview:
    """Return the decompressed bytes of a part of a chunk.

    The size that the data claim must be between ``least`` and ``most``, which is checked before any memory is
    taken. Raises CorruptError, without a place in a file, if it is not or the data are damaged.
    """
    if compression == STORED:
        size = len(data)
    else:
        size, pos = decode_varint(data, 0)
        data = data[pos:]
    if not least <= size <= most:
        want = str(least) if least == most else f"{least} to {most}"
        raise CorruptError(f"{what}: got {size} bytes, want {want}")
    if compression == STORED:
        return data
    name, decompress = DECOMPRESSORS[compression]
    # Memory is taken page by page as it is written, so a false claim of gigabytes costs none.
    out = np.empty(size, np.uint8).data
    import cramjam

    try:
        written = decompress(data, out)
    except cramjam.DecompressionError as error:
        raise CorruptError(f"{what}: {name} data do not decompress: {error}") from error
    if written != size:
        raise CorruptError(f"{what}: {name} data: got {written} bytes, want {size}")
    return out.toreadonly()
