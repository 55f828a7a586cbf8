"""A table: a map from byte-string keys to byte-string values in one file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from ckptfmt.errors import CorruptError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table.block import Block, Rows
from ckptfmt.table.format import BlockHandle, decode_handle, read_block, read_footer
from ckptfmt.wire.coding import Buffer

KEPT_BYTES = 16 << 20
"""Bytes of blocks kept for the next look-ups: those of 200,000 tensors, as TensorFlow writes them."""


class Table:
    """A sorted string table.

    Opening it reads the footer, the first look-up the index block. A look-up reads one data block, unless it
    is among the blocks kept. The checksum of every block is verified. Errors have the file and an offset; in
    a compressed block, that counts decompressed bytes from the first byte of the block.
    """

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        self.footer = read_footer(file)
        self._kept: dict[BlockHandle, Block] = {}

    @cached_property
    def _index(self) -> tuple[list[bytes], list[BlockHandle]]:
        """For each data block, a key not less than its last one (its separator) and its handle."""
        separators, handles = [], []
        index = self.block(self.footer.index)
        try:
            for separator, value in index.items():
                separators.append(separator)
                handles.append(decode_handle(value, 0)[0])
        except CorruptError as error:
            raise error.at(self.file.name, self.footer.index.offset) from None
        return separators, handles

    @property
    def handles(self) -> list[BlockHandle]:
        """The data blocks, in key order."""
        return self._index[1]

    def get(self, key: bytes) -> Buffer | None:
        """Return the value of ``key``, or None; reads at most one data block."""
        # The keys of a block are greater than the separator before it and at most its own.
        separators, handles = self._index
        position = bisect_left(separators, key)
        if position == len(handles):
            return None
        handle = handles[position]
        block = self._kept.get(handle)
        if block is None:
            block = self.block(handle)
            self._keep(handle, block)
        try:
            return block.get(key)
        except CorruptError as error:
            raise error.at(self.file.name, handle.offset) from None

    def _keep(self, handle: BlockHandle, block: Block) -> None:
        """Keep a block for the next look-ups, and drop the oldest ones that exceed KEPT_BYTES with it."""
        kept = list(self._kept.items())  # a copy made in one step: other threads change the dict
        room = KEPT_BYTES - len(block)
        held = sum(len(other) for _, other in kept)
        for oldest, other in kept:  # a dict keeps the order in which keys were added
            if held <= room:
                break
            self._kept.pop(oldest, None)
            held -= len(other)
        # Keep it even if it is larger than KEPT_BYTES: the next name is probably in it too.
        self._kept[handle] = block

    def items(self) -> Iterator[tuple[bytes, Buffer]]:
        """Iterate over all keys and values in key order; each block is read once."""
        last: bytes | None = None
        for number, handle in enumerate(self.handles):
            block = self.block(handle)
            try:
                for key, value in block.items(after=last):
                    self.check_key(number, key)
                    yield key, value
                    last = key
            except CorruptError as error:
                raise error.at(self.file.name, handle.offset) from None

    def check_key(self, number: int, key: bytes) -> None:
        """Raise CorruptError unless look-ups seek a key in the data block of this number."""
        separators = self._index[0]
        if key > separators[number] or (number and key <= separators[number - 1]):
            raise CorruptError(f"key {key!r}: look-ups seek it in another block", offset=0)

    def rows(self, low: bytes = b"", high: bytes | None = None) -> Iterator[Rows]:
        """Iterate over the rows of each block that may have keys from ``low`` on and below ``high``."""
        separators, handles = self._index
        first = bisect_left(separators, low)
        last = len(handles) if high is None else bisect_left(separators, high) + 1
        before: bytes | None = None  # the last key so far: order is checked across blocks too
        for number, handle in enumerate(handles[first:last], first):
            block = self.block(handle)
            try:
                rows = block.rows(after=before)
                # They are in order, so that those between are in the right block too.
                for key in (*rows.keys[:1], *rows.keys[-1:]):
                    self.check_key(number, key)
            except CorruptError as error:
                raise error.at(self.file.name, handle.offset) from None
            before = rows.keys[-1] if rows.keys else before
            yield rows

    def range_around(self, key: bytes, size: int) -> tuple[bytes, bytes | None]:
        """Return a range of keys whose blocks have ``size`` bytes before ``key`` and as many after it.

        The range is its first key, and the key at which it ends or None for the end of the table. It is made
        of whole blocks, and so may be a block larger on each side.
        """
        separators, handles = self._index
        first = last = bisect_left(separators, key)
        # Blocks are added one by one, first before the key's own block, then after it. Stored sizes count.
        room = size
        while first > 0 and room > 0:
            first -= 1
            room -= handles[first].size
        room = size
        while last < len(handles) - 1 and room > 0:
            last += 1
            room -= handles[last].size
        return separators[first - 1] if first else b"", separators[last] if last < len(handles) - 1 else None

    def block(self, handle: BlockHandle) -> Block:
        """Read one block and verify its checksum."""
        try:
            return Block(read_block(self.file, handle))
        except CorruptError as error:
            raise error.at(self.file.name, handle.offset) from error.__cause__
