"""Sorted tables: whether a file is one, and which format of checkpoint it holds."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ckptfmt.errors import CkptfmtError
from ckptfmt.filetype.kinds import BROKEN_TABLE, INDEX, TABLE, V1, Kind
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE, MAGIC_BYTES
from ckptfmt.wire.coding import decode_varint
from ckptfmt.wire.fields import LENGTH_DELIMITED

Format: TypeAlias = Literal["v2", "v1"]

_V1_META_TAG = 1 << 3 | LENGTH_DELIMITED
"""Tag of ``SavedTensorSlices.meta``, a message."""


def has_table_magic(file: RandomAccessFile) -> bool:
    """Return whether a file ends as a sorted table does: the index of a checkpoint, or a V1 checkpoint."""
    size = len(MAGIC_BYTES)
    return file.size >= FOOTER_SIZE and file.read(file.size - size, size) == MAGIC_BYTES


def checkpoint_format(table: Table) -> Format | None:
    """Return whether a table is a V2 index or a V1 checkpoint; None if it has no empty key.

    Both keep their header under the empty key: V2 a BundleHeaderProto, whose first field is a number, V1 a
    SavedTensorSlices, whose first field is a message.

    Raises CorruptError if the table is damaged.
    """
    header = table.get(b"")
    if header is None:
        return None
    # A BundleHeaderProto whose fields all have their defaults takes no bytes.
    tag = decode_varint(header, 0)[0] if len(header) else 0
    return "v1" if tag == _V1_META_TAG else "v2"


def recognise_table(file: RandomAccessFile) -> Kind:
    """Return the kind of a file that ends as a sorted table does."""
    try:
        table_format = checkpoint_format(Table(file))
    except CkptfmtError:
        return BROKEN_TABLE
    return TABLE if table_format is None else V1 if table_format == "v1" else INDEX
