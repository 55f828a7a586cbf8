"""Tables, written byte for byte as TensorFlow writes them; ``table`` reads them.

Items stream through: memory holds the current data block, the items of a batch and the index block. Entries
are encoded a batch at a time, by columns, which takes a fifth of the time of a loop. Source: TensorFlow
``tsl/lib/io/table_builder.cc`` and ``block_builder.cc``, which are LevelDB's.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from ckptfmt.storage.output import Output
from ckptfmt.table.compression import COMPRESSIONS, Compression, compress
from ckptfmt.table.format import BlockHandle, Footer, encode_footer, encode_handle
from ckptfmt.wire.coding import Buffer, encode_varint
from ckptfmt.wire.crc32c import crc32c, mask

BLOCK_SIZE = 262144
"""Bytes at which TensorFlow ends a data block, in the index of a bundle and in V1 checkpoints."""

RESTART_INTERVAL = 16
"""Entries from one restart point of a data block to the next."""

SIZE_LIMIT = 1 << 32
"""TensorFlow reads the lengths in an entry and the offsets of restart points as uint32."""

BATCH = 1 << 14
"""Entries that are encoded at once: enough that NumPy's calls cost little, and only megabytes."""

_BATCH_BYTES = 1 << 18
"""Bytes of keys and values that end a batch before it has as many entries."""

_COMPARED_AT_ONCE = 256
"""Bytes of the keys of a batch that are compared at once; a loop compares what follows them."""


def write_sorted_table(
    output: Output,
    items: Iterable[tuple[bytes, Buffer]],
    *,
    block_size: int = BLOCK_SIZE,
    compression: Compression | None = None,
) -> None:
    """Write a table of keys and values; the keys must ascend. The caller commits the output.

    Parameters
    ----------
    output
        The file. Nothing has been written to it yet.
    items
        Keys and values. A value is copied before the next item is requested.
    block_size
        Bytes at which a data block ends, before compression.
    compression
        None, as TensorFlow writes checkpoints, or ``"snappy"``.

    Raises
    ------
    ValueError
        A key is not greater than the one before it, a key or a value is too long, or an option is invalid.
    NotWritableError
        The output cannot be written.
    """
    write_sorted_batches(output, _batches(items), block_size=block_size, compression=compression)


def write_sorted_batches(
    output: Output,
    batches: Iterable[tuple[Sequence[bytes], Sequence[bytes]]],
    *,
    block_size: int = BLOCK_SIZE,
    compression: Compression | None = None,
) -> None:
    """Write a table as :func:`write_sorted_table` does, of many keys and their values at a time."""
    check_options(block_size, compression)
    table = _TableBuilder(output, compression, block_size)
    for keys, values in batches:
        table.add(keys, values)
    table.finish()


def check_options(block_size: int, compression: Compression | None) -> None:
    """Raise ValueError unless a table can be written with these options."""
    # A restart point lies below the block size, so its offset fits too.
    if not 0 < block_size < SIZE_LIMIT:
        raise ValueError(f"block_size: got {block_size}, want 1 to {SIZE_LIMIT - 1}")
    if compression is not None and compression not in COMPRESSIONS:
        raise ValueError(f"compression: got {compression!r}, want None or 'snappy'")


