"""Memory-mapped packages (``.pbmm``): regions of a file by name, as ``MemmappedFileSystem`` writes them.

::

    regions        a serialized GraphDef named "memmapped_package://.", and the bytes of its large constants
    directory      MemmappedFileSystemDirectory: repeated 1 element { 1 offset, 2 name, 3 length }
    uint64         offset of the directory, little-endian

Source: TensorFlow ``core/util/memmapped_file_system.cc``.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.errors import CorruptError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.text.quoting import shortened
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields

PREFIX = "memmapped_package://"
"""Begins the name of every region."""

GRAPH_REGION = f"{PREFIX}."
"""The region of the graph (``kMemmappedPackageDefaultGraphDef``)."""

_OFFSET_SIZE = 8

_HEAD_SIZE = 2 + 2 + len(PREFIX)
"""Bytes of the shortest beginning of a directory: two tags, two lengths, and the prefix."""


class Region(NamedTuple):
    """Where a region is in the file."""

    offset: int
    size: int


def is_package(file: RandomAccessFile) -> bool:
    """Whether a file ends in a directory, and the directory begins with a region."""
    place = _directory_place(file)
    if place is None or place.size < _HEAD_SIZE:
        return False
    head = bytes(file.read(place.offset, min(place.size, _HEAD_SIZE + 16)))
    # An element begins with its offset, unless that is 0, or with its name.
    return head[:1] == b"\x0a" and PREFIX.encode() in head


def read_regions(file: RandomAccessFile) -> dict[str, Region]:
    """Return the regions of a package by name.

    A region without a length, as in the first versions of the format, ends where the next one begins.

    Raises CorruptError if the directory is not one, or a region is not within the file before it.
    """
    place = _directory_place(file)
    if place is None:
        what = "a memory-mapped package without the directory at its end: the file may be cut"
        raise CorruptError(what, file=file.name, offset=max(0, file.size - _OFFSET_SIZE))
    elements: dict[str, tuple[int, int]] = {}
    try:
        for field in decode_fields(file.read(place.offset, place.size)):
            if field.number == 1 and field.wire_type == LENGTH_DELIMITED:
                name, offset, length = _decode_element(field.content)
                if not name.startswith(PREFIX) or name in elements:
                    raise CorruptError(
                        f"got a region named {shortened(name)!r}, want names that begin {PREFIX} and differ"
                    )
                elements[name] = offset, length
    except CorruptError as error:
        raise error.at(file.name, place.offset, label="directory of regions") from error.__cause__
    regions: dict[str, Region] = {}
    following = place.offset
    # Backwards, as TensorFlow does: regions are in the order of the file.
    for name, (offset, length) in reversed(elements.items()):
        size = length or following - offset
        if not 0 <= size <= following - offset:
            what = f"region {shortened(name)!r}: got {length} bytes at {offset}, want them before {following}"
            raise CorruptError(what, file=file.name, offset=place.offset)
        regions[name] = Region(offset, size)
        following = offset
    return dict(reversed(regions.items()))


def _directory_place(file: RandomAccessFile) -> Region | None:
    """Return where the directory is, None if the file does not end like a package."""
    stop = file.size - _OFFSET_SIZE
    if stop < 0:
        return None
    offset = int.from_bytes(file.read(stop, _OFFSET_SIZE), "little")
    return Region(offset, stop - offset) if offset < stop else None


def _decode_element(data: Buffer) -> tuple[str, int, int]:
    """Return name, offset and length of an element of the directory."""
    name, offset, length = "", 0, 0
    for field in decode_fields(data):
        if field.number == 2 and field.wire_type == LENGTH_DELIMITED:
            name = bytes(field.content).decode("utf-8", "backslashreplace")
        elif field.number == 1 and field.wire_type == VARINT:
            offset = field.value
        elif field.number == 3 and field.wire_type == VARINT:
            length = field.value
    return name, offset, length
