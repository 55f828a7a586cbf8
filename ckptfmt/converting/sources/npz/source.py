"""NumPy's files: ``.npz``, a zip archive of arrays, and ``.npy``, a single one.

An array of ``name.npz`` has the name of its member without ``.npy``; members that are not arrays are passed
over. The array of ``name.npy`` is named ``name``. Nothing is unpickled: arrays of objects are listed, and
reading one is refused.

Strings are those of TensorFlow, bytes: text is encoded as UTF-8. As in NumPy, zeros at their ends are
padding.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.checkpoint.slices import Region, whole
from ckptfmt.converting.sources.npz.npy_header import MAGIC, NpyHeader, read_npy_header
from ckptfmt.converting.sources.rows import rows_of
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.converting.sources.zip.archive import ZipArchive
from ckptfmt.converting.sources.zip.directory import Member
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.wire.coding import Buffer

SUFFIX = ".npy"
"""End of the names of members that are arrays."""

_STRING_BYTES = 64
"""Bytes of memory for a short string and the reference to it."""


class _Place(NamedTuple):
    """Where an array is."""

    header: NpyHeader
    read: Callable[[int, int], Buffer]
    """Returns bytes of it, the header included, from one offset to another."""
    offset: int
    """Offset in the file, for errors."""
    release: Callable[[], None]


class NpzSource:
    """The arrays of one file; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "npz"

    def __init__(
        self, path: str, file: RandomAccessFile, limits: Limits, places: Mapping[str, _Place]
    ) -> None:
        self.path = path
        self.tensors = {
            name: Stored(place.header.dtype, place.header.shape, place.header.nbytes)
            for name, place in places.items()
        }
        self._file = file
        self._limits = limits
        self._places = places

    def read(self, name: str, region: Region | None) -> Array:
        """Return an array, or a region of it."""
        place = self._places[name]
        header = place.header
        if header.refused:
            raise UnsupportedError(f"{name!r}: {header.refused}", file=self.path, offset=place.offset)
        # An array in Fortran order is the transpose of one in C order, of the reversed shape.
        turn = slice(None, None, -1 if header.is_fortran else None)
        shape = header.shape[turn]
        rows = rows_of((whole(header.shape) if region is None else region)[turn], shape)
        start = header.start + rows.start * header.itemsize
        count = math.prod(rows.shape)
        data = place.read(start, start + count * header.itemsize)
        try:
            if header.text:
                array = self._strings(name, header, data, count).reshape(rows.shape)[rows.at]
            else:
                array = decode_raw(
                    data, header.dtype, rows.shape, big_endian=header.is_big_endian, at=rows.at
                )
        except CkptfmtError as error:
            raise error.at(self.path, place.offset, label=repr(name), relative=False) from None
        array = array.T if header.is_fortran else array
        array.flags.writeable = False
        return array

    def _strings(self, name: str, header: NpyHeader, data: Buffer, count: int) -> Array:
        self._limits.check_bytes(f"strings of {name!r}", count * (header.itemsize + _STRING_BYTES), len(data))
        values = np.empty(count, object)
        if header.itemsize == 0:
            values[:] = b""
            return values
        if header.text == "S":
            values[:] = np.ndarray(count, f"S{header.itemsize}", data).tolist()
            return values
        order, width = ">" if header.is_big_endian else "<", header.itemsize // 4
        # NumPy fails in odd ways at what is not a character.
        characters = np.ndarray(count * width, f"{order}u4", data)
        if characters.size and int(characters.max()) > sys.maxunicode:
            raise CorruptError(
                f"text: got a character {int(characters.max())}, want at most {sys.maxunicode}"
            )
        try:
            values[:] = [text.encode() for text in np.ndarray(count, f"{order}U{width}", data).tolist()]
        except UnicodeEncodeError as error:
            raise CorruptError(f"text has no UTF-8: {error.reason}") from None
        return values

    def release(self, name: str) -> None:
        """Let the system forget the bytes of an array."""
        self._places[name].release()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open an archive of arrays, or a single array."""
    file = fs.open(path)
    try:
        is_array = bytes(file.read(0, min(file.size, len(MAGIC)))) == MAGIC
        places = _single(file) if is_array else _archive(file, limits)
        return NpzSource(path, file, limits, places)
    except BaseException:
        file.close()
        raise


def _single(file: RandomAccessFile) -> dict[str, _Place]:
    def read(start: int, stop: int) -> Buffer:
        return file.read(start, stop - start)

    try:
        header = read_npy_header(read, file.size)
    except CkptfmtError as error:
        raise error.at(file.name, 0, label="NumPy array") from None
    assert header is not None
    name = os.path.basename(file.name)
    with suppress(ValueError):
        name = name[: name.rindex(SUFFIX)] or name
    return {name: _Place(header, read, header.start, lambda: file.release(0, file.size))}


def _archive(file: RandomAccessFile, limits: Limits) -> dict[str, _Place]:
    archive = ZipArchive(file, limits)
    places: dict[str, _Place] = {}
    for member in archive.members:
        if member.name.endswith("/"):
            continue
        place = _member(archive, member)
        if place is None:
            continue
        name = member.name.removesuffix(SUFFIX)
        if name in places:
            raise CorruptError(f"several members are named {name!r}", file=file.name, offset=member.header)
        places[name] = place
    return places


def _member(archive: ZipArchive, member: Member) -> _Place | None:
    """Return where the array of a member is; None if it is not an array."""

    def read(start: int, stop: int) -> Buffer:
        return archive.read(member, start, stop)

    try:
        header = read_npy_header(read, member.size)
    except CkptfmtError as error:
        raise error.at(
            archive.file.name, member.header, label=f"member {member.name!r}", relative=False
        ) from None
    archive.end_head(member)
    if header is None:
        if member.name.endswith(SUFFIX):
            raise CorruptError(
                f"member {member.name!r}: not an array of NumPy's",
                file=archive.file.name,
                offset=member.header,
            )
        return None
    return _Place(header, read, member.header, lambda: archive.release(member))
