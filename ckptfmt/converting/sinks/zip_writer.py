"""Zip archives, written in one go: members one after another, then the directory.

::

    local header | name | padding | bytes | CRC-32 and sizes    for each member
    central header | name                                       for each member: the directory
    end of the directory

Nothing is sought, so the target may be a stream: what is known only after the bytes follows them. Bytes of
stored members are aligned by a field of padding, so readers may map them. Times are those of no clock, so the
same tensors give the same archive. Structures of zip64 are used where a number needs them.

Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3; the padding is the field that Android's zipalign adds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.storage.output import Data, NewFile

ALIGNMENT = 64
"""The bytes of each stored member begin at a multiple of this, as NumPy and PyTorch align arrays."""

MAX_NAME = 0xFFFF
"""Bytes of the longest name of a member."""

_LOCAL = struct.Struct("<4s5HIIIHH")
_CENTRAL = struct.Struct("<4s6HIIIHHHHHII")
_FLAGS = 0x0808
"""Sizes follow the bytes, and names are UTF-8."""
_DATE = 0x21
"""1980-01-01, the first that the format has."""
_PADDING = 0xD935
_MIN_PADDING = 6
"""Bytes of a field of padding without any: its kind, its size, and the alignment."""
_VERSION, _VERSION_64 = 20, 45
_LIMIT_16, _LIMIT_32 = 0xFFFF, 0xFFFFFFFF

_STORED, _DEFLATED = 0, 8


class _Written(NamedTuple):
    """A member that has been written, as the directory describes it."""

    name: bytes
    method: int
    crc: int
    stored: int
    size: int
    header: int
    """Offset of its local header."""


class ZipWriter:
    """An archive being written to an output, which the caller commits.

    Members are to be added in the same order each time. Those that an earlier conversion wrote are not
    written again, and their pieces are not asked for.
    """

    def __init__(self, writing: Writing, output: NewFile) -> None:
        self._writing = writing
        self._output = output
        self._noted = writing.noted(output)
        self._position: int = self._noted[-1][-1] if self._noted else 0
        self._members: list[_Written] = []

    def add(self, name: str, pieces: Iterable[Data], size: int, *, deflate: bool = False) -> None:
        """Write a member of ``size`` bytes, which come in pieces."""
        raw_name = name.encode()
        if len(self._members) < len(self._noted):
            self._members.append(_Written(raw_name, *self._noted[len(self._members)][:-1]))
            return
        header, method = self._position, _DEFLATED if deflate else _STORED
        # Deflated bytes that cannot be compressed take more than they were.
        is_large = size + (size >> 10) + 64 >= _LIMIT_32
        extra = struct.pack("<HHQQ", 1, 16, 0, 0) if is_large else b""
        if not deflate:
            extra += _padding(header + _LOCAL.size + len(raw_name) + len(extra))
        sizes = _LIMIT_32 if is_large else 0
        version = _VERSION_64 if is_large else _VERSION
        fields = version, _FLAGS, method, 0, _DATE, 0, sizes, sizes, len(raw_name), len(extra)
        self._write(_LOCAL.pack(b"PK\x03\x04", *fields) + raw_name + extra)
        begin, crc, count = self._position, 0, 0
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS) if deflate else None
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            count += memoryview(piece).nbytes
            self._write(piece if deflater is None else deflater.compress(piece))
        if deflater is not None:
            self._write(deflater.flush())
        assert count == size, f"{name}: got {count} bytes, want {size}"
        stored = self._position - begin
        self._write(struct.pack("<4sIQQ" if is_large else "<4sIII", b"PK\x07\x08", crc, stored, size))
        self._members.append(_Written(raw_name, method, crc, stored, size, header))
        self._writing.note(self._output, [method, crc, stored, size, header, self._position])

    def finish(self) -> None:
        """Write the directory."""
        start = self._position
        for member in self._members:
            self._write(_central_header(member))
        size, count = self._position - start, len(self._members)
        if count >= _LIMIT_16 or size >= _LIMIT_32 or start >= _LIMIT_32:
            end = self._position
            fields = 44, _VERSION_64, _VERSION_64, 0, 0, count, count, size, start
            self._write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", *fields))
            self._write(struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1))
        short = min(count, _LIMIT_16)
        fields_32 = 0, 0, short, short, min(size, _LIMIT_32), min(start, _LIMIT_32), 0
        self._write(struct.pack("<4sHHHHIIH", b"PK\x05\x06", *fields_32))

    def _write(self, data: Data) -> None:
        self._output.write(data)
        self._position += memoryview(data).nbytes


def _padding(end: int) -> bytes:
    """Return the field after which bytes are aligned, if it begins at ``end``; nothing if they are."""
    missing = -end % ALIGNMENT
    if not missing:
        return b""
    if missing < _MIN_PADDING:
        missing += ALIGNMENT
    return struct.pack("<HHH", _PADDING, missing - 4, ALIGNMENT) + bytes(missing - _MIN_PADDING)


def _central_header(member: _Written) -> bytes:
    large = [each for each in (member.size, member.stored, member.header) if each >= _LIMIT_32]
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    version = _VERSION_64 if large else _VERSION
    stored, size, header = (min(each, _LIMIT_32) for each in (member.stored, member.size, member.header))
    made = version, version, _FLAGS, member.method, 0, _DATE, member.crc, stored, size
    return (
        _CENTRAL.pack(b"PK\x01\x02", *made, len(member.name), len(extra), 0, 0, 0, 0, header)
        + member.name
        + extra
    )
