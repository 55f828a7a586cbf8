"""The index of a bundle being written: which names are taken, and the entries so far.

Entries are kept as columns until the end, because the keys of an index are sorted. Given the same tensors in
the same order, it is byte for byte that of TensorFlow. Source: TensorFlow
``core/util/tensor_bundle/tensor_bundle.cc``.

A tensor in slices has an entry for each, and one for the whole that lists them. TensorFlow writes a bundle
for each shard and merges them, one shard after the other: so the whole has the number of the shard that has
the first of its slices, and the slices of each shard are listed in the order in which they were added.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle_index import HEADER_KEY
from ckptfmt.checkpoint.entry import encode_entries, encode_head, encode_sliced_entry, name_of
from ckptfmt.checkpoint.partition import Partition
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, NameConflictError
from ckptfmt.storage.output import Output
from ckptfmt.table.compression import Compression
from ckptfmt.table.writer import BATCH, BLOCK_SIZE, check_options, write_sorted_batches
from ckptfmt.text.quoting import listed
from ckptfmt.wire.coding import encode_varint

PRODUCER = 1
"""The version of the format that TensorFlow writes, ``kTensorBundleVersion``."""

_LISTED = 10
"""The most slices that an error lists."""

_NUMBERS = 4
"""Numbers of an entry: shard, offset, size, CRC."""


class _Parts(NamedTuple):
    """A tensor in slices."""

    dtype: DType
    shape: Shape
    slices: list[tuple[int, TensorSlice]]
    """Each with the number of its shard, in the order in which they were added."""


class NewIndex:
    """The index of a bundle being written; threads may share it.

    Blocks are made as :func:`~ckptfmt.table.writer.write_sorted_table` says; ValueError if they cannot be.
    """

    def __init__(self, block_size: int = BLOCK_SIZE, compression: Compression | None = None) -> None:
        check_options(block_size, compression)
        self._block_size, self._compression = block_size, compression
        self._lock = threading.Lock()
        self._taken: set[bytes] = set()
        self._parts: dict[bytes, _Parts] = {}
        self._partial: set[bytes] = set()
        self._keys: list[bytes] = []
        self._heads: list[bytes] = []
        self._numbers = array("Q")

    def claim(self, keys: Sequence[bytes]) -> None:
        """Take keys of new tensors; NameConflictError, and none is taken, if another tensor has one."""
        with self._lock:
            new = set(keys)
            if len(new) < len(keys) or not new.isdisjoint(self._taken) or not new.isdisjoint(self._parts):
                raise _conflict(keys, self._taken | self._parts.keys())
            self._taken |= new

    def claim_slice(self, key: bytes, dtype: DType, shape: Shape, part: TensorSlice) -> bytes:
        """Take the key of a slice of a tensor, and return it.

        Raises NameConflictError if another tensor or slice has it, ValueError if other slices are of a tensor
        of another dtype or shape.
        """
        slice_key = encode_slice_key(key, part)
        with self._lock:
            if key in self._taken or slice_key in self._taken:
                raise _conflict([key], {key})
            known = self._parts.setdefault(key, _Parts(dtype, shape, []))
            if known[:2] != (dtype, shape):
                raise ValueError(
                    f"slice {part}: got one of {dtype.name}{list(shape)}, "
                    f"want {known.dtype.name}{list(known.shape)} as for other slices of the tensor"
                )
            self._taken.add(slice_key)
        return slice_key

    def add(self, key: bytes, dtype: DType, shape: Shape, place: tuple[int, int, int, int]) -> None:
        """Add the entry of a claimed key: shard, offset, size and CRC of its bytes."""
        with self._lock:
            self._keys.append(key)
            self._heads.append(encode_head(dtype, shape))
            self._numbers.extend(place)

    def add_all(self, keys: Sequence[bytes], heads: Sequence[bytes], numbers: np.ndarray) -> None:
        """Add entries of claimed keys; ``numbers`` (uint64) has a row for each, as :meth:`add` takes them."""
        with self._lock:
            self._keys += keys
            self._heads += heads
            self._numbers.frombytes(numbers.tobytes())

    def add_slice(self, key: bytes, part: TensorSlice, shard: int) -> None:
        """List a slice that was added under its own key in the entry of its tensor."""
        with self._lock:
            self._parts[key].slices.append((shard, part))

    def allow_gaps(self, key: bytes) -> None:
        """Have :meth:`check` pass by a tensor whose slices do not make all of it."""
        self._partial.add(key)

    def check(self) -> None:
        """Raise ValueError unless the slices of every tensor cover it, each element once."""
        for key, parts in self._parts.items():
            if key in self._partial:
                continue
            slices = [part for _, part in parts.slices]
            try:
                if Partition(parts.shape, slices).is_complete:
                    continue
            except CorruptError as error:
                raise ValueError(f"tensor {name_of(key)!r}: {error.what}") from None
            known = listed(slices, _LISTED, quote=str)
            raise ValueError(
                f"tensor {name_of(key)!r}: its slices leave a gap in shape {list(parts.shape)}: {known}"
            )

    def write(self, output: Output, num_shards: int) -> None:
        """Write the index of a bundle of so many shards; NotWritableError if that fails."""
        batches = self._batches(num_shards)
        write_sorted_batches(output, batches, block_size=self._block_size, compression=self._compression)

    def _batches(self, num_shards: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Iterate over keys and values in order."""
        yield [HEADER_KEY], [encode_header(num_shards)]
        wholes = list(self._parts)
        keys = self._keys + wholes
        rows = sorted(range(len(keys)), key=keys.__getitem__)
        numbers = np.frombuffer(self._numbers, np.uint64).reshape(-1, _NUMBERS)
        count = len(self._keys)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            plain = [row for row in batch if row < count] if wholes else batch
            values = encode_entries(map(self._heads.__getitem__, plain), numbers[plain])
            if len(plain) < len(batch):
                entries = iter(values)
                values = [
                    next(entries) if row < count else self._encode_whole(wholes[row - count]) for row in batch
                ]
            yield list(map(keys.__getitem__, batch)), values

    def _encode_whole(self, key: bytes) -> bytes:
        dtype, shape, slices = self._parts[key]
        merged = sorted(slices, key=itemgetter(0))  # stable: in the order of each shard
        return encode_sliced_entry(dtype, shape, merged[0][0], [part for _, part in merged])


def encode_header(num_shards: int) -> bytes:
    """Return the BundleHeaderProto of a little-endian bundle."""
    version = b"\x08" + encode_varint(PRODUCER)
    return b"\x08" + encode_varint(num_shards) + b"\x1a" + encode_varint(len(version)) + version


def _conflict(keys: Sequence[bytes], taken: set[bytes]) -> NameConflictError:
    """Return the error for a list of keys if some are taken or occur twice."""
    seen = set(taken)
    twice: dict[str, list[str]] = {}
    for key in keys:
        if key in seen:
            twice[name_of(key)] = [name_of(key)] * 2
        seen.add(key)
    return NameConflictError("several tensors of one name", names=twice)
