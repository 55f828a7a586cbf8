"""Sorted tables: whether a file is one, and which format of checkpoint it holds."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.table import Table
from ckptfmt.table.format import FOOTER_SIZE, MAGIC_BYTES
from ckptfmt.wire.coding import decode_varint
from ckptfmt.wire.fields import LENGTH_DELIMITED

Format: TypeAlias = Literal["v2", "v1"]

TableContent: TypeAlias = Literal["v2", "v1", "other", "damaged"]
"""The format of a checkpoint, or why a table is not a checkpoint."""

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
    header = table.header
    if header is None:
        return None
    # A BundleHeaderProto whose fields all have their defaults takes no bytes.
    tag = decode_varint(header, 0)[0] if len(header) else 0
    return "v1" if tag == _V1_META_TAG else "v2"


def table_content(file: RandomAccessFile) -> TableContent:
    """Return what a file that ends as a sorted table does holds."""
    try:
        return checkpoint_format(Table(file)) or "other"
    except CkptfmtError:
        return "damaged"
