"""Bundles in memory that hold whatever a test wants of one tensor, and a good tensor besides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import ckptfmt
from ckptfmt.checkpoint.slices import FULL, TensorSlice
from ckptfmt.wire.coding import encode_varint
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import (
    HEADER,
    RawBlock,
    encode_blocks,
    encode_entry,
    encode_field,
    encode_table,
)

GOOD_VALUE = [[0, 1], [2, 3]]
GOOD_DATA = np.array(GOOD_VALUE, np.float32).tobytes()
GOOD = encode_entry(shape=(2, 2), size=16, crc=crc32c(GOOD_DATA))
"""The entry of a tensor whose bytes are ``GOOD_DATA``, at the start of the data file."""


# --- parts -----------------------------------------------------------------------------------------------


def encode_extents(*pairs: tuple[int, int]) -> bytes:
    """Return a TensorSliceProto with these starts and lengths; the length FULL is left out."""
    out = b""
    for start, length in pairs:
        extent = encode_field(1, start) if start else b""
        out += encode_field(1, extent + (b"" if length == FULL else encode_field(2, length)))
    return out


def encode_slice(part: TensorSlice) -> bytes:
    """Return a TensorSliceProto that gives every start, also 0."""
    return b"".join(
        encode_field(1, encode_field(1, start) + (b"" if length == FULL else encode_field(2, length)))
        for start, length in part.extents
    )


def encode_sliced(parts: Iterable[TensorSlice], dtype: int = 1) -> bytes:
    """Return the entry of a tensor of four elements in these slices."""
    return encode_entry(dtype=dtype, shape=[4], slices=map(encode_slice, parts))


def encode_strings(lengths: list[int], content: bytes) -> bytes:
    """Return strings as a bundle stores them, with lengths that need not be those of the content."""
    words = b"".join(n.to_bytes(4 if n < 2**32 else 8, "little") for n in lengths)
    stored = mask(crc32c(words)).to_bytes(4, "little")
    return b"".join(map(encode_varint, lengths)) + stored + content


def encode_variants(*elements: bytes, lengths: list[int] | None = None) -> tuple[bytes, int]:
    """Return variants as a bundle stores them, and the CRC of their entry."""
    out, crc = b"", 0
    for i, element in enumerate(elements):
        length = len(element) if lengths is None else lengths[i]
        crc = crc32c(element, crc32c(length.to_bytes(8, "little"), crc))
        stored = mask(crc).to_bytes(4, "little")
        crc = crc32c(stored, crc)
        out += encode_varint(length) + element + stored
    return out, crc


def nested_variant(depth: int) -> bytes:
    """Return a variant in a tensor in a variant …"""
    element = encode_field(1, b"T")
    for _ in range(depth):
        tensor = encode_field(1, 21) + encode_field(2, b"") + encode_field(15, element)
        element = encode_field(1, b"T") + encode_field(3, tensor)
    return element


def encode_index(entries: bytes, *trailer: int) -> bytes:
    """Return an index of one block: the header's entry, these bytes, and these numbers for restart points."""
    header = b"\x00\x00" + bytes([len(HEADER)]) + HEADER
    numbers = b"".join(n.to_bytes(4, "little") for n in trailer)
    return encode_blocks([RawBlock(b"z", header + entries + numbers)])


# --- bundles ---------------------------------------------------------------------------------------------


def open_items(
    *items: tuple[bytes, bytes], data: bytes = GOOD_DATA, header: bytes = HEADER
) -> ckptfmt.Checkpoint:
    """Open a bundle with these keys and values, in this order, after its header."""
    return open_bundle(encode_table([(b"", header), *items]), data)


def open_entry(value: bytes, data: bytes = GOOD_DATA) -> ckptfmt.Checkpoint:
    """Open a bundle of two tensors: "bad" has this entry, and "good" is good."""
    return open_items((b"bad", value), (b"good", GOOD), data=data)


def open_objects(
    dtype: int, content: bytes, *, shape: tuple[int, ...] = (), crc: int = 0
) -> ckptfmt.Checkpoint:
    """Open a bundle in which "bad" is strings or variants with these stored bytes, and "good" is good."""
    entry = encode_entry(dtype=dtype, shape=shape, offset=16, size=len(content), crc=crc)
    return open_entry(entry, GOOD_DATA + content)
