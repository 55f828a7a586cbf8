"""Writes sorted tables, bundle indexes and V1 checkpoints, valid or not.

By default blocks, restarts, separators and checksums are those of TensorFlow's own writer, with which
``tests/reference/test_table_writer.py`` compares them. For hostile files the order of keys is taken as given,
and :func:`encode_blocks` makes a table of any bytes given as blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cramjam
import numpy as np

from ckptfmt.table.format import FOOTER_SIZE, MAGIC_BYTES
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.crc32c import crc32c, mask

Compression = Literal["snappy"] | None
Item = tuple[bytes, bytes]

BLOCK_SIZE = 262144
RESTART_INTERVAL = 16

HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""The BundleHeaderProto that TensorFlow 2.21 writes: one shard, producer 1."""


class RawBlock(NamedTuple):
    """A block as it is stored, and its key in the index block."""

    separator: bytes
    contents: bytes
    block_type: int = 0


# --- tables --------------------------------------------------------------------------------------------


def encode_table(
    items: Iterable[Item],
    *,
    block_size: int = BLOCK_SIZE,
    compression: Compression = None,
    restart_interval: int = RESTART_INTERVAL,
) -> bytes:
    """Return a table of keys and values in the order given; the caller sorts them."""
    groups: list[list[Item]] = [[]]
    size = 0
    for item in items:
        if groups[-1] and size >= block_size:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += len(item[0]) + len(item[1]) + 3
    blocks = []
    for i, group in enumerate(groups):
        if not group:
            continue
        following = groups[i + 1][0][0] if i + 1 < len(groups) else None
        contents = encode_block(group, restart_interval)
        blocks.append(RawBlock(separator(group[-1][0], following), *compressed(contents, compression)))
    return encode_blocks(blocks)


def encode_blocks(blocks: Iterable[RawBlock]) -> bytes:
    """Return a table of data blocks with any contents; checksums, index and footer are right."""
    file = bytearray()
    index = [(block.separator, append_block(file, block.contents, block.block_type)) for block in blocks]
    metaindex = append_block(file, encode_block([]))
    root = append_block(file, encode_block(index, restart_interval=1))
    return bytes(file) + encode_footer(metaindex, root)


def encode_block(items: Sequence[Item], restart_interval: int = RESTART_INTERVAL) -> bytes:
    """Return the contents of a block, uncompressed and without a trailer."""
    out = bytearray()
    restarts = [0]
    previous = b""
    for i, (key, value) in enumerate(items):
        if i and i % restart_interval == 0:
            restarts.append(len(out))
            previous = b""
        shared = _shared(previous, key)
        out += encode_varint(shared) + encode_varint(len(key) - shared) + encode_varint(len(value))
        out += key[shared:] + value
        previous = key
    for number in (*restarts, len(restarts)):
        out += number.to_bytes(4, "little")
    return bytes(out)


def append_block(file: bytearray, contents: bytes, block_type: int = 0) -> bytes:
    """Append a block and its trailer to a file; return its handle."""
    handle = encode_handle(len(file), len(contents))
    stored = contents + bytes([block_type])
    file += stored + mask(crc32c(stored)).to_bytes(4, "little")
    return handle


def encode_handle(offset: int, size: int) -> bytes:
    """Return a block handle."""
    return encode_varint(offset) + encode_varint(size)


def encode_footer(metaindex: bytes, index: bytes) -> bytes:
    """Return a footer with these two block handles."""
    return (metaindex + index).ljust(FOOTER_SIZE - len(MAGIC_BYTES), b"\x00") + MAGIC_BYTES


def compressed(contents: bytes, compression: Compression) -> tuple[bytes, int]:
    """Return the stored bytes of a block, and its type; snappy compresses even if that saves nothing."""
    if compression is None:
        return contents, 0
    return bytes(cramjam.snappy.compress_raw(contents)), 1


def separator(last: bytes, following: bytes | None) -> bytes:
    """Return the index key of a block: at least its last key, and less than the first key of the next."""
    if following is None:
        for i, byte in enumerate(last):
            if byte != 0xFF:
                return last[:i] + bytes([byte + 1])
        return last
    i = _shared(last, following)
    if i < min(len(last), len(following)) and last[i] < 0xFF and last[i] + 1 < following[i]:
        return last[:i] + bytes([last[i] + 1])
    return last


def _shared(a: bytes, b: bytes) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


# --- messages ------------------------------------------------------------------------------------------


def encode_field(number: int, value: int | bytes) -> bytes:
    """Return a field of a message: a varint (int64 if negative), or bytes with their length."""
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value & (1 << 64) - 1)
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def encode_header(
    *, num_shards: int = 1, big_endian: bool = False, version: bytes | None = b"\x08\x01"
) -> bytes:
    """Return a BundleHeaderProto; fields that are zero are omitted, as TensorFlow omits them."""
    out = encode_field(1, num_shards) if num_shards else b""
    out += encode_field(2, 1) if big_endian else b""
    return out + (encode_field(3, version) if version is not None else b"")


