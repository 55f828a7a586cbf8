"""Entries: what the index of a checkpoint says about one tensor.

In a V2 index, the value of a tensor's name is a BundleEntryProto::

    1 dtype   2 shape   3 shard_id   4 offset   5 size   6 crc32c, masked   7 slices

It is decoded by hand, because an index may hold a million. Missing fields are zero, and repeated ones merge
as protobuf merges them. The metadata of a V1 checkpoint give the same entry, but without a place.
Source: TensorFlow ``core/protobuf/tensor_bundle.proto``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.arrays.shape import Shape, decode_shape, encode_shape
from ckptfmt.checkpoint.partition import Slices
from ckptfmt.checkpoint.slices import TensorSlice, decode_slice, encode_slice
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.notebook.card import Card, Fact
from ckptfmt.notebook.page import to_html
from ckptfmt.text.printing import shape_text, size_text
from ckptfmt.wire.coding import Buffer, decode_varint, encode_varint, to_signed, varint_columns
from ckptfmt.wire.crc32c import mask, unmask
from ckptfmt.wire.crc_rows import mask_all
from ckptfmt.wire.fields import decode_fields

# Tags of BundleEntryProto: field number << 3 | wire type.
DTYPE, SHAPE, SHARD, OFFSET, SIZE, CRC, SLICE = 0x08, 0x12, 0x18, 0x20, 0x28, 0x35, 0x3A

Head: TypeAlias = "tuple[DType, Shape]"
"""Dtype and shape, the first two fields of an entry; most are shared by many tensors."""


class Entry(NamedTuple):
    """The index entry of one tensor."""

    name: str
    """The tensor's name; bytes that are not UTF-8 are kept as surrogate escapes (PEP 383)."""
    dtype: DType
    """Its dtype: ``.name`` is TensorFlow's name, ``.numpy`` the dtype of arrays."""
    shape: Shape
    """Its full shape, even if it is stored in slices."""
    nbytes: int
    """Bytes in the data files, of all slices together; those of strings include lengths and checksums.

    In a V1 checkpoint, whose values are encoded one by one, this is the size of the array. For strings, it is
    the number of their bytes, and 0 if they are damaged."""
    shard: int | None
    """Number of the data file that holds it; None for slices, which may be in several."""
    offset: int | None
    """Its first byte in that file; None for slices and in V1 checkpoints."""
    crc32c: int | None
    """CRC-32C of its stored bytes, unmasked; None for slices and in V1 checkpoints."""
    slices: tuple[TensorSlice, ...]
    """The slices that store it; empty if it is stored whole."""

    def _card(self) -> Card:
        checksum = None if self.crc32c is None else f"{self.crc32c:08x}"
        facts: list[tuple[str, Fact]] = [
            ("dtype", self.dtype.name),
            ("shape", shape_text(self.shape)),
            ("size", size_text(self.nbytes)),
            ("shard", self.shard),
            ("offset", self.offset),
            ("crc32c", checksum),
            ("slices", len(self.slices) or None),
        ]
        return Card("Entry", self.name, facts)

    def _repr_html_(self) -> str:
        return to_html(self._card)


new_entry: Callable[[Iterable[object]], Entry] = partial(tuple.__new__, Entry)
"""Makes an entry of an iterable of its fields, in half the time that its own constructor takes."""

_MAX_PLAIN = 256
"""Bytes that no entry in the usual form exceeds, so that little memory caches many."""


def name_of(key: bytes) -> str:
    """Return the name of a key; :func:`key_of` is its inverse for every byte string."""
    return key.decode("utf-8", "surrogateescape")


def key_of(name: str) -> bytes:
    """Return the key of a name; UnicodeEncodeError if no key decodes to it (other lone surrogates)."""
    return name.encode("utf-8", "surrogateescape")


def new_key(name: str) -> bytes:
    """Return the key of the name of a new tensor; ValueError if no tensor can have it."""
    if not isinstance(name, str):
        raise TypeError(f"tensor name: got {name!r}, want a str")
    if not name:
        raise ValueError("tensor name: got '', which the index keeps for its header")
    if name[0] == "\0":
        raise ValueError(f"tensor name: got {name!r}, want one that does not begin with a zero byte")
    try:
        return key_of(name)
    except UnicodeEncodeError as error:
        raise ValueError(f"tensor name: got {name!r}, want text that UTF-8 can encode") from error


