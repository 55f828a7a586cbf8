"""Archives: the names of the files in them, as far as they are needed to tell what an archive holds.

Only directories and headers are read, and only the first :data:`MAX_MEMBERS` of them. Nothing is extracted.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.text.quoting import listed

MAX_MEMBERS = 1000
"""The most names that are read from one archive."""

_DIRECTORY_SIZE = 256 << 10
"""The most bytes of the directory of a zip archive that are read."""

_UNPACKED = 1 << 20
"""The most bytes that a compressed file is decompressed to."""

_BLOCK = 512
"""Bytes of a header in a tar archive; contents are padded to a multiple of them."""

_MODEL_FILE = re.compile(
    r"\.(index|meta|pb|pbtxt|h5|keras|ckpt|tflite|onnx|safetensors|npy)\Z|\.data-\d+-of-\d+\Z|(\A|/)checkpoint\Z"
    r"|tfevents|tfrecord"
)
"""Files in an archive that are worth naming."""


def zip_members(file: RandomAccessFile) -> Sequence[str]:
    """Return the names of the first files in a zip archive; only the first name if it is cut short."""
    # APPNOTE.TXT 4.3.16: the end of the directory is 22 bytes, followed by a comment of up to 65,535 bytes.
    tail_size = min(file.size, 22 + 0xFFFF)
    tail = bytes(file.read(file.size - tail_size, tail_size))
    end = tail.rfind(b"PK\x05\x06")
    if end >= 0 and end + 22 <= len(tail):
        start = int.from_bytes(tail[end + 16 : end + 20], "little")
        if start < file.size:
            members = list(_central_names(bytes(file.read(start, min(_DIRECTORY_SIZE, file.size - start)))))
            if members:
                return members
    # The local header of the first file (4.3.7): 30 bytes, with the length of the name at 26.
    head = bytes(file.read(0, min(file.size, 30 + 0xFFFF)))
    return [_text(head[30 : 30 + int.from_bytes(head[26:28], "little")])]


def _central_names(directory: bytes) -> Iterator[str]:
    """Iterate over the names in the directory of a zip archive (APPNOTE.TXT 4.3.12)."""
    pos = 0
    for _ in range(MAX_MEMBERS):
        if directory[pos : pos + 4] != b"PK\x01\x02" or pos + 46 > len(directory):
            return
        name, extra, comment = (
            int.from_bytes(directory[pos + i : pos + i + 2], "little") for i in (28, 30, 32)
        )
        yield _text(directory[pos + 46 : pos + 46 + name])
        pos += 46 + name + extra + comment


def tar_members(read: Callable[[int, int], bytes]) -> Iterator[str]:
    """Iterate over the names of the first files in a tar archive, given a function that returns its bytes."""
    pos = 0
    for _ in range(MAX_MEMBERS):
        header = read(pos, _BLOCK)
        if len(header) < _BLOCK or header[257:262] != b"ustar":
            return
        name = header[:100].split(b"\0")[0]
        prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        # Regular files only: types 0 and NUL. Others are directories, links, or extended headers.
        if header[156:157] in (b"0", b"\0"):
            yield _text(prefix + b"/" + name if prefix else name)
        try:
            size = int(header[124:136].split(b"\0")[0].strip() or b"0", 8)
        except ValueError:
            return
        pos += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def decompressed(data: bytes) -> bytes:
    """Decompress the beginning of data; return nothing if they cannot be decompressed."""
    try:
        if data.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(data, _UNPACKED)
        if data.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(data, _UNPACKED)
        if data.startswith(b"\xfd7zXZ\0"):
            return lzma.LZMADecompressor(memlimit=64 << 20).decompress(data, _UNPACKED)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        pass
    return b""


def members_of(file: RandomAccessFile) -> list[str]:
    """Return the names of the first files in a zip archive, or in a tar archive that may be compressed."""
    head = bytes(file.read(0, min(file.size, _UNPACKED)))
    if head.startswith(b"PK\x03\x04"):
        return [name for name in zip_members(file) if not name.endswith("/")]
    if head[257:262] == b"ustar":
        return list(tar_members(lambda pos, size: bytes(file.read(pos, max(0, min(size, file.size - pos))))))
    unpacked = decompressed(head)
    return list(tar_members(lambda pos, size: unpacked[pos : pos + size]))


def worth_naming(members: Iterable[str]) -> str:
    """Return a clause that lists the files of an archive, those of models first; empty without files."""
    names = [name for name in members if name]
    ordered = sorted(names, key=lambda name: _MODEL_FILE.search(name) is None)
    return f"it contains {listed(ordered, 5, quote=str)}" if ordered else ""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