def encode_shape(shape: Iterable[int]) -> bytes:
    """Return a TensorShapeProto."""
    return b"".join(encode_field(2, encode_field(1, dim) if dim else b"") for dim in shape)


def encode_entry(
    *,
    dtype: int = 1,
    shape: Iterable[int] = (),
    shard: int = 0,
    offset: int = 0,
    size: int = 0,
    crc: int | None = None,
    slices: Iterable[bytes] = (),
) -> bytes:
    """Return a BundleEntryProto; ``crc`` is unmasked, ``slices`` are serialized TensorSliceProtos."""
    out = encode_field(1, dtype) if dtype else b""
    out += encode_field(2, encode_shape(shape))
    for number, value in ((3, shard), (4, offset), (5, size)):
        out += encode_field(number, value) if value else b""
    if crc is not None:
        out += b"\x35" + mask(crc).to_bytes(4, "little")
    return out + b"".join(encode_field(7, part) for part in slices)


# --- whole checkpoints ---------------------------------------------------------------------------------

DTYPE_CODES = {
    np.dtype("float32"): 1,
    np.dtype("float64"): 2,
    np.dtype("int32"): 3,
    np.dtype("int64"): 9,
    np.dtype("bool"): 10,
    np.dtype("float16"): 19,
}
"""The dtypes that :func:`write_bundle` and :func:`encode_v1` write."""


def encode_bundle_index(
    entries: dict[str, bytes],
    header: bytes = HEADER,
    *,
    block_size: int = BLOCK_SIZE,
    compression: Compression = None,
) -> bytes:
    """Return an index of serialized entries, sorted by name."""
    items = sorted((name.encode(), value) for name, value in entries.items())
    return encode_table([(b"", header), *items], block_size=block_size, compression=compression)


def write_bundle(
    prefix: Path | str,
    tensors: dict[str, np.ndarray] | None = None,
    num_shards: int = 1,
    *,
    strings: dict[str, bytes] | None = None,
) -> str:
    """Write a V2 checkpoint, tensors going to its shards in turn; return the prefix.

    ``strings`` are string scalars, which go to the first shard.
    """
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)} if tensors is None else tensors
    shards = [bytearray() for _ in range(num_shards)]
    entries = {}
    for i, (name, array) in enumerate(tensors.items()):
        data, shard = array.tobytes(), i % num_shards
        entries[name] = encode_entry(
            dtype=DTYPE_CODES[array.dtype],
            shape=array.shape,
            shard=shard,
            offset=len(shards[shard]),
            size=len(data),
            crc=crc32c(data),
        )
        shards[shard] += data
    for name, text in (strings or {}).items():
        length = encode_varint(len(text))
        # FORMAT.md 2.6: lengths, the masked checksum of the lengths as uint32s, the bytes.
        crc = crc32c(len(text).to_bytes(4, "little"))
        data = length + mask(crc).to_bytes(4, "little") + text
        crc = crc32c(text, crc32c(mask(crc).to_bytes(4, "little"), crc))
        entries[name] = encode_entry(dtype=7, shape=(), offset=len(shards[0]), size=len(data), crc=crc)
        shards[0] += data
    Path(f"{prefix}.index").write_bytes(encode_bundle_index(entries, encode_header(num_shards=num_shards)))
    for shard, contents in enumerate(shards):
        Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}").write_bytes(contents)
    return str(prefix)


_V1_VALUES = {1: (5, "<f4"), 2: (6, "<f8")}
_V1_VARINTS = {3: 7, 9: 10}


def encode_v1(tensors: dict[str, np.ndarray] | None = None) -> bytes:
    """Return a V1 checkpoint file with each tensor in one slice."""
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)} if tensors is None else tensors
    metas, items = [], []
    for name, array in tensors.items():
        code = DTYPE_CODES[array.dtype]
        part = encode_field(1, b"") * array.ndim
        metas.append(
            encode_field(1, name.encode())
            + encode_field(2, encode_shape(array.shape))
            + encode_field(3, code)
            + encode_field(4, part)
        )
        if code in _V1_VALUES:
            number, stored = _V1_VALUES[code]
            values = encode_field(number, array.astype(stored).tobytes())
        else:
            packed = b"".join(encode_varint(int(value) & (1 << 64) - 1) for value in array.flat)
            values = encode_field(_V1_VARINTS[code], packed)
        if not array.size:
            values = b""
        data = encode_field(1, name.encode()) + encode_field(2, part) + encode_field(3, values)
        items.append((_v1_key(name.encode(), array.ndim), encode_field(2, data)))
    meta = b"".join(encode_field(1, each) for each in metas) + encode_field(2, b"\x08\x01")
    return encode_table([(b"", encode_field(1, meta)), *sorted(items)])


def _v1_key(name: bytes, rank: int) -> bytes:
    """Return the key of the slice that is the whole tensor: 0, name, rank, and start 0, length -1 by axis."""
    escaped = b"".join(bytes([byte, byte ^ 0xFF]) if byte in (0, 0xFF) else bytes([byte]) for byte in name)
    return (
        b"\x00" + escaped + b"\x00\x01" + (b"\x01" + bytes([rank]) if rank else b"\x00") + b"\x80\x7f" * rank
    )
