"""The directory of a zip archive: which members it has, and where each is.

::

    local header | name | extra | bytes     for each member
    central header | name | extra           for each member: the directory
    end of the directory                    says where the directory is

Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile

LOCAL = struct.Struct("<4s5HIIIHH")
"""The local header of a member, without its name."""
_CENTRAL = struct.Struct("<4s6HIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQHHIIQQQQ")

_MAX_COMMENT = 0xFFFF
_IN_EXTRA_16, _IN_EXTRA_32 = 0xFFFF, 0xFFFFFFFF
"""Values that say that a number is in a structure of zip64 instead."""

STORED, DEFLATED = 0, 8
"""The methods of compression that are read."""

MAX_RATIO = 1032
"""Bytes that deflate makes of one byte, at most: a match of 258 bytes takes two bits."""


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


def read_directory(file: RandomAccessFile, limits: Limits, *, trusts_zero: bool = False) -> Iterator[Member]:
    """Iterate over the members in the directory; with ``trusts_zero`` a checksum of 0 stands for none."""
    start, size, count, shift = _find_directory(file)
    limits.check_names("members of a zip archive", count)
    directory = file.read(start, size)
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
        checked = None if trusts_zero and not crc else crc
        yield Member(name, method, checked, stored, full, header + shift, raw_name)
        pos = end


def _find_directory(file: RandomAccessFile) -> tuple[int, int, int, int]:
    """Return where the directory is, its bytes, how many members it has, and what to add to offsets."""
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
    end, count, size, offset = _zip64_end(file, end, count, size, offset)
    # Bytes before the archive, such as a program that unpacks it, shift every offset in it.
    shift = end - size - offset
    if shift < 0 or size < count * _CENTRAL.size:
        raise CorruptError(f"directory: got {size} bytes at {offset} for {count} members", offset=end)
    return end - size, size, count, shift


def _zip64_end(
    file: RandomAccessFile, end: int, count: int, size: int, offset: int
) -> tuple[int, int, int, int]:
    """Return where the end of a zip64 directory is, and what it says; what is given without one."""
    if end < _LOCATOR.size + _END_64.size:
        return end, count, size, offset
    magic, _, where, _ = _LOCATOR.unpack(bytes(file.read(end - _LOCATOR.size, _LOCATOR.size)))
    if magic != b"PK\x06\x07":
        return end, count, size, offset
    # It lies just before its locator, unless it has data for other programs.
    for at in (end - _LOCATOR.size - _END_64.size, where):
        if 0 <= at <= end - _LOCATOR.size - _END_64.size:
            magic, *_, total, size, offset = _END_64.unpack(bytes(file.read(at, _END_64.size)))
            if magic == b"PK\x06\x06":
                return at, total, size, offset
    raise CorruptError("no end of a zip64 directory", offset=end)


def check_members(members: Sequence[Member], size: int) -> None:
    """Raise CorruptError if members share bytes, lie outside the file, or cannot be as large as stated.

    So a small file cannot stand for more than deflate can make of its bytes.
    """
    free = size
    for member in sorted(members, key=lambda member: -member.header):
        if member.header + LOCAL.size + len(member.raw_name) + member.stored > free:
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
