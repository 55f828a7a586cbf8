"""Columns: the entries of many tensors, an array for each field instead of an object for each tensor.

Entries are decoded a block at a time, one field of all of them at once, if they have the form in which
TensorFlow writes them: every field once and in order, dtype and shape first. All others (tensors in slices,
and other ways to write the same message) are kept as bytes, and decoded when they are asked for.

A listing of 1,000,000 tensors with names of 59 characters took 251 bytes for each, 108 of them for the name,
and 62 more once one of them had been looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import (
    CRC,
    DTYPE,
    OFFSET,
    SHAPE,
    SHARD,
    SIZE,
    SLICE,
    Entry,
    Head,
    decode_head,
    key_of,
    name_of,
    new_entry,
)
from ckptfmt.errors import CorruptError
from ckptfmt.table.block import Rows
from ckptfmt.wire.coding import decode_varints_at
from ckptfmt.wire.crc32c import unmask

Decoder: TypeAlias = Callable[[str, bytes], Entry]
"""Returns an entry, given its name and its serialized form."""

FEW = 40
"""Entries of a block up to which decoding each on request, at 2.5 µs, beats decoding all of them at once."""

AT_ONCE = 512
"""Rows whose fields are Python objects at one time.

All rows at once would take 200 MB for 1,000,000 tensors, which Python's garbage collector then looks through
again and again while the caller keeps what it makes of the entries.
"""

_NUMBERS = 4
"""Columns of integers: nbytes, shard, offset, crc32c."""


class Entries(Mapping[str, Entry]):
    """The index entries of all tensors, by name."""

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return everything as columns of equal length, for tables of other libraries.

        ``name``, ``dtype`` (``"float32"``) and ``shape`` (tuples) are object arrays; ``nbytes``, ``shard``,
        ``offset`` and ``crc32c`` (unmasked) are int64, and -1 if missing, as for tensors in slices and in V1
        checkpoints. ``pandas.DataFrame(ckpt.entries.to_columns())`` makes a table of them.

        Raises CorruptError if an entry is damaged.
        """
        return columns_of(list(self.values()))