def _batches(items: Iterable[tuple[bytes, Buffer]]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Iterate over items in batches of limited size."""
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for key, value in items:
        if len(value) >= SIZE_LIMIT:
            _check_size([key], np.array([len(key)]), np.array([len(value)]))  # before it is copied
        keys.append(key)
        values.append(bytes(value))
        size += len(key) + len(value)
        if size >= _BATCH_BYTES or len(keys) == BATCH:
            yield keys, values
            keys, values, size = [], [], 0
    yield keys, values


class _TableBuilder:
    """A table being written: its blocks so far are in the file, except for the last and the index.

    Entries are added to a block until it is full, and the next one begins another block.
    """

    def __init__(self, output: Output, compression: Compression | None, block_size: int) -> None:
        self._output, self._compression, self._block_size = output, compression, block_size
        self._end = 0
        self._index: list[tuple[bytes, BlockHandle]] = []
        self._last: bytes | None = None
        self._begin_block()

    def _begin_block(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._count = 0
        self._restarts = [0]

    def add(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Add entries, whose keys ascend and follow the last one."""
        if not keys:
            return
        previous = [keys[0][:0] if self._last is None else self._last, *keys[:-1]]
        key_sizes = np.fromiter(map(len, keys), np.int64, len(keys))
        value_sizes = np.fromiter(map(len, values), np.int64, len(values))
        self._check_order(previous, keys)
        _check_size(keys, key_sizes, value_sizes)
        limits = np.minimum(np.append(len(previous[0]), key_sizes[:-1]), key_sizes)
        shared = _shared_by_all(previous, keys, limits)
        is_large = key_sizes + value_sizes >= 2 * self._block_size
        # An entry takes three bytes or more, so that these are enough to fill a block.
        most = self._block_size // 3 + 1
        start = 0
        while start < len(keys):
            rows = slice(start, start + most)
            restarts = (self._count + np.arange(len(keys[rows]))) % RESTART_INTERVAL == 0
            columns = np.stack(
                (np.where(restarts, 0, shared[rows]), key_sizes[rows], value_sizes[rows]), axis=1
            )
            columns[:, 1] -= columns[:, 0]
            # Where each entry would begin in the block, and the size of the block if it ended there.
            begins = self._size + np.append(0, np.cumsum(_sizes_of_rows(columns)))
            numbers = self._count + np.arange(len(begins))
            sizes = begins + 4 * np.maximum(1, -(-numbers // RESTART_INTERVAL)) + 4
            # A full block waits for the next key, on which its separator depends. A large item begins one.
            ends = (numbers[:-1] > 0) & ((sizes[:-1] >= self._block_size) | is_large[rows])
            count = int(ends.argmax()) if ends.any() else len(ends)
            stop = start + count
            if count:
                self._parts.append(_encode_rows(keys[start:stop], values[start:stop], columns[:count]))
                # The first restart point of a block is there from the beginning.
                places = begins[:count][restarts[:count]].tolist()
                self._restarts += places if self._count else places[1:]
                self._count, self._size, self._last = self._count + count, int(begins[count]), keys[stop - 1]
            if stop < len(keys) and count < len(ends):
                self._end_block(_separator(keys[stop - 1] if stop else previous[0], keys[stop]))
            start = stop

    def _check_order(self, previous: Sequence[bytes], keys: Sequence[bytes]) -> None:
        """Raise ValueError unless the keys ascend."""
        first = 1 if self._last is None else 0  # the first key follows none
        if not all(map(operator.lt, previous[first:], keys[first:])):
            pairs = zip(previous[first:], keys[first:], strict=True)
            last, key = next((last, key) for last, key in pairs if key <= last)
            raise ValueError(f"keys must ascend: got {key!r} after {last!r}")

    def _end_block(self, separator: bytes) -> None:
        self._index.append((separator, self._write_block(self._parts, self._restarts)))
        self._begin_block()

    def finish(self) -> None:
        """Write what comes after the data: the last block, the index and the footer."""
        if self._last is not None:
            self._end_block(_successor(self._last))
        metaindex = self._write_block([], [0])  # TensorFlow keeps nothing in it
        # Every entry of the index is a restart point, and so shares nothing.
        entries: list[bytes] = []
        restarts: list[int] = []
        size = 0
        for key, handle in self._index:
            value = encode_handle(handle)
            restarts.append(size)
            entries.append(b"\0" + encode_varint(len(key)) + encode_varint(len(value)) + key + value)
            size += len(entries[-1])
        index = self._write_block(entries, restarts or [0])
        self._output.write(encode_footer(Footer(metaindex, index)))

    def _write_block(self, parts: Iterable[bytes], restarts: Sequence[int]) -> BlockHandle:
        """Write a block and its trailer; return where it is."""
        contents = bytearray().join((*parts, struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))))
        stored, block_type = compress(contents, self._compression)
        kind = bytes([block_type])
        trailer = kind + mask(crc32c(kind, crc32c(stored))).to_bytes(4, "little")
        self._output.write_all((stored, trailer))
        handle = BlockHandle(self._end, len(stored))
        self._end += len(stored) + len(trailer)
        return handle


def _check_size(keys: Sequence[bytes], key_sizes: np.ndarray, value_sizes: np.ndarray) -> None:
    """Raise ValueError if a key or a value is too long."""
    sizes = np.maximum(key_sizes, value_sizes)
    if sizes.max() >= SIZE_LIMIT:
        row = int(sizes.argmax())
        both = f"{key_sizes[row]} and {value_sizes[row]} bytes"
        raise ValueError(f"key {keys[row][:40]!r}: got {both}, want less than 4 GiB")


def _encode_rows(keys: Sequence[bytes], values: Sequence[bytes], columns: np.ndarray) -> bytes:
    """Return entries of a block.

    ``columns`` are the numbers before each: shared and other bytes of its key, and bytes of its value.
    """
    # Nearly all of these numbers take a byte, so that they make up the three bytes before a key.
    starts: list[bytes] = columns.astype(np.uint8).view("V3").ravel().tolist()
    for row in np.flatnonzero((columns >= 0x80).any(axis=1)).tolist():
        starts[row] = b"".join(map(encode_varint, columns[row].tolist()))
    rests = [key[shared:] for key, shared in zip(keys, columns[:, 0].tolist(), strict=True)]
    return b"".join(chain.from_iterable(zip(starts, rests, values, strict=True)))


def _sizes_of_rows(columns: np.ndarray) -> np.ndarray:
    """Return the bytes of each entry of a block; ``columns`` as in :func:`_encode_rows`."""
    sizes: np.ndarray = columns[:, 1] + columns[:, 2] + columns.shape[1]
    for bits in range(7, 35, 7):  # up to five bytes
        longer = columns >= 1 << bits
        if not longer.any():
            break
        sizes += longer.sum(axis=1)
    return sizes


def _shared_by_all(firsts: Sequence[bytes], seconds: Sequence[bytes], limits: np.ndarray) -> np.ndarray:
    """Return how many bytes each pair of keys shares from the beginning, up to the shorter length of each."""
    # As rows of a matrix, padded with zeros or cut off; where no byte differs, the length decides.
    width = max(1, min(int(limits.max()), _COMPARED_AT_ONCE))
    shape = len(firsts), width
    rows = (np.array(keys, f"S{width}").view(np.uint8).reshape(shape) for keys in (firsts, seconds))
    differs = np.not_equal(*rows)
    places = differs.argmax(axis=1)
    places[~differs[np.arange(len(places)), places]] = width
    shared: np.ndarray = np.minimum(places, limits)
    for row in np.flatnonzero((places == width) & (limits > width)).tolist():
        shared[row] = _shared(firsts[row], seconds[row])
    return shared


def _separator(last: bytes, following: bytes) -> bytes:
    """Return a short key that is at least the last of a block, and less than the first of the next."""
    # Like LevelDB, try the first byte that differs and no later one.
    at = _shared(last, following)
    return last[:at] + bytes([last[at] + 1]) if at < len(last) and last[at] + 1 < following[at] else last


def _successor(last: bytes) -> bytes:
    """Return a short key that is at least the last of the table."""
    at = len(last) - len(last.lstrip(b"\xff"))
    return last[:at] + bytes([last[at] + 1]) if at < len(last) else last


def _shared(first: bytes, second: bytes) -> int:
    """Return how many bytes two keys share from the beginning."""
    # As big-endian numbers, they differ first at the highest bit of their exclusive or.
    length = min(len(first), len(second))
    difference = int.from_bytes(first[:length], "big") ^ int.from_bytes(second[:length], "big")
    return length - (difference.bit_length() + 7) // 8