def new_keys(names: Sequence[str]) -> list[bytes]:
    """Return what :func:`new_key` does for many names, and raise what it raises."""
    # Encoding all at once takes half the time. A zero byte is no part of a longer character; a name that has
    # one itself, or any other fault, shows in the keys.
    try:
        keys = key_of("\0".join(names)).split(b"\0")
    except (TypeError, UnicodeEncodeError):
        keys = []
    return keys if len(keys) == len(names) and b"" not in keys else list(map(new_key, names))


def decode_entry(name: str, value: Buffer) -> Entry:
    """Return the entry of a serialized BundleEntryProto.

    Raises
    ------
    CorruptError
        The value cannot be parsed, or describes no possible tensor: a negative shard, offset or size, or a
        shape that TensorFlow cannot hold.
    """
    # The form that writers use: fields in order, the checksum last.
    place = _decode_place(bytes(value[:-4])) if len(value) <= _MAX_PLAIN else None
    if place is not None:
        return new_entry((name, *place, unmask(int.from_bytes(value[-4:], "little")), ()))
    return _decode_slices(name, value) or _decode_in_any_order(name, value)


def encode_entry(dtype: DType, shape: Shape, shard: int, offset: int, size: int, crc: int) -> bytes:
    """Return the BundleEntryProto of a stretch of a data file, as TensorFlow serializes it.

    ``crc`` is the CRC-32C, unmasked. :func:`decode_entry` is the inverse.
    """
    value = encode_head(dtype, shape)
    for tag, number in ((SHARD, shard), (OFFSET, offset), (SIZE, size)):
        if number:
            value += bytes((tag,)) + encode_varint(number)
    return value + bytes((CRC,)) + mask(crc).to_bytes(4, "little")


def encode_entries(heads: Iterable[bytes], numbers: np.ndarray) -> list[bytes]:
    """Return what :func:`encode_entry` does for many entries, by columns.

    Parameters
    ----------
    heads
        The first two fields of each; see :func:`encode_head`.
    numbers
        A row for each with its shard, offset, size and unmasked CRC-32C (uint64).
    """
    # As a matrix with a row for each entry, wide enough for the longest; the bytes that count are cut out.
    parts: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    for tag, column in zip((SHARD, OFFSET, SIZE), numbers.T, strict=False):
        columns, sizes = varint_columns(column)
        tagged = np.insert(columns, 0, tag, axis=1)
        parts.append(tagged)
        counts.append(np.arange(tagged.shape[1]) < np.where(column, sizes + 1, 0)[:, None])
    crcs = mask_all(numbers[:, 3].astype(np.uint32)).astype("<u4").view(np.uint8).reshape(-1, 4)
    parts.append(np.insert(crcs, 0, CRC, axis=1))
    counts.append(np.ones((len(crcs), 5), bool))
    is_used = np.concatenate(counts, axis=1)
    data = np.concatenate(parts, axis=1)[is_used].tobytes()
    ends = is_used.sum(axis=1).cumsum().tolist()
    return [head + data[start:end] for head, start, end in zip(heads, [0, *ends], ends, strict=False)]


def encode_sliced_entry(dtype: DType, shape: Shape, shard: int, slices: Iterable[TensorSlice]) -> bytes:
    """Return the BundleEntryProto of a tensor in slices, which have entries of their own.

    ``shard`` means nothing to readers: it is that of the bundle from which TensorFlow took the entry.
    """
    value = encode_head(dtype, shape)
    if shard:
        value += bytes((SHARD,)) + encode_varint(shard)
    for part in map(encode_slice, slices):
        value += bytes((SLICE,)) + encode_varint(len(part)) + part
    return value


@lru_cache(maxsize=4096)
def encode_head(dtype: DType, shape: Shape) -> bytes:
    """Return the first two fields of an entry; :func:`decode_head` is the inverse."""
    dimensions = encode_shape(shape)
    return bytes((DTYPE, dtype.code, SHAPE)) + encode_varint(len(dimensions)) + dimensions


