"""Entries: what the index of a checkpoint says of one tensor.

In a V2 index the value of a tensor's name is a BundleEntryProto::

    1 dtype   2 shape   3 shard_id   4 offset   5 size   6 crc32c, masked   7 slices

It is decoded here by hand, since an index can hold a million; fields left out are zero, and fields met
twice merge as protobuf merges them. A V1 checkpoint's meta message gives the same entry without a place.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ckptfmt.checkpoint.slices import TensorSlice, decode_slice
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError, TruncatedError
from ckptfmt.tensor import Shape, decode_shape
from ckptfmt.wire.coding import Buffer, decode_fields, decode_varint, field_size, to_signed
from ckptfmt.wire.crc32c import unmask

# Tags of BundleEntryProto: field number << 3 | wire type.
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CRC, _SLICE = 0x08, 0x12, 0x18, 0x20, 0x28, 0x35, 0x3A
_WITH_VARINT = frozenset((_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _SLICE))


class Entry(NamedTuple):
    """What a checkpoint's index says of one tensor, without its values."""

    name: str
    """The tensor's name; bytes that are not UTF-8 are kept as surrogate escapes (PEP 383)."""
    dtype: DType
    """Its dtype: ``.name`` as TensorFlow calls it, ``.numpy`` as it is read."""
    shape: Shape
    """Its full shape, also where it is stored in slices."""
    nbytes: int
    """Bytes it takes in the data files, all slices together (of strings: with lengths and checksums).

    In a V1 checkpoint, whose values are encoded one by one, what they take as an array; of strings what they
    hold, and 0 where these are damaged."""
    shard: int | None
    """Number of the data file that holds it; None where slices may lie in several."""
    offset: int | None
    """Its first byte in that file; None for slices and in V1 checkpoints."""
    crc32c: int | None
    """CRC-32C of its stored bytes, unmasked; None for slices and in V1 checkpoints."""
    slices: tuple[TensorSlice, ...]
    """The slices it is stored in; empty where it is stored whole."""


def name_of(key: bytes) -> str:
    """Return the name of a key; :func:`key_of` is its inverse for every byte string."""
    return key.decode("utf-8", "surrogateescape")


def key_of(name: str) -> bytes:
    """Return the key of a name; UnicodeEncodeError where no key decodes to it (other lone surrogates)."""
    return name.encode("utf-8", "surrogateescape")


def decode_entry(name: str, value: Buffer) -> Entry:
    """Return the entry of a serialized BundleEntryProto.

    Raises
    ------
    CorruptError
        The value is not parseable, or says what no tensor can be: a negative place or size, a shape that
        TensorFlow cannot hold.
    """
    shard = offset = size = masked = pos = 0
    head = b""
    more: list[Buffer] = []
    slices: list[TensorSlice] = []
    end = len(value)
    # Writers put dtype and shape first; both are decoded at once, and remembered, for few of them differ.
    if end > 4 and value[0] == _DTYPE and value[2] == _SHAPE and value[1] < 0x80 and value[3] < 0x80:
        pos = 4 + value[3]
        head = bytes(value[:pos])
    try:
        while pos < end:
            start = pos
            tag = value[pos]
            if tag == _CRC:
                pos += 5
                masked = int.from_bytes(value[pos - 4 : pos], "little")
                continue
            number = value[pos + 1]
            pos += 2
            if number > 0x7F and tag in _WITH_VARINT:
                number, pos = decode_varint(value, pos - 1)
            if tag == _SIZE:
                size = number
            elif tag == _OFFSET:
                offset = number
            elif tag == _SHARD:
                shard = number
            elif tag == _DTYPE:
                more.append(value[start:pos])
            elif tag == _SHAPE:
                pos += number
                more.append(value[start:pos])
            elif tag == _SLICE:
                slices.append(decode_slice(value[pos : pos + number]))
                pos += number
            else:
                # A field this version does not know.
                pos = start + field_size(memoryview(value)[start:])
    except IndexError:
        pos = end + 1
    if pos > end:
        raise TruncatedError("entry", wanted=pos, available=end)
    if (size | offset | shard) >> 63:
        raise CorruptError(
            f"negative shard {to_signed(shard)}, offset {to_signed(offset)} or size {to_signed(size)}"
        )
    dtype, shape = _decode_head(b"".join((head, *more)) if more else head)
    if slices:
        # The place is that of the first bundle merged, not of any data.
        return Entry(name, dtype, shape, 0, None, None, None, tuple(slices))
    return Entry(name, dtype, shape, size, shard, offset, unmask(masked), ())


@lru_cache(maxsize=4096)
def _decode_head(head: bytes) -> tuple[DType, Shape]:
    """The dtype and shape that the first two fields of an entry say."""
    dtype, shape = 0, bytearray()
    for field in decode_fields(head):
        if field.number == 1:
            dtype = field.value
        else:
            shape += field.content
    return find_dtype(dtype), decode_shape(bytes(shape))
