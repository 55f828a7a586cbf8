"""Zip archives: the bytes of each member, without unpacking it.

A stored member is a stretch of the archive, so its bytes are views of the mapped file. A deflated one is
decompressed as far as it is asked for, and from where the last read of it stopped.

Python's ``zipfile`` does not say where bytes are.
"""

from __future__ import annotations

import zlib

from ckptfmt.converting.sources.zip.directory import (
    DEFLATED,
    LOCAL,
    STORED,
    Member,
    check_members,
    read_directory,
)
from ckptfmt.errors import ChecksumError, CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.locks import new_lock
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.wire.buffers import new_buffer

_METHODS = {1: "shrink", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 99: "AES"}

_AT_ONCE = 1 << 20
"""Bytes that are decompressed in one step."""


class ZipArchive:
    """The members of a zip archive. Threads may share it."""

    def __init__(self, file: RandomAccessFile, limits: Limits, *, trusts_zero: bool = False) -> None:
        """Read the directory; with ``trusts_zero`` a checksum of 0 counts as missing.

        Raises CorruptError if the file is not a zip archive, UnsupportedError for one in several files.
        """
        self.file = file
        self._limits = limits
        try:
            self.members = list(read_directory(file, limits, trusts_zero=trusts_zero))
            check_members(self.members, file.size)
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
        """Take what was read of a member so far for its head: its checksum continues from there."""
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
        head = bytes(self.file.read(member.header, LOCAL.size + len(member.raw_name)))
        magic, *_, name_size, extra_size = LOCAL.unpack_from(head)
        if (magic, name_size, head[LOCAL.size :]) != (b"PK\x03\x04", len(member.raw_name), member.raw_name):
            raise CorruptError(
                f"member {member.name!r}: its local header is not that of the directory",
                file=self.file.name,
                offset=member.header,
            )
        offset = int(member.header + LOCAL.size + name_size + extra_size)
        self._located = member.header, offset
        return offset

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