def ends_in_checksum(value: bytes) -> bool:
    """Return whether a serialized entry has the form that writers use, with the checksum last."""
    return len(value) <= _MAX_PLAIN and _decode_place(value[:-4]) is not None


# The checkpoints of a training run differ only in their checksums: all but the first find this in the cache.
@lru_cache(maxsize=4096)
def _decode_place(value: bytes) -> tuple[DType, Shape, int, int, int] | None:
    """Return dtype, shape, size, shard and offset of an entry without the four bytes of its checksum.

    None unless it has the form that writers use: fields in order, and one byte each for the code of the dtype
    and the length of the shape.
    """
    head = _head_of(value)
    if head is None:
        return None
    end = len(value)
    numbers = []
    pos = len(head)
    try:
        for tag in (SHARD, OFFSET, SIZE):
            number = 0
            if pos < end and value[pos] == tag:
                number, pos = _decode_short(value, pos + 1)
            numbers.append(number)
    except CorruptError:
        return None  # the last four bytes are not a checksum
    shard, offset, size = numbers
    if pos + 1 != end or value[pos] != CRC or (size | offset | shard) >> 63:
        return None
    return *decode_head(head), size, shard, offset


def _decode_slices(name: str, value: Buffer) -> Entry | None:
    """Return the entry of a tensor in slices; None unless it has the form that writers use."""
    head = _head_of(value)
    if head is None:
        return None
    end = len(value)
    pos = len(head)
    # Shard and offset are left over from the first bundle that was merged, and mean nothing.
    for tag in (SHARD, OFFSET, SIZE):
        if pos < end and value[pos] == tag:
            _, pos = _decode_short(value, pos + 1)
    slices = []
    while pos + 1 < end and value[pos] == SLICE and value[pos + 1] < 0x80:
        start, pos = pos + 2, pos + 2 + value[pos + 1]
        slices.append(decode_slice(value[start:pos]))
    if not slices or pos != end:
        return None
    return Entry(name, *decode_head(head), 0, None, None, None, Slices(slices))


def _head_of(value: Buffer) -> bytes | None:
    """Return the first two fields of an entry, dtype and shape; None unless each takes few bytes."""
    if len(value) > 4 and value[0] == DTYPE and value[2] == SHAPE and value[1] < 0x80 and value[3] < 0x80:
        return bytes(value[: 4 + value[3]])
    return None


def _decode_in_any_order(name: str, value: Buffer) -> Entry:
    """Return the entry of any serialized BundleEntryProto, merged as protobuf does."""
    numbers = dict.fromkeys((DTYPE, SHARD, OFFSET, SIZE, CRC), 0)
    shape: list[Buffer] = []
    slices: list[TensorSlice] = []
    for field in decode_fields(value):
        tag = field.number << 3 | field.wire_type
        if tag in numbers:
            numbers[tag] = field.value
        elif tag == SHAPE:
            shape.append(field.content)
        elif tag == SLICE:
            slices.append(decode_slice(field.content))
    dtype, dimensions = find_dtype(numbers[DTYPE]), decode_shape(b"".join(shape))
    if slices:
        return Entry(name, dtype, dimensions, 0, None, None, None, Slices(slices))
    shard, offset, size = (to_signed(numbers[tag]) for tag in (SHARD, OFFSET, SIZE))
    if min(shard, offset, size) < 0:
        raise CorruptError(f"negative shard {shard}, offset {offset} or size {size}")
    return Entry(name, dtype, dimensions, size, shard, offset, unmask(numbers[CRC]), ())


def _decode_short(data: Buffer, pos: int) -> tuple[int, int]:
    """Return a varint, which is likely to have one byte, and the position after it."""
    if pos < len(data) and data[pos] < 0x80:
        return data[pos], pos + 1
    return decode_varint(data, pos)


@lru_cache(maxsize=4096)
def decode_head(head: bytes) -> Head:
    """Return the dtype and shape of the first two fields of an entry, in the usual form."""
    return find_dtype(head[1]), decode_shape(head[4:])
