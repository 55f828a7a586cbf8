"""String and variant tensors, as bundles store them.

::

    strings:   length varint × n | masked CRC of the lengths uint32 | the strings, one after the other
    variants:  for each element: length varint | VariantTensorDataProto | masked CRC so far uint32

One CRC runs through all of it, with a twist: it covers a length not as the varint in the file but as an
integer of 4 bytes (8 bytes from 4 GiB on, and always in variants). The CRC in the entry is this running CRC.
Strings written before 2018 differ only for lengths of 4 GiB and more, which they could not represent. Source:
TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``, ``WriteStringTensor``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ckptfmt import arrays
from ckptfmt.arrays.array import Array, shaped
from ckptfmt.arrays.shape import Shape
from ckptfmt.arrays.strings import split_strings
from ckptfmt.checkpoint.stored_form import StoredForm
from ckptfmt.errors import ChecksumError, CorruptError, TruncatedError
from ckptfmt.storage.output import Data
from ckptfmt.wire.coding import Buffer, decode_varint, decode_varints, encode_varint, encode_varints
from ckptfmt.wire.crc32c import crc32c, mask, unmask
from ckptfmt.wire.threads import PIECE

_UINT32_MAX = 0xFFFFFFFF

LENGTHS_AT_ONCE = 1 << 18
"""String lengths decoded at a time, so that 20 million empty strings are verified in little memory."""


_ENCODED_AT_ONCE = 1 << 13
"""Strings encoded at a time; fewer, because each may be long, and text takes memory of its own as bytes."""


def check_strings(
    data: Buffer, shape: Shape, *, big_endian: bool = False, keep: list[np.ndarray] | None = None
) -> tuple[int, int]:
    """Return where the first string begins, and the CRC up to there.

    The lengths are checked against their CRC and the size of ``data``, a chunk at a time; nothing is
    allocated for the bytes that they claim. Chunks of lengths (uint64) are appended to ``keep``.
    """
    count = math.prod(shape)
    if not count and not len(data):
        return 0, 0
    # A length takes a byte or more, so a shape that a damaged index claims costs no more than the data.
    if count > len(data):
        raise TruncatedError(f"{count} varints", wanted=count, available=len(data), offset=0)
    order: Literal["big", "little"] = "big" if big_endian else "little"
    pos = total = crc = 0
    for done in range(0, count, LENGTHS_AT_ONCE):
        lengths, size = decode_varints(data[pos:], min(LENGTHS_AT_ONCE, count - done))
        pos += size
        crc = _add_lengths(crc, lengths, order)
        # NumPy's sum wraps around, which lengths that a damaged file claims could exploit.
        total += int(lengths.sum()) if int(lengths.max()) <= _UINT32_MAX else sum(lengths.tolist())
        if keep is not None:
            keep.append(lengths)
    start = pos + 4
    if start > len(data):
        raise TruncatedError("checksum of string lengths", wanted=start, available=len(data), offset=pos)
    if start + total != len(data):
        raise CorruptError(
            f"strings: got {len(data) - start} bytes after their lengths, want {total}",
            offset=start,
        )
    # The stored checksum is part of what the entry's checksum covers, in its masked form.
    stored = bytes(data[pos:start])
    expected = unmask(int.from_bytes(stored, order))
    if crc != expected:
        raise ChecksumError("string lengths: checksum mismatch", stored=expected, computed=crc, offset=pos)
    return start, crc32c(stored, crc)


def decode_strings(data: Buffer, shape: Shape, *, big_endian: bool = False) -> tuple[Array, int]:
    """Return an object array of ``bytes``, and the CRC to compare with the entry's."""
    lengths = [np.empty(0, np.uint64)]
    start, crc = check_strings(data, shape, big_endian=big_endian, keep=lengths)
    strings = data[start:]
    return shaped(split_strings(strings, np.concatenate(lengths)), shape), crc32c(strings, crc)


def _add_lengths(crc: int, lengths: np.ndarray, order: Literal["big", "little"]) -> int:
    """Return the CRC after it has covered the lengths of strings (uint64)."""
    # It covers 4 bytes of each, in the byte order of the file, but 8 of one from 4 GiB on.
    if int(lengths.max()) <= _UINT32_MAX:
        return crc32c(lengths.astype(">u4" if order == "big" else "<u4").tobytes(), crc)
    for length in lengths.tolist():
        crc = crc32c(length.to_bytes(4 if length <= _UINT32_MAX else 8, order), crc)
    return crc


