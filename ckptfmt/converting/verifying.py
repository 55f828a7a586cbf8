"""Targets read back, and compared with their sources by digest.

The digest of a tensor is the CRC-32C of its elements in C order, little-endian; of strings, of their lengths
and bytes. Of a tensor that is copied from a checkpoint as it is stored, the index has it, so that the source
is not read again. What a plan or a cast makes is made a second time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.encode import encode_variant
from ckptfmt.arrays.raw import encode_pieces
from ckptfmt.converting.sinks.outgoing import Outgoing, outgoing
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError
from ckptfmt.integrity import Progress
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.quoting import listed
from ckptfmt.wire.crc32c import crc32c


def check_written(
    tensors: Sequence[Outgoing], written: Tensors, file: str, progress: Progress | None = None
) -> None:
    """Compare what was to be written with what a file holds; CorruptError names the tensors that differ."""
    found = {each.name: each for each in outgoing(written)}
    total, done = sum(each.nbytes for each in tensors), 0
    differing = []
    for each in tensors:
        if not _is_same(each, found):
            differing.append(each.name)
        done += each.nbytes
        if progress is not None:
            progress(done, total)
    if differing:
        raise CorruptError(f"not what was converted: tensors that differ: {listed(differing)}", file=file)


def _is_same(tensor: Outgoing, written: Mapping[str, Outgoing]) -> bool:
    other = written.get(tensor.name)
    if other is None or other.dtype != tensor.dtype or other.shape != tensor.shape:
        return False
    return digest_of(tensor) == digest_of(other, is_read=True)


def digest_of(tensor: Outgoing, *, is_read: bool = False) -> int:
    """Return the digest of a tensor; with ``is_read``, of the bytes that are in its file now."""
    stored = tensor.stored
    if not is_read and stored is not None and not stored.slices and tensor.is_plain:
        return stored.crc32c or 0
    crc = 0
    for piece in tensor.pieces():
        for data in _bytes_of(piece, tensor.dtype):
            crc = crc32c(data, crc)
        # Pages of a file that was just written count as memory of this process while they are mapped.
        tensor.release()
    return crc


def _bytes_of(array: Array, dtype: DType) -> list[bytes | memoryview]:
    if dtype.itemsize is not None:
        return list(encode_pieces(array, dtype))
    if dtype.storage is Storage.VARIANT:
        return [encode_variant(each).SerializeToString() for each in array.ravel().tolist()]
    return [struct.pack("<Q", len(each)) + each for each in array.ravel().tolist()]
