"""Tables, written byte for byte as TensorFlow writes them; ``table`` reads them.

Items stream through: memory holds the current data block and the index block. Source: TensorFlow
``tsl/lib/io/table_builder.cc`` and ``block_builder.cc``, which are LevelDB's.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    # A restart point lies below the block size, so its offset fits too.
    if not 0 < block_size < SIZE_LIMIT:
        raise ValueError(f"block_size: got {block_size}, want 1 to {SIZE_LIMIT - 1}")
    if compression is not None and compression not in COMPRESSIONS:
        raise ValueError(f"compression: got {compression!r}, want None or 'snappy'")
    file = _Blocks(output, compression)
    block, index = _BlockBuilder(RESTART_INTERVAL), _BlockBuilder(1)
    last: bytes | None = None
    for key, value in items:
        if last is not None:
            if key <= last:
                raise ValueError(f"keys must ascend: got {key!r} after {last!r}")
            # A full block waits for the next key, on which its separator depends. A large item begins one.
            if block.size >= block_size or len(key) + len(value) >= 2 * block_size:
                index.add(_separator(last, key), encode_handle(file.append(block)))
                block = _BlockBuilder(RESTART_INTERVAL)
        block.add(key, value)
        last = key
    if last is not None:
        index.add(_successor(last), encode_handle(file.append(block)))
    metaindex = file.append(_BlockBuilder(RESTART_INTERVAL))  # TensorFlow keeps nothing in it
    output.write(encode_footer(Footer(metaindex, file.append(index))))


class _Blocks:
    """The blocks of a file, one after another."""

    def __init__(self, output: Output, compression: Compression | None) -> None:
        self._output = output
        self._compression = compression
        self._end = 0

    def append(self, block: _BlockBuilder) -> BlockHandle:
        """Write a block and its trailer; return where it is."""
        stored, block_type = compress(block.finish(), self._compression)
        kind = bytes([block_type])
        trailer = kind + mask(crc32c(kind, crc32c(stored))).to_bytes(4, "little")
        self._output.write_all((stored, trailer))
        handle = BlockHandle(self._end, len(stored))
        self._end += len(stored) + len(trailer)
        return handle


class _BlockBuilder:
    """The entries of one block; ``block`` shows the layout."""

    def __init__(self, restart_interval: int) -> None:
        self._restart_interval = restart_interval
        self._data = bytearray()
        self._restarts = [0]
        self._run = 0  # entries since the last restart point
        self._last = b""

    @property
    def size(self) -> int:
        """Bytes of the block if it ended here."""
        return len(self._data) + 4 * len(self._restarts) + 4

    def add(self, key: bytes, value: Buffer) -> None:
        """Add an entry."""
        if len(key) >= SIZE_LIMIT or len(value) >= SIZE_LIMIT:
            raise ValueError(f"key {key[:40]!r}: got {len(key)} and {len(value)} bytes, want less than 4 GiB")
        if self._run == self._restart_interval:
            self._restarts.append(len(self._data))
            self._run, self._last = 0, b""
        shared = _shared(self._last, key)
        self._data += encode_varint(shared) + encode_varint(len(key) - shared) + encode_varint(len(value))
        self._data += key[shared:]
        self._data += value
        self._run, self._last = self._run + 1, key

    def finish(self) -> bytearray:
        """Return the contents of the block, to which nothing is added any more."""
        for number in (*self._restarts, len(self._restarts)):
            self._data += number.to_bytes(4, "little")
        return self._data


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
