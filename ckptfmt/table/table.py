"""A table: a map from byte-string keys to byte-string values in one file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table.block import KEY_MEMORY, Block, Rows
from ckptfmt.table.format import BlockHandle, decode_handle, read_block, read_footer
from ckptfmt.wire.coding import Buffer

KEPT_BYTES = 16 << 20
"""Bytes of blocks kept for the next look-ups: those of 200,000 tensors, as TensorFlow writes them."""


SMALL = 4 << 10
"""Stored bytes of a block of few entries: those of 60 tensors, as TensorFlow writes them."""

SMALL_INDEX = 256
"""Bytes of an index block that is decoded once for all tables that have the same."""


class Table:
    """A sorted string table.

    Opening it reads the footer, the first look-up the index block. A look-up reads one data block, unless it
    is among the blocks kept. The checksum of every block is verified. Errors have the file and an offset; in
    a compressed block, that counts decompressed bytes from the first byte of the block.
    """

    def __init__(self, file: RandomAccessFile, *, limits: Limits = DEFAULT) -> None:
        self.file = file
        self.limits = limits
        """How much memory a listing may take."""
        self.footer = read_footer(file)
        self._kept: dict[BlockHandle, Block] = {}

    @cached_property
    def _index(self) -> tuple[list[bytes], list[BlockHandle]]:
        """For each data block, a key not less than its last one (its separator) and its handle."""
        data = self.block(self.footer.index).data
        decode = _decode_small_index if len(data) <= SMALL_INDEX else _decode_index
        try:
            return decode(data, self.room)
        except (CorruptError, LimitError) as error:
            raise error.at(self.file.name, self.footer.index.offset) from None

    @cached_property
    def header(self) -> Buffer | None:
        """The value of the empty key, where a checkpoint keeps what applies to all of it; None if missing."""
        return self.get(b"")

    @property
    def room(self) -> int:
        """Bytes of memory that the keys of a listing may take."""
        return self.limits.memory(self.file.size)

    @property
    def handles(self) -> list[BlockHandle]:
        """The data blocks, in key order."""
        return self._index[1]

    def get(self, key: bytes) -> Buffer | None:
        """Return the value of ``key``, or None; reads at most two data blocks.

        Raises CorruptError if the blocks that were read disagree with the separators, for then another block
        may have the key.
        """
        # The keys of a block are greater than the separator before it and at most its own.
        separators, handles = self._index
        position = bisect_left(separators, key)
        if position < len(handles):
            handle = handles[position]
            block = self._data_block(handle)
            try:
                value = block.get(key)
                if value is not None:
                    return value
                first, last = block.bounds
                self.check_bounds(position, first, last)
            except (CorruptError, LimitError) as error:
                raise error.at(self.file.name, handle.offset) from None
            # Another block can have the key only if its keys disagree with its separators. A neighbour is the
            # likely one, and is checked too; a listing checks all.
            if key < first and position:
                self._bounds(position - 1)
            elif key > last and position + 1 < len(handles):
                self._bounds(position + 1)
        elif handles:
            self._bounds(position - 1)
        return None

    def _data_block(self, handle: BlockHandle) -> Block:
        """Return a data block, which is kept for later look-ups."""
        block = self._kept.get(handle)
        if block is None:
            block = self.block(handle)
            self._keep(handle, block)
        return block

    def _bounds(self, position: int) -> None:
        """Raise CorruptError unless the keys of a block agree with the separators."""
        handle = self.handles[position]
        try:
            self.check_bounds(position, *self._data_block(handle).bounds)
        except (CorruptError, LimitError) as error:
            raise error.at(self.file.name, handle.offset) from None

    def check_bounds(self, position: int, first: bytes, last: bytes) -> None:
        """Raise CorruptError unless the first and last key of a block agree with the separators around it.

        Look-ups go by the separators: if they are wrong, a key that is listed may not be found.
        """
        separators = self._index[0]
        if position and first <= separators[position - 1]:
            raise CorruptError(
                f"first key of the block: got {first!r}, want more than the separator before it, "
                f"{separators[position - 1]!r}",
                offset=0,
            )
        if last > separators[position]:
            raise CorruptError(
                f"last key of the block: got {last!r}, want at most its separator, {separators[position]!r}",
                offset=0,
            )

    def _keep(self, handle: BlockHandle, block: Block) -> None:
        """Keep a block for the next look-ups, and drop the oldest ones that exceed KEPT_BYTES with it."""
        if not self._kept:
            self._kept[handle] = block  # many tables have only one
            return
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
        room = self.room
        last: bytes | None = None
        for position, handle in enumerate(self.handles):
            try:
                for key, value in self.items_of(position, last, room):
                    yield key, value
                    last = key
                    room -= KEY_MEMORY + len(key)
            except LimitError as error:
                raise self.exceeded(error, room).at(self.file.name, handle.offset) from None
            except CorruptError as error:
                raise error.at(self.file.name, handle.offset) from None

    def exceeded(self, error: LimitError, room: int) -> LimitError:
        """Return the error for the whole listing, from that of a block for which ``room`` bytes were left."""
        return LimitError(
            "bytes of memory for keys",
            limit=self.room,
            asked=self.room - room + error.asked,
            field="max_ratio",
        )

    def items_of(
        self, position: int, after: bytes | None, room: int | None = None
    ) -> Iterator[tuple[bytes, Buffer]]:
        """Iterate over keys and values of one block, greater than ``after``; raises what a listing does."""
        first: bytes | None = None
        last = b""
        for last, value in self.block(self.handles[position]).items(after, room):
            first = last if first is None else first
            yield last, value
        if first is None:
            raise CorruptError("data block without entries", offset=0)
        self.check_bounds(position, first, last)

    def only_block(self) -> Block | None:
        """Return the block of a table of one small block; None if it has more."""
        handles = self.handles
        return self._data_block(handles[0]) if len(handles) == 1 and handles[0].size <= SMALL else None

    def may_end_with(self, key: bytes) -> bool:
        """Return whether the separators allow the last key of the table to be ``key``."""
        return key <= self._index[0][-1]

    def few(self, block: Block) -> Mapping[bytes, tuple[int, int]]:
        """Return where the value of each key begins and ends in the :meth:`only_block` of the table.

        Only keys are decoded for this, and they are kept for look-ups. Raises what a listing does.
        """
        self._bounds(0)
        places = block.places()
        self.limits.check_names("keys", len(places), file=self.file.name)
        return places

    def rows(self, low: bytes = b"", high: bytes | None = None) -> Iterator[Rows]:
        """Iterate over the rows of each block that may have keys from ``low`` on and below ``high``.

        Raises LimitError if their keys take more memory than the limits allow.
        """
        separators, handles = self._index
        first = bisect_left(separators, low)
        last = len(handles) if high is None else bisect_left(separators, high) + 1
        before: bytes | None = None  # the last key so far: order is checked across blocks too
        room, count = self.room, 0
        for position, handle in enumerate(handles[first:last], first):
            block = self.block(handle)
            try:
                rows = block.rows(after=before, room=room)
                if not rows.keys:
                    raise CorruptError("data block without entries", offset=0)
                self.check_bounds(position, rows.keys[0], rows.keys[-1])
            except LimitError as error:
                raise self.exceeded(error, room).at(self.file.name, handle.offset) from None
            except CorruptError as error:
                raise error.at(self.file.name, handle.offset) from None
            before = rows.keys[-1]
            room -= sum(map(len, rows.keys)) + KEY_MEMORY * len(rows.keys)
            count += len(rows.keys)
            self.limits.check_names("keys", count, file=self.file.name)
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
            return Block(read_block(self.file, handle), self.room)
        except CorruptError as error:
            raise error.at(self.file.name, handle.offset) from error.__cause__


def _decode_index(data: Buffer, room: int) -> tuple[list[bytes], list[BlockHandle]]:
    """Return the separator and the handle of each data block, given the index block."""
    separators, handles = [], []
    end = 0
    for separator, value in Block(data, room).items():
        handle = decode_handle(value, 0)[0]
        # Blocks are written one after another. In any other order, one could be listed many times.
        if handle.offset < end:
            raise CorruptError(
                f"data blocks overlap: got one at 0x{handle.offset:x}, want 0x{end:x} or later"
            )
        end = handle.offset + handle.size
        separators.append(separator)
        handles.append(handle)
    return separators, handles


# The small indexes of a training run mostly have the same index block.
_decode_small_index = lru_cache(maxsize=64)(_decode_index)
