"""Blocks: reading those of a table that are intact, and reporting the others."""

from __future__ import annotations

from collections.abc import Iterator

from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.integrity.report import Report
from ckptfmt.table import Table
from ckptfmt.table.block import KEY_MEMORY
from ckptfmt.wire.coding import Buffer


def read_intact_blocks(table: Table, report: Report) -> Iterator[tuple[bytes, Buffer]]:
    """Iterate over the entries of all intact blocks, noting the others in the report."""
    # The metaindex, a block that nothing else reads, is part of the file too.
    try:
        table.block(table.footer.metaindex)
    except (CorruptError, LimitError) as error:
        report.add("block", error)
    try:
        handles = table.handles
    except (CorruptError, LimitError) as error:
        report.add("block", error)
        return
    # Keys must be in order across blocks too, or look-ups would miss some.
    last: bytes | None = None
    room = table.room
    for position, handle in enumerate(handles):
        try:
            for key, value in table.items_of(position, last, room):
                yield key, value
                last = key
                room -= KEY_MEMORY + len(key)
            report.bytes_checked += handle.size
        except CorruptError as error:
            report.add("block", error.at(table.file.name, handle.offset))
        except LimitError as error:
            report.add("block", table.exceeded(error, room).at(table.file.name, handle.offset))
            return
        # Read once: a table larger than memory must not fill it.
        table.file.release(handle.offset, handle.size)
