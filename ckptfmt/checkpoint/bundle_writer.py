"""The files of a bundle, written; ``bundle`` reads them.

Data go into shards in the order in which they come, each tensor after the one before it. What the index says
about them is kept until the end, because its keys are sorted: about 100 bytes a tensor. Given the same
tensors in the same order, the files are byte for byte those of TensorFlow. Source: TensorFlow
``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle_index import HEADER_KEY
from ckptfmt.checkpoint.entry import encode_entry, encode_sliced_entry
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.dtypes import DType
from ckptfmt.storage.output import Data, NewFile, Output
from ckptfmt.table.compression import Compression
from ckptfmt.table.writer import BLOCK_SIZE, write_sorted_table
from ckptfmt.wire.coding import encode_varint

PRODUCER = 1
"""The version of the format that TensorFlow writes, ``kTensorBundleVersion``."""


class Piece(NamedTuple):
    """The bytes of a tensor, or of one slice of it, in a shard."""

    dtype: DType
    shape: Shape
    shard: int
    offset: int
    size: int
    crc: int


class Shard:
    """A data file being written, by one thread at a time."""

    def __init__(self, number: int, file: NewFile) -> None:
        self.number = number
        self.file = file
        self.size = 0
        """Bytes written or promised to a thread that is writing them."""
        self.lock = threading.Lock()

    def pad(self, alignment: int) -> None:
        """Write zeros up to a multiple of ``alignment``."""
        padding = -self.size % alignment
        if padding:
            self.file.write(bytes(padding))
            self.size += padding

    def append(self, pieces: Iterable[Data]) -> int:
        """Write bytes; return how many."""
        start = self.size
        for piece in pieces:
            self.file.write(piece)
            self.size += len(piece)
        return self.size - start


def write_index(
    output: Output,
    pieces: Mapping[bytes, Piece],
    sliced: Mapping[bytes, tuple[DType, Shape, int, Sequence[TensorSlice]]],
    num_shards: int,
    *,
    block_size: int = BLOCK_SIZE,
    compression: Compression | None = None,
) -> None:
    """Write the index of a bundle: an entry for each piece by key, and for each tensor in slices by name.

    Raises NotWritableError.
    """
    entries: dict[bytes, Callable[[], bytes]] = {}
    for key, piece in pieces.items():
        entries[key] = lambda piece=piece: encode_entry(*piece)  # type: ignore[misc]
    for key, (dtype, shape, shard, slices) in sliced.items():
        entries[key] = lambda each=(dtype, shape, shard, slices): encode_sliced_entry(*each)  # type: ignore[misc]
    rows = ((key, entries[key]()) for key in sorted(entries))
    items = ((HEADER_KEY, encode_header(num_shards)), *rows)
    write_sorted_table(output, items, block_size=block_size, compression=compression)


def encode_header(num_shards: int) -> bytes:
    """Return the BundleHeaderProto of a little-endian bundle."""
    version = b"\x08" + encode_varint(PRODUCER)
    return b"\x08" + encode_varint(num_shards) + b"\x1a" + encode_varint(len(version)) + version
