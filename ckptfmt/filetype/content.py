"""Content: the kind of a file, going by its bytes and not by its name."""

from __future__ import annotations

import re
from contextlib import closing

from ckptfmt.filetype.kinds import (
    BZIP2,
    EMPTY,
    EVENTS,
    GZIP,
    HDF5,
    KERAS_3,
    LFS_POINTER,
    NPY,
    NPZ,
    PICKLE,
    PYTORCH,
    RECORDS,
    SAFETENSORS,
    SPLIT,
    TAR,
    TFLITE,
    XZ,
    ZIP,
    ZSTANDARD,
    Kind,
)
from ckptfmt.filetype.messages import recognise_message
from ckptfmt.filetype.tables import has_table_magic, recognise_table
from ckptfmt.filetype.texts import HEAD_SIZE
from ckptfmt.riegeli.file import SIGNATURE
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.crc32c import crc32c, mask

_MAGICS: tuple[tuple[re.Pattern[bytes], Kind], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"version https://git-lfs", LFS_POINTER),
        (rb"\x89HDF\r\n\x1a\n", HDF5),
        (rb"\x93NUMPY", NPY),
        (rb"..\0\0TFL3", TFLITE),  # a FlatBuffer: the offset of its root, then its identifier
        (rb"\x1f\x8b", GZIP),
        (rb"BZh", BZIP2),
        (rb"\xfd7zXZ\x00", XZ),
        (rb"\x28\xb5\x2f\xfd", ZSTANDARD),
        (rb".{257}ustar", TAR),  # after the first member's name, mode, owner, size …
        (rb"\x80[\x02-\x05]", PICKLE),  # the opcode PROTO, then the protocol; older ones have no header
        (re.escape(SIGNATURE), SPLIT),
    )
)
"""First bytes of files. Sources: the formats' own descriptions; ``file(1)``."""

_ZIP_MAGIC = b"PK\x03\x04"

_ZIP_MEMBERS: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
    (re.compile(rb"\.npy\Z"), NPZ),
    (re.compile(rb"(\A|/)data\.pkl\Z"), PYTORCH),
    (re.compile(rb"\A(metadata\.json|config\.json|model\.weights\.h5)\Z"), KERAS_3),
    (re.compile(rb""), ZIP),
)
"""Name of the first file in a zip archive -> kind of the archive; the last pattern matches any name."""


def recognise(file: RandomAccessFile) -> Kind | None:
    """Return what a file seems to be, even if it is damaged further on; None if nothing is recognised."""
    # Magic numbers come first, since they are the surest and need only the first bytes; then formats that
    # sizes and checksums tell; messages last, because almost any bytes can be the beginning of one.
    head = bytes(file.read(0, min(file.size, HEAD_SIZE)))
    if not head:
        return EMPTY
    for pattern, kind in _MAGICS:
        if pattern.match(head):
            return kind
    if head.startswith(_ZIP_MAGIC):
        return _recognise_zip(head)
    if _is_safetensors(head, file.size):
        return SAFETENSORS
    if _is_record(head):
        # The first record of an event file holds nothing but its version.
        return EVENTS if b"brain.Event:" in head[:64] else RECORDS
    if has_table_magic(file):
        return recognise_table(file)
    return recognise_message(file.read(0, file.size))


def recognise_file(fs: Filesystem, path: str) -> Kind | None:
    """Return what a file seems to be; see :func:`recognise`."""
    with closing(fs.open(path)) as file:
        return recognise(file)


def _recognise_zip(head: bytes) -> Kind:
    # Local file header: 30 bytes, in which the length of the name is a uint16 at 26; then the name.
    member = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return next(kind for pattern, kind in _ZIP_MEMBERS if pattern.search(member))


def _is_safetensors(head: bytes, file_size: int) -> bool:
    """Whether a file begins with the size of a JSON header, a uint64 that fits the file, and a brace."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= file_size - 8


def _is_record(head: bytes) -> bool:
    """Whether a file begins with a TFRecord: a length, a uint64, and the masked CRC-32C of its 8 bytes."""
    return len(head) >= 12 and int.from_bytes(head[8:12], "little") == mask(crc32c(head[:8]))
