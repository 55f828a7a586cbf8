"""Attributes of HDF5 groups that are strings, such as those in which Keras 2 describes a model.

::

    header, version 1    version, 0, uint16 messages, uint32 references, uint32 size, 4 unused bytes
    header, version 2    "OHDR", version, flags, optional fields, size; blocks end in a checksum
    message              its kind, size and flags, then its content
    attribute            version, flags, uint16 sizes of name, type and space, then these and a value

The bytes of strings of any length are in heaps, and HDF5 itself loops forever over some that are damaged. So
headers are read here, and heaps by :class:`~ckptfmt.converting.sources.hdf5.heap.Heaps`.
Source: HDF5 File Format Specification, IV.A "Data Object Headers".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np

from ckptfmt.converting.sources.hdf5.heap import PLACES, Heaps
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.storage.file import RandomAccessFile

_CONTINUATION = 0x10
_ATTRIBUTE = 0x0C
_ATTRIBUTE_INFO = 0x15
_UNDEFINED = (1 << 64) - 1
_STRING, _SEQUENCE = 3, 9
"""Classes of types: strings of one length, and of any length."""

_SHARED = 2
"""The flag of a message that is stored elsewhere."""

_FIRST_SIZE = 16
"""Bytes of the fixed part of a header of version 1."""


def string_attributes(
    file: RandomAccessFile, address: int, base: int, heaps: Heaps
) -> dict[str, list[bytes]]:
    """Return the attributes of an object that are strings, or lists of strings, by name.

    ``address`` is that of its header, counted from ``base``. Other attributes are left out.

    Raises CorruptError, TruncatedError or UnsupportedError with file and offset.
    """
    attributes: dict[str, list[bytes]] = {}
    try:
        for kind, content in _messages(file, address + base, base):
            if kind == _ATTRIBUTE_INFO and _is_elsewhere(content):
                raise UnsupportedError(
                    "a group with more attributes than its header holds is not read: "
                    "rewrite the file by h5py with libver='earliest'",
                    offset=address + base,
                )
            if kind == _ATTRIBUTE:
                found = _attribute(content, heaps)
                if found is not None:
                    attributes[found[0]] = found[1]
    except CkptfmtError as error:
        raise error.at(file.name) from None
    except (struct.error, IndexError, ValueError):
        raise CorruptError(
            "header of an object: it ends early", file=file.name, offset=address + base
        ) from None
    return attributes


def _messages(file: RandomAccessFile, offset: int, base: int) -> Iterator[tuple[int, memoryview]]:
    """Iterate over the messages of a header, with those in the blocks that continue it."""
    start = bytes(file.read(offset, min(_FIRST_SIZE, max(0, file.size - offset))))
    is_new = start[:4] == b"OHDR"
    if is_new:
        flags = start[5]
        fields = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(file.read(offset + fields, width), "little")
        blocks = [(offset + fields + width, size)]
        head = 6 if flags & 4 else 4
    else:
        blocks = [(offset + _FIRST_SIZE, struct.unpack_from("<I", start, 8)[0])]
        head = 8
    total = 0
    while blocks:
        at, size = blocks.pop(0)
        total += size
        if total > file.size:
            raise CorruptError("header of an object: blocks that are larger than the file", offset=offset)
        data = file.read(at, size)
        position = 0
        while position + head <= size:
            if is_new:
                kind, length = struct.unpack_from("<BH", data, position)
                shared = data[position + 3] & _SHARED
            else:
                kind, length = struct.unpack_from("<HH", data, position)
                shared = data[position + 4] & _SHARED
            position += head
            if length > size - position:
                break
            content = data[position : position + length]
            position += length
            if kind == _CONTINUATION:
                next_at, next_size = struct.unpack_from("<QQ", content)
                # A new block begins with "OCHK" and ends in a checksum.
                blocks.append(
                    (next_at + base + 4, max(0, next_size - 8)) if is_new else (next_at + base, next_size)
                )
            elif not shared:
                yield kind, content


def _is_elsewhere(content: memoryview) -> bool:
    """Return whether attributes are in a structure of their own, as in new files with more than 8."""
    at = 4 if content[1] & 1 else 2
    (address,) = struct.unpack_from("<Q", content, at)
    return bool(address != _UNDEFINED)


def _attribute(content: memoryview, heaps: Heaps) -> tuple[str, list[bytes]] | None:
    """Return an attribute's name and strings; None if it has other values."""
    version, flags, name_size, type_size, space_size = struct.unpack_from("<BBHHH", content)
    position = 9 if version == 3 else 8
    parts = []
    for size in (name_size, type_size, space_size):
        parts.append(content[position : position + size])
        position += size + (-size % 8 if version == 1 else 0)
    name, kind, space = parts
    if version not in (1, 2, 3) or flags & 1:  # a type that is stored elsewhere
        return None
    count = _elements(space)
    itemsize = struct.unpack_from("<I", kind, 4)[0]
    data = content[position : position + count * itemsize]
    text = bytes(name).split(b"\0")[0].decode("utf-8", "surrogateescape")
    if kind[0] & 15 == _STRING and itemsize:
        return text, [bytes(data[at : at + itemsize]).rstrip(b"\0") for at in range(0, len(data), itemsize)]
    if kind[0] & 15 == _SEQUENCE and itemsize == PLACES.itemsize:
        return text, heaps.strings(np.frombuffer(data, PLACES)).tolist()
    return None


def _elements(space: memoryview) -> int:
    version, rank = space[0], space[1]
    first = 8 if version == 1 else 4
    return math.prod(struct.unpack_from(f"<{rank}Q", space, first))
