"""A bundle, written: the bytes of tensors into shards, their entries into an index; ``bundle`` reads both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.entry import Entry, encode_head
from ckptfmt.checkpoint.new_index import NewIndex
from ckptfmt.checkpoint.new_tensor import NewTensor
from ckptfmt.checkpoint.raw_copy import Advance, copy_pieces
from ckptfmt.checkpoint.shards import Shards
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.wire.crc32c import crc32c

SliceOf: TypeAlias = "tuple[TensorSlice, Shape]"
"""A slice, and the shape of the whole tensor."""


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

    def add_small(
        self,
        keys: Sequence[bytes],
        arrays: Sequence[Array],
        heads: Sequence[bytes],
        number: int | None = None,
    ) -> None:
        """Write small tensors; ``heads`` are the first two fields of their entries. Raises as :meth:`add`."""
        contents = list(map(np.ndarray.tobytes, arrays))
        sizes = list(map(len, contents))
        numbers = np.empty((len(keys), 4), np.uint64)
        numbers[:, 2] = sizes
        numbers[:, 3] = np.fromiter(map(crc32c, contents), np.uint64, len(keys))
        self.index.claim(keys)
        shards = self.shards.choose_for_all(sizes, number)
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
        bundle: Bundle,
        keys: Sequence[bytes],
        entries: Sequence[Entry],
        slices: Mapping[int, SliceOf],
        shard: int | None,
        advance: Advance,
    ) -> None:
        """Write what another bundle stores, by its bytes, which are verified; raises what that does too.

        ``slices`` has those that are slices, by number.
        """
        sizes = [entry.nbytes for entry in entries]
        claimed = list(keys)
        self.index.claim([key for row, key in enumerate(keys) if row not in slices] if slices else keys)
        for row, (part, shape) in slices.items():
            claimed[row] = self.index.claim_slice(keys[row], entries[row].dtype, shape, part)
        target = self.shards.choose(sum(sizes), shard)
        offset = target.append_by(sum(sizes), lambda file: copy_pieces(bundle, entries, file, advance))
        numbers = np.empty((len(keys), 4), np.uint64)
        numbers[:, 0], numbers[:, 2] = target.number, sizes
        numbers[:, 1] = numbers[:, 2].cumsum() - numbers[:, 2] + np.uint64(offset)
        numbers[:, 3] = [entry.crc32c or 0 for entry in entries]
        self.index.add_all(claimed, [encode_head(entry.dtype, entry.shape) for entry in entries], numbers)
        for row, (part, _) in slices.items():
            self.index.add_slice(keys[row], part, target.number)
