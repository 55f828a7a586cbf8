"""Sorted tables: whether a file is one, and which format of checkpoint it holds."""

from __future__ import annotations

import re
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


_VARINT = rb"[\x80-\xff]{0,4}[\0-\x7f]"

_SNAPPY = rb"(?:" + _VARINT + rb"(?:[\0-\xec]|\xf0.|\xf4..))?"
"""What precedes the first bytes of a compressed block: its size, and the tag of a literal."""

_HEADERS: dict[Format, re.Pattern[bytes]] = {
    # BundleHeaderProto: the number of shards, perhaps the byte order, and versions that begin with a number.
    "v2": re.compile(
        _SNAPPY + rb"\0\0[\x02-\x7f]\x08" + _VARINT + rb"(?:\x10\x01)?\x1a[\0-\x7f](?:\x08|\Z)", re.DOTALL
    ),
    # SavedTensorSlices: meta, in it a tensor, and of this the name.
    "v1": re.compile(_SNAPPY + rb"\0\0" + (_VARINT + rb"\x0a") * 3 + _VARINT + rb"[\w./]", re.DOTALL),
}
"""The first bytes of a checkpoint: an entry with an empty key, and a value with its size and first fields."""


def begins_as_checkpoint(head: bytes) -> Format | None:
    """Return the format of a checkpoint, judging by its first bytes; None if they are not those of one."""
    return next((name for name, header in _HEADERS.items() if header.match(head)), None)


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
