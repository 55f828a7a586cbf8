"""Sorted tables: entries, blocks and handles change, and every checksum is computed anew."""

from __future__ import annotations

from random import Random

from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.table.format import FOOTER_SIZE
from ckptfmt.table.table import Table
from tests.fuzz.mutate.plain import Mutator, of_bytes
from tests.support.table_writer import (
    BLOCK_SIZE,
    RawBlock,
    append_block,
    compressed,
    encode_block,
    encode_blocks,
    encode_footer,
    encode_table,
)

Items = list[tuple[bytes, bytes]]


def decode_items(data: bytes) -> Items | None:
    """Return the keys and values of a table, or None if it is not one."""
    try:
        return [(key, bytes(value)) for key, value in Table(MemoryFile(data)).items()]
    except CkptfmtError:
        return None


def mutator(value: Mutator) -> Mutator:
    """Return a mutator of tables, in which ``value`` changes a value."""

    def mutate(data: bytes, rng: Random) -> bytes:
        items = decode_items(data)
        action = rng.randrange(16)
        if not items or action == 0:
            return of_bytes(data, rng)
        if action == 1:
            return _with_index(items, rng)
        if action == 2:
            return _with_contents(items, rng)
        i = rng.randrange(len(items))
        key, old = items[i]
        if action == 3:
            items[i] = of_bytes(key, rng), old
        elif action == 4:
            del items[i]
        elif action == 5:
            items.append((key, rng.choice(items)[1]))
        elif action == 6:
            items.append((of_bytes(key, rng), old))
        else:
            items[i] = key, value(old, rng)
        if rng.randrange(8):
            # Most decoders see nothing of a table whose keys are out of order, or equal.
            items = sorted(dict(items).items())
        return _encode(items, rng)

    return mutate


def _encode(items: Items, rng: Random) -> bytes:
    return encode_table(
        items,
        block_size=rng.choice((BLOCK_SIZE, BLOCK_SIZE, 200, 1)),
        compression=rng.choice((None, None, None, "snappy")),
        restart_interval=rng.choice((16, 16, 2, 1)),
    )


def _with_contents(items: Items, rng: Random) -> bytes:
    """Return a table of one block with damaged contents, stored in any way."""
    contents = encode_block(items, rng.choice((16, 2, 1)))
    if rng.randrange(2):
        stored, block_type = compressed(of_bytes(contents, rng), rng.choice((None, "snappy")))
    else:
        stored, block_type = compressed(contents, "snappy")
        stored = of_bytes(stored, rng)
    separator = rng.choice((items[-1][0], b"", b"\xff"))
    return encode_blocks([RawBlock(separator, stored, rng.choice((block_type,) * 9 + (2,)))])


def _with_index(items: Items, rng: Random) -> bytes:
    """Return a table of several blocks whose index block or footer is damaged."""
    file = bytearray()
    size = rng.randrange(1, len(items) + 1)
    groups = [items[i : i + size] for i in range(0, len(items), size)]
    index = [(group[-1][0], append_block(file, encode_block(group))) for group in groups]
    i = rng.randrange(len(index))
    action = rng.randrange(4)
    if action == 0:
        index[i] = index[i][0], of_bytes(index[i][1], rng)
    elif action == 1:
        index[i] = of_bytes(index[i][0], rng), index[i][1]
    elif action == 2:
        index.insert(i, rng.choice(index))
    root = encode_block(index, restart_interval=1)
    metaindex = append_block(file, encode_block([]))
    footer = encode_footer(metaindex, append_block(file, of_bytes(root, rng) if action == 3 else root))
    assert len(footer) == FOOTER_SIZE or action != 3
    return bytes(file) + footer
