"""String and variant tensors, as bundles store them.

::

    strings:   length varint × n | masked CRC of the lengths uint32 | the strings back to back
    variants:  for each element: length varint | VariantTensorDataProto | masked CRC so far uint32

One CRC runs through all of it, with a twist: a length enters as a 4-byte integer (8 bytes from 4 GiB on; in
variants always 8), not as the varint that is in the file. The entry's CRC is that running CRC. Strings
written before 2018 differ only for lengths of 4 GiB and more, which they could not represent.
Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``, ``WriteStringTensor``.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ckptfmt.errors import ChecksumError, CorruptError, TruncatedError
from ckptfmt.tensor import Array, Shape, decode_variant, shaped, split_strings
from ckptfmt.wire.coding import Buffer, decode_varint, decode_varints
from ckptfmt.wire.crc32c import crc32c, mask, unmask

_UINT32_MAX = 0xFFFFFFFF


def check_strings(data: Buffer, shape: Shape, *, big_endian: bool = False) -> tuple[np.ndarray, int, int]:
    """Return the lengths of the strings, where the first begins, and the CRC up to there.

    The lengths are checked against each other, their CRC and the size of ``data``; nothing is allocated for
    what they claim.
    """
    count = math.prod(shape)
    if not count and not len(data):
        return np.empty(0, np.uint64), 0, 0
    lengths, pos = decode_varints(data, count)
    start = pos + 4
    if start > len(data):
        raise TruncatedError("checksum of string lengths", wanted=start, available=len(data), offset=pos)
    total = sum(lengths.tolist())
    if start + total != len(data):
        raise CorruptError(
            f"strings of {total} bytes in all: got {len(data) - start} bytes behind their lengths",
            offset=start,
        )
    order: Literal["big", "little"] = "big" if big_endian else "little"
    if total <= _UINT32_MAX:
        words = lengths.astype(">u4" if big_endian else "<u4").tobytes()
    else:
        words = b"".join(n.to_bytes(4 if n <= _UINT32_MAX else 8, order) for n in lengths.tolist())
    crc = crc32c(words)
    stored = bytes(data[pos:start])
    expected = unmask(int.from_bytes(stored, order))
    if crc != expected:
        raise ChecksumError("checksum of string lengths differs", stored=expected, computed=crc, offset=pos)
    return lengths, start, crc32c(stored, crc)


def decode_strings(data: Buffer, shape: Shape, *, big_endian: bool = False) -> tuple[Array, int]:
    """Return an object array of ``bytes``, and the CRC to compare with the entry's."""
    lengths, start, crc = check_strings(data, shape, big_endian=big_endian)
    strings = data[start:]
    return shaped(split_strings(strings, lengths), shape), crc32c(strings, crc)


def decode_variants(data: Buffer, shape: Shape) -> tuple[Array, int]:
    """Return an object array of :class:`~ckptfmt.tensor.Variant`, and the CRC to compare with the entry's."""
    count = math.prod(shape)
    if count > len(data):
        raise TruncatedError(f"{count} variants", wanted=count, available=len(data), offset=0)
    values = np.empty(count, object)
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
                f"checksum of variant {i} differs",
                stored=unmask(int.from_bytes(stored, "little")),
                computed=crc,
                offset=pos,
            )
        crc = crc32c(stored, crc)
        pos += 4
        values[i] = decode_variant(content)
    if pos != len(data):
        raise CorruptError(f"{len(data) - pos} bytes behind the last variant", offset=pos)
    return shaped(values, shape), crc