def columns_of(entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Return entries as columns; see :meth:`Entries.to_columns`."""
    numbers = np.full((_NUMBERS, len(entries)), -1, np.int64)
    # A size that follows from a shape, as in V1 checkpoints, may exceed what a column can hold.
    for row, entry in enumerate(entries):
        for column, number in enumerate((entry.nbytes, entry.shard, entry.offset, entry.crc32c)):
            if number is not None and number >= 1 << 63:
                raise CorruptError(f"tensor {entry.name!r}: got {number} bytes, want less than 2**63")
            if number is not None:
                numbers[column, row] = number
    return _named(
        [entry.name for entry in entries],
        [entry.dtype.name for entry in entries],
        [entry.shape for entry in entries],
        numbers,
    )


def _named(
    names: Sequence[str], dtypes: Sequence[str], shapes: Sequence[Shape], numbers: np.ndarray
) -> dict[str, np.ndarray]:
    objects = {"name": names, "dtype": dtypes, "shape": shapes}
    # fromiter, because NumPy would turn a list of shapes of equal rank into a two-dimensional array.
    columns = {name: np.fromiter(values, object, len(names)) for name, values in objects.items()}
    return columns | dict(zip(("nbytes", "shard", "offset", "crc32c"), numbers, strict=True))


class Columns:
    """The entries of many tensors, in the order of the index."""

    def __init__(self, blocks: Iterable[Rows], decode: Decoder) -> None:
        """Take the rows of blocks; ``decode`` is called for entries that are not in the usual form."""
        names: list[str] = []
        self._decode = decode
        self._heads: list[Head | None] = []
        self._others: dict[int, bytes | Entry] = {}
        """Serialized entries that are not in the usual form, and those made by :meth:`replace`, by row."""
        numbers = [np.empty((_NUMBERS, 0), np.int64)]
        known: dict[bytes, Head] = {}
        for rows in blocks:
            heads, block_numbers = decode_rows(rows, known)
            others = [row for row, head in enumerate(heads) if head is None]
            if others:
                first = len(names)
                begins, ends = rows.begins.tolist(), rows.ends.tolist()
                self._others.update((first + row, rows.data[begins[row] : ends[row]]) for row in others)
            names += _names_of(rows.keys)
            self._heads += heads
            numbers.append(block_numbers)
        # Python's garbage collector looks through a list of strings each time, but through a tuple only once:
        # it finds that strings are no part of a cycle. A list of 1,000,000 names took it 0.1 s while a caller
        # made a dictionary of them.
        self.names: tuple[str, ...] = tuple(names)
        """The names of the tensors."""
        self._numbers = np.concatenate(numbers, axis=1)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries; CorruptError if one is damaged."""
        return self._in_order() if self._others else self._plain(0, len(self))

    def _in_order(self) -> Iterator[Entry]:
        start = 0
        for other in sorted(self._others):
            if start < other:
                yield from self._plain(start, other)
            yield self.entry(other)
            start = other + 1
        yield from self._plain(start, len(self))

    def _plain(self, start: int, stop: int) -> Iterator[Entry]:
        """Iterate over the entries of rows in the usual form."""
        starts = range(start, stop, AT_ONCE)
        return chain.from_iterable(map(self._some_plain, starts, (*starts[1:], stop)))

    def _some_plain(self, start: int, stop: int) -> Iterable[Entry]:
        """Return the entries of a few rows in the usual form."""
        heads = [head for head in self._heads[start:stop] if head is not None]
        # zip and map run in C, so that an entry costs one tuple and no line of Python.
        fields = zip(
            self.names[start:stop],
            [dtype for dtype, _ in heads],
            [shape for _, shape in heads],
            *self._numbers[:, start:stop].tolist(),
            repeat(()),
        )
        return map(new_entry, fields)

    def entry(self, row: int) -> Entry:
        """Return the entry of one row; CorruptError if it is damaged."""
        head = self._heads[row]
        if head is None:
            other = self._others[row]
            return other if isinstance(other, Entry) else self._decode(self.names[row], other)
        return new_entry((self.names[row], *head, *self._numbers[:, row].tolist(), ()))

    def sliced(self) -> Iterator[Entry]:
        """Iterate over the entries of tensors in slices, except damaged ones."""
        for row, value in self._others.items():
            # A cheap test first: the tag occurs, written in one byte or as the first of several.
            if isinstance(value, Entry) or SLICE in value or SLICE | 0x80 in value:
                with suppress(CorruptError):  # reading the tensor reports it
                    entry = self.entry(row)
                    if entry.slices:
                        yield entry

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return the columns by name; see :meth:`Entries.to_columns`."""
        others = {row: self.entry(row) for row in sorted(self._others)}
        heads = [
            (others[row].dtype, others[row].shape) if head is None else head
            for row, head in enumerate(self._heads)
        ]
        numbers = self._numbers.copy()
        # The last four columns of columns_of() are the numbers, in this order.
        numbers[:, list(others)] = list(columns_of(list(others.values())).values())[3:]
        return _named(self.names, [dtype.name for dtype, _ in heads], [shape for _, shape in heads], numbers)

    def cut(self, start: int, stop: int) -> None:
        """Keep only the rows from ``start`` to ``stop``."""
        self._others = {row - start: other for row, other in self._others.items() if start <= row < stop}
        self.names = self.names[start:stop]
        self._heads = self._heads[start:stop]
        self._numbers = self._numbers[:, start:stop]

    def drop(self, rows: Container[int]) -> None:
        """Remove rows; later ones move up."""
        self._arrange([row for row in range(len(self)) if row not in rows])

    def replace(self, rows: Container[int], entries: Sequence[Entry]) -> None:
        """Remove rows, and add entries in the order of their names."""
        kept = [row for row in range(len(self)) if row not in rows]
        for entry in entries:
            kept.append(len(self._heads))
            self._others[len(self._heads)] = entry
            self._heads.append(None)
        self.names += tuple(entry.name for entry in entries)
        added = np.zeros((_NUMBERS, len(entries)), np.int64)
        self._numbers = np.concatenate([self._numbers, added], axis=1)
        kept.sort(key=lambda row: key_of(self.names[row]))  # nearly in order, which takes one pass
        self._arrange(kept)

    def _arrange(self, kept: Sequence[int]) -> None:
        """Keep only some rows, in a new order."""
        self._others = {new: self._others[row] for new, row in enumerate(kept) if row in self._others}
        self.names = tuple([self.names[row] for row in kept])
        self._heads = [self._heads[row] for row in kept]
        self._numbers = self._numbers[:, kept]


def _names_of(keys: list[bytes]) -> list[str]:
    """Return the names of keys; see :func:`~ckptfmt.checkpoint.entry.name_of`."""
    # Decoding all at once takes half the time. A zero byte is no part of a longer character or of an escape,
    # so that cutting there gives the same names, unless one has a zero byte itself.
    names = name_of(b"\0".join(keys)).split("\0")
    return names if len(names) == len(keys) else [name_of(key) for key in keys]


def decode_rows(rows: Rows, known: dict[bytes, Head]) -> tuple[list[Head | None], np.ndarray]:
    """Return dtype and shape of each entry of a block, and the numbers of all, a row for each column.

    An entry in the usual form is a tag and a byte for the dtype, a tag and a length for the shape, then up to
    three numbers in order, and the checksum at the very end. For each number in turn, the entries that have
    its tag next are decoded together. The entries in other forms get None.

    Few tensors have a dtype and shape of their own, so these are decoded once for each different pair
    (``known``), by its bytes.
    """
    # No position is compared with the end of the window. An entry in another form is read for up to 264 bytes
    # (the length of its shape is taken to be one byte), one in the usual form for fewer. After the last entry
    # come the restart points, 8 bytes or more, and PADDING zeros.
    window, begins, ends = rows.window, rows.begins, rows.ends
    if len(begins) <= FEW:
        return [None] * len(begins), np.zeros((_NUMBERS, len(begins)), np.int64)
    lengths = window[begins + 3]
    # ``plain`` are the entries in the usual form so far. The shortest, a scalar at offset 0, has 9 bytes.
    plain = (ends - begins > 8) & (window[begins] == DTYPE) & (window[begins + 1] < 0x80)
    plain &= (window[begins + 2] == SHAPE) & (lengths < 0x80)
    # ``at`` is the position reached in each entry.
    shape_ends = at = begins + 4 + lengths
    numbers = np.zeros((_NUMBERS, len(begins)), np.int64)
    for column, tag in ((1, SHARD), (2, OFFSET), (0, SIZE)):
        has = np.flatnonzero(plain & (at < ends) & (window[at] == tag))
        decoded = decode_varints_at(window, at[has] + 1)
        if decoded is None:
            return [None] * len(begins), numbers
        at = at.copy()  # shape_ends stays as it is
        numbers[column, has], at[has] = decoded
    # Any deviation moves the position, so the checksum ends exactly where the entry does only in the usual
    # form. A number of 10 bytes, which is negative, has been left to the general decoder above.
    plain &= (at + 5 == ends) & (window[at] == CRC)
    stored = sum(window[at + 1 + i].astype(np.int64) << 8 * i for i in range(4))
    numbers[3] = unmask(stored)
    # Neighbours mostly share their head, so that only the first of each stretch is looked at. Bytes after the
    # head of an entry do not count; those before tell its length.
    differs = plain[1:] != plain[:-1]
    for i in range(int((shape_ends - begins).max())):
        column = window[begins + i]
        differs |= (column[1:] != column[:-1]) & (shape_ends[1:] - begins[1:] > i)
    firsts = np.append(0, np.flatnonzero(differs) + 1)
    counts = np.diff(firsts, append=len(begins))
    heads: list[Head | None] = []
    stretches = (plain[firsts], begins[firsts], shape_ends[firsts], counts)
    for is_plain, begin, end, count in zip(*(column.tolist() for column in stretches), strict=True):
        stored_head = rows.data[begin:end]
        head = known.get(stored_head) if is_plain else None
        if head is None and is_plain:
            with suppress(CorruptError):
                head = known[stored_head] = decode_head(stored_head)
        heads += [head] * count
    return heads, numbers
