"""A bundle, written: the bytes of tensors into shards, their entries into an index; ``bundle`` reads both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry, encode_head, new_key
from ckptfmt.checkpoint.new_index import NewIndex
from ckptfmt.checkpoint.new_tensor import NewTensor
from ckptfmt.checkpoint.raw_copy import Advance, copy_pieces
from ckptfmt.checkpoint.shards import Shards
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.storage.output import NewFile
from ckptfmt.wire.crc32c import crc32c


class BundleWriter:
    """A bundle being written, whose index follows its data; threads may share it.

    A tensor takes its key before its bytes are written, so that of two of one name the second is refused, and
    gets its entry after that.
    """

    def __init__(self, shards: Shards, index: NewIndex) -> None:
        self.shards = shards
        """The data files."""
        self.index = index
        """The index, which is written at the end."""

    def add(self, key: bytes, tensor: NewTensor, shard: int | None = None) -> None:
        """Write a tensor; NameConflictError if another one has the key, NotWritableError."""
        self.index.claim([key])
        self._write(key, tensor, shard)

    def add_slice(
        self, key: bytes, tensor: NewTensor, full_shape: Shape, part: TensorSlice, shard: int | None = None
    ) -> None:
        """Write a slice of a tensor.

        Raises what :meth:`add` raises, and ValueError if other slices are of another dtype or full shape.
        """
        slice_key = self.index.claim_slice(key, tensor.dtype, full_shape, part)
        self.index.add_slice(key, part, self._write(slice_key, tensor, shard))

    def _write(self, key: bytes, tensor: NewTensor, number: int | None) -> int:
        shard = self.shards.choose(tensor.form.size, number)
        offset, crc = shard.append(tensor.form)
        self.index.add(key, tensor.dtype, tensor.shape, (shard.number, offset, tensor.form.size, crc))
        return shard.number

    def add_small(self, keys: Sequence[bytes], arrays: Sequence[Array], heads: Sequence[bytes]) -> None:
        """Write small tensors; ``heads`` are the first two fields of their entries. Raises as :meth:`add`."""
        contents = list(map(np.ndarray.tobytes, arrays))
        sizes = list(map(len, contents))
        numbers = np.empty((len(keys), 4), np.uint64)
        numbers[:, 2] = sizes
        numbers[:, 3] = np.fromiter(map(crc32c, contents), np.uint64, len(keys))
        self.index.claim(keys)
        shards = self.shards.choose_for_all(sizes)
        for shard in set(shards):
            rows: Any = slice(None)
            mine = contents
            if len(set(shards)) > 1:
                rows = [row for row, each in enumerate(shards) if each is shard]
                mine = [contents[row] for row in rows]
            offset = shard.append_joined(mine)
            numbers[rows, 0] = shard.number
            numbers[rows, 1] = numbers[rows, 2].cumsum() - numbers[rows, 2] + np.uint64(offset)
        self.index.add_all(keys, heads, numbers)

    def add_stored(
        self,
        keys: Sequence[bytes],
        bundle: Bundle,
        entries: Sequence[Entry],
        shard: int | None,
        advance: Advance,
    ) -> None:
        """Write the bytes of entries of another bundle, verified, under keys; see :func:`copy_pieces`."""
        self.index.claim(keys)
        target = self.shards.choose(sum(entry.nbytes for entry in entries), shard)
        # Padding comes between neighbours, which then are copied one by one.
        count = 1 if self.shards.is_aligned else max(1, len(entries))
        for start in range(0, len(entries), count):
            some = entries[start : start + count]
            numbers = np.empty((len(some), 4), np.uint64)
            numbers[:, 0] = target.number
            numbers[:, 2] = [entry.nbytes for entry in some]
            numbers[:, 3] = [entry.crc32c or 0 for entry in some]
            ends = numbers[:, 2].cumsum()
            offset = target.append_by(int(ends[-1]), partial(_copy, bundle, some, advance))
            numbers[:, 1] = ends - numbers[:, 2] + np.uint64(offset)
            heads = [encode_head(entry.dtype, entry.shape) for entry in some]
            self.index.add_all(keys[start : start + count], heads, numbers)


def piece_key(name: str, part: TensorSlice | None) -> bytes:
    """Return the key of a new tensor, or of a slice of one; ValueError if no tensor can have the name."""
    key = new_key(name)
    return key if part is None else encode_slice_key(key, part)


def _copy(bundle: Bundle, entries: Sequence[Entry], advance: Advance, file: NewFile) -> None:
    copy_pieces(bundle, entries, file, advance)