def encode_strings(values: Array) -> StoredForm:
    """Return the stored form of strings: an array of bytes or text, as objects or as NumPy has them.

    Memory holds the varints of all lengths, and the strings of one chunk. :func:`decode_strings` is the
    inverse. Raises TypeError if an element is neither bytes nor text.
    """
    varints: list[Data] = []
    total = crc = 0
    for chunk in _chunks(values):
        lengths = np.fromiter(map(len, chunk), np.uint64, len(chunk))
        varints.append(encode_varints(lengths))
        crc = _add_lengths(crc, lengths, "little")
        total += int(lengths.sum())
    stored = mask(crc).to_bytes(4, "little")
    head = [*varints, stored]
    return StoredForm(head, crc32c(stored, crc), _contents(values), sum(map(len, head)) + total)


def _chunks(values: Array) -> Iterator[list[bytes]]:
    """Iterate over the elements of an array of strings as lists of bytes."""
    # NumPy 2.4 cannot cut a StringDType array by its flat iterator.
    flat = values.reshape(-1) if values.dtype.kind == "T" else values.flat
    for start in range(0, values.size, _ENCODED_AT_ONCE):
        chunk = flat[start : start + _ENCODED_AT_ONCE].tolist()
        yield chunk if set(map(type, chunk)) == {bytes} else list(map(arrays.as_bytes, chunk))


def _contents(values: Array) -> Iterator[bytes]:
    """Iterate over the elements of an array of strings, joined until they make a piece."""
    for chunk in _chunks(values):
        if sum(map(len, chunk)) <= PIECE:
            yield b"".join(chunk)
            continue
        waiting: list[bytes] = []
        size = 0
        for value in chunk:
            if size + len(value) > PIECE and waiting:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(value)
            size += len(value)
        yield b"".join(waiting)


def encode_variants(messages: Sequence[bytes]) -> StoredForm:
    """Return the stored form of serialized variants; :func:`decode_variants` is the inverse."""
    pieces: list[Data] = []
    crc = 0
    for message in messages:
        crc = crc32c(message, crc32c(len(message).to_bytes(8, "little"), crc))
        stored = mask(crc).to_bytes(4, "little")
        pieces += (encode_varint(len(message)), message, stored)
        crc = crc32c(stored, crc)
    return StoredForm(pieces, crc, (), sum(map(len, pieces)))


def check_variants(data: Buffer, shape: Shape, *, keep: list[arrays.Variant] | None = None) -> int:
    """Verify the checksums inside, decode each variant, and return the CRC to compare with the entry's.

    The variants are appended to ``keep``.
    """
    count = math.prod(shape)
    if count > len(data):
        raise TruncatedError(f"{count} variants", wanted=count, available=len(data), offset=0)
    # ``crc`` covers all before ``pos``, stored checksums included, but each length as 8 bytes.
    pos = crc = 0
    for i in range(count):
        size, start = decode_varint(data, pos)
        pos = start + size
        if pos + 4 > len(data):
            raise TruncatedError(f"variant {i}", wanted=size + 4, available=len(data) - start, offset=start)
        content = data[start:pos]
        crc = crc32c(content, crc32c(size.to_bytes(8, "little"), crc))
        stored = bytes(data[pos : pos + 4])
        if int.from_bytes(stored, "little") != mask(crc):
            raise ChecksumError(
                f"variant {i}: checksum mismatch",
                stored=unmask(int.from_bytes(stored, "little")),
                computed=crc,
                offset=pos,
            )
        crc = crc32c(stored, crc)
        pos += 4
        try:
            variant = arrays.decode_variant(content)
        except CorruptError as error:
            error.offset = start + (error.offset or 0)
            raise
        if keep is not None:
            keep.append(variant)
    if pos != len(data):
        raise CorruptError(f"{len(data) - pos} bytes after the last variant", offset=pos)
    return crc


def decode_variants(data: Buffer, shape: Shape) -> tuple[Array, int]:
    """Return an object array of :class:`~ckptfmt.types.Variant`, and the CRC to compare with the entry's."""
    variants: list[arrays.Variant] = []
    crc = check_variants(data, shape, keep=variants)
    values = np.empty(len(variants), object)
    values[:] = variants
    return shaped(values, shape), crc
