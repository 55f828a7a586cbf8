"""Zip archives: what is in one, and the bytes of each member, without unpacking it.

::

    local header | name | extra | bytes     for each member
    central header | name | extra           for each member: the directory
    end of the directory                    says where the directory is

A stored member is a stretch of the archive, so its bytes are views of the mapped file. A deflated one is
decompressed as far as it is asked for, and from where the last read of it stopped.

Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3. Python's ``zipfile`` does not say where bytes are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.locks import new_lock
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.buffers import new_buffer

_LOCAL = struct.Struct("<4s5HIIIHH")
_CENTRAL = struct.Struct("<4s6HIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQHHIIQQQQ")

_MAX_COMMENT = 0xFFFF
_IN_EXTRA_16, _IN_EXTRA_32 = 0xFFFF, 0xFFFFFFFF
"""Values that say that a number is in a structure of zip64 instead."""

STORED, DEFLATED = 0, 8
"""The methods of compression that are read."""

_METHODS = {1: "shrink", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 99: "AES"}

MAX_RATIO = 1032
"""Bytes that deflate makes of one byte, at most: a match of 258 bytes takes two bits."""

_AT_ONCE = 1 << 20
"""Bytes that are decompressed in one step."""


class Member(NamedTuple):
    """What the directory says about one member."""

    name: str
    method: int
    crc: int | None
    """CRC-32 of its bytes; None if it is not to be verified."""
    stored: int
    """Bytes that it takes in the archive."""
    size: int
    """Bytes that it has."""
    header: int
    """Offset of its local header."""
    raw_name: bytes
    """Its name as both headers have it."""


class ZipArchive:
    """The members of a zip archive. Threads may share it."""

    def __init__(self, file: RandomAccessFile, limits: Limits, *, trusts_zero: bool = False) -> None:
        """Read the directory; with ``trusts_zero`` a checksum of 0 means that there is none.

        Raises CorruptError if the file is not a zip archive, UnsupportedError for one in several files.
        """
        self.file = file
        self._limits = limits
        self._trusts_zero = trusts_zero
        try:
            self.members = list(self._read_directory())
            self._check_members()
        except CkptfmtError as error:
            raise error.at(file.name, 0, label="zip archive") from None
        # For each member, how many bytes of it were read from its beginning on, and their CRC-32: the last
        # such, and that of its head. If two threads store a pair, either is true.
        self._crcs: dict[int, tuple[int, int]] = {}
        self._begun: dict[int, tuple[int, int]] = {}
        # The member that was found last, by its header, and where its bytes begin.
        self._located = -1, 0
        self._inflating = new_lock()
        self._inflater: _Inflater | None = None

    def read(self, member: Member, start: int, stop: int) -> memoryview:
        """Return bytes of a member, read-only: a view of the file if it is stored.

        Bytes that are read from the beginning on, all at once or piece by piece, are verified by the
        checksum of the member when its last byte is read.

        Raises CorruptError, LimitError, and what reading the file raises.
        """
        if not 0 <= start <= stop <= member.size:
            raise CorruptError(
                f"member {member.name!r}: got {member.size} bytes, want {stop}",
                file=self.file.name,
                offset=member.header,
            )
        if member.method == STORED:
            offset = self.data_offset(member)
            data = self.file.read(offset + start, stop - start)
        else:
            data = self._inflate(member, start, stop)
        self._verify(member, start, data)
        return data

    def end_head(self, member: Member) -> None:
        """Take what was read of a member so far for its head: the checksum of all goes on from there."""
        if member.header in self._crcs:
            self._begun[member.header] = self._crcs.pop(member.header)

    def release(self, member: Member) -> None:
        """Let the system forget the bytes of a member."""
        self.file.release(member.header, member.stored)

    def data_offset(self, member: Member) -> int:
        """Return the offset of the first byte of a member, after its local header."""
        known, offset = self._located
        if known == member.header:
            return offset
        head = bytes(self.file.read(member.header, _LOCAL.size + len(member.raw_name)))
        magic, *_, name_size, extra_size = _LOCAL.unpack_from(head)
        if (magic, name_size, head[_LOCAL.size :]) != (b"PK\x03\x04", len(member.raw_name), member.raw_name):
            raise CorruptError(
                f"member {member.name!r}: its local header is not that of the directory",
                file=self.file.name,
                offset=member.header,
            )
        offset = int(member.header + _LOCAL.size + name_size + extra_size)
        self._located = member.header, offset
        return offset

    # --- the directory -----------------------------------------------------------------------------------

    def _read_directory(self) -> Iterator[Member]:
        start, size, count, shift = self._find_directory()
        self._limits.check_names("members of a zip archive", count)
        directory = self.file.read(start, size)
        pos = 0
        for _ in range(count):
            if pos + _CENTRAL.size > size:
                raise CorruptError(f"directory: got {size} bytes for {count} members", offset=start + pos)
            (
                magic, _, _, flags, method, _, _, crc, stored, full,
                name_size, extra_size, comment_size, disk, _, _, header,
            ) = _CENTRAL.unpack_from(directory, pos)  # fmt: skip
            if magic != b"PK\x01\x02":
                raise CorruptError("directory: want the header of a member", offset=start + pos)
            name_at = pos + _CENTRAL.size
            end = name_at + name_size + extra_size + comment_size
            if end > size:
                raise CorruptError("directory: a header exceeds it", offset=start + pos)
            raw_name = bytes(directory[name_at : name_at + name_size])
            extra = bytes(directory[name_at + name_size : name_at + name_size + extra_size])
            if _IN_EXTRA_32 in (full, stored, header):
                full, stored, header = _with_extra(extra, full, stored, header)
            if disk not in (0, _IN_EXTRA_16):
                raise UnsupportedError("an archive in several files", offset=start + pos)
            name = _decode_name(raw_name, is_utf8=bool(flags & 0x800))
            if flags & 0x41:
                raise UnsupportedError(f"member {name!r} is encrypted", offset=start + pos)
            checked = None if self._trusts_zero and not crc else crc
            yield Member(name, method, checked, stored, full, header + shift, raw_name)
            pos = end

    def _find_directory(self) -> tuple[int, int, int, int]:
        """Return where the directory is, its bytes, how many members it has, and what to add to offsets."""
        file = self.file
        tail_size = min(file.size, _END.size + _MAX_COMMENT)
        tail = bytes(file.read(file.size - tail_size, tail_size))
        at = len(tail)
        while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
            if at + _END.size <= len(tail):
                _, disk, _, _, count, size, offset, comment_size = _END.unpack_from(tail, at)
                # A comment may hold the magic bytes: the right one is followed by exactly its comment.
                if at + _END.size + comment_size == len(tail):
                    break
        else:
            raise CorruptError("no end of a directory: the file is cut short, or not a zip archive")
        end = file.size - tail_size + at
        if disk not in (0, _IN_EXTRA_16):
            raise UnsupportedError("an archive in several files", offset=end)
        # Some writers, PyTorch's among them, add the structures of zip64 although no number needs them.
        end, count, size, offset = self._zip64_end(end, count, size, offset)
        # Bytes before the archive, such as a program that unpacks it, shift all that it says about places.
        shift = end - size - offset
        if shift < 0 or size < count * _CENTRAL.size:
            raise CorruptError(f"directory: got {size} bytes at {offset} for {count} members", offset=end)
        return end - size, size, count, shift

    def _zip64_end(self, end: int, count: int, size: int, offset: int) -> tuple[int, int, int, int]:
        """Return where the end of a zip64 directory is, and what it says; what is given without one."""
        if end < _LOCATOR.size + _END_64.size:
            return end, count, size, offset
        magic, _, where, _ = _LOCATOR.unpack(bytes(self.file.read(end - _LOCATOR.size, _LOCATOR.size)))
        if magic != b"PK\x06\x07":
            return end, count, size, offset
        # It lies just before its locator, unless it has data for other programs.
        for at in (end - _LOCATOR.size - _END_64.size, where):
            if 0 <= at <= end - _LOCATOR.size - _END_64.size:
                magic, *_, total, size, offset = _END_64.unpack(bytes(self.file.read(at, _END_64.size)))
                if magic == b"PK\x06\x06":
                    return at, total, size, offset
        raise CorruptError("no end of a zip64 directory", offset=end)

    def _check_members(self) -> None:
        """Raise CorruptError if members share bytes, lie outside the file, or cannot be as large as stated.

        So a small file cannot stand for more than deflate can make of its bytes.
        """
        free = self.file.size
        for member in sorted(self.members, key=lambda member: -member.header):
            if member.header + _LOCAL.size + len(member.raw_name) + member.stored > free:
                raise CorruptError(
                    f"member {member.name!r}: {member.stored} bytes do not fit before the next",
                    offset=member.header,
                )
            free = member.header
            least, most = 0, member.size
            if member.method == STORED:
                least = most = member.stored
            elif member.method == DEFLATED:
                most = MAX_RATIO * (member.stored + 1)
            if not least <= member.size <= most:
                raise CorruptError(
                    f"member {member.name!r}: {member.stored} bytes cannot hold {member.size}",
                    offset=member.header,
                )

    # --- bytes -------------------------------------------------------------------------------------------

    def _inflate(self, member: Member, start: int, stop: int) -> memoryview:
        if member.method != DEFLATED:
            method = _METHODS.get(member.method, f"method {member.method}")
            raise UnsupportedError(
                f"member {member.name!r} is compressed by {method}, want stored or deflated",
                file=self.file.name,
                offset=member.header,
            )
        self._limits.check_bytes(
            f"member {member.name!r}", stop - start, member.stored, file=self.file.name, offset=member.header
        )
        with self._inflating:
            current = self._inflater
            if current is None or current.member is not member or current.position > start:
                current = self._inflater = _Inflater(self.file, member, self.data_offset(member))
            try:
                current.skip(start)
                return current.read(stop)
            except BaseException:
                self._inflater = None
                raise

    def _verify(self, member: Member, start: int, data: memoryview) -> None:
        """Go on with the checksum of a member if ``data`` comes next; ChecksumError if it is wrong."""
        if member.crc is None:
            return
        known, crc = self._begun.get(member.header, (0, 0))
        if start != known:
            known, crc = self._crcs.get(member.header, (0, 0))
        if start != known:
            return
        stop = start + len(data)
        crc = zlib.crc32(data, crc)
        self._crcs[member.header] = stop, crc
        if stop == member.size and crc != member.crc:
            del self._crcs[member.header]
            raise ChecksumError(
                f"member {member.name!r}: CRC-32",
                stored=member.crc,
                computed=crc,
                file=self.file.name,
                offset=member.header,
            )


class _Inflater:
    """A deflated member, decompressed from its beginning on."""

    def __init__(self, file: RandomAccessFile, member: Member, offset: int) -> None:
        self.member = member
        self.position = 0
        self._file = file
        self._offset, self._end = offset, offset + member.stored
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input: bytes | memoryview = b""

    def skip(self, to: int) -> None:
        """Pass over bytes."""
        while self.position < to:
            self._step(to - self.position)

    def read(self, to: int) -> memoryview:
        """Return the bytes up to a position."""
        out = new_buffer(to - self.position, f"member {self.member.name!r}", self._file.name)
        at = 0
        while at < len(out):
            data = self._step(len(out) - at)
            out[at : at + len(data)] = data
            at += len(data)
        return out.toreadonly()

    def _step(self, limit: int) -> bytes:
        """Return the next bytes, at least one and up to ``limit``."""
        while True:
            if not self._input and self._offset < self._end:
                size = min(_AT_ONCE, self._end - self._offset)
                self._input = self._file.read(self._offset, size)
                self._offset += size
            try:
                data = self._inflate.decompress(self._input, min(limit, _AT_ONCE))
            except zlib.error as error:
                raise self._damaged(str(error)) from None
            self._input = self._inflate.unconsumed_tail
            if data:
                self.position += len(data)
                return data
            if self._inflate.eof or (not self._input and self._offset >= self._end):
                raise self._damaged(f"it ends after {self.position} bytes, want {self.member.size}")

    def _damaged(self, what: str) -> CorruptError:
        return CorruptError(
            f"member {self.member.name!r}: cannot be decompressed: {what}",
            file=self._file.name,
            offset=self.member.header,
        )


def _with_extra(extra: bytes, full: int, stored: int, header: int) -> tuple[int, int, int]:
    """Return sizes and the offset of the header, those that do not fit 32 bits from the zip64 field."""
    pos = 0
    while pos + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, pos)
        pos += 4
        if kind == 1:
            field = extra[pos : pos + size]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            values = [
                next(numbers, each) if each == _IN_EXTRA_32 else each for each in (full, stored, header)
            ]
            return values[0], values[1], values[2]
        pos += size
    return full, stored, header


def _decode_name(name: bytes, *, is_utf8: bool) -> str:
    if not is_utf8:
        return name.decode("cp437")
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape")
