"""Strings of any length in HDF5: a dataset holds their places in heaps, and the heaps their bytes.

::

    element of a dataset     uint32 length | uint64 address of a heap | uint32 number in it
    heap                     "GCOL" | version 1, three reserved bytes | uint64 size of the heap, then objects:
    object                   uint16 number | uint16 references | uint32 reserved | uint64 size, its bytes,
                             padded to a multiple of 8; number 0 is the free space at the end

HDF5 itself loops forever over some damaged heaps, and ends strings at the first NUL, so heaps are read here.
Source: HDF5 File Format Specification, III.E "Level 1E - Global Heap".
"""

from __future__ import annotations

import struct

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.errors import CorruptError
from ckptfmt.locks import new_lock
from ckptfmt.storage.file import RandomAccessFile

PLACES = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
"""Elements of a dataset of strings, of the usual sizes of addresses."""

_HEADER = struct.Struct("<4s4BQ")
_OBJECT = struct.Struct("<HHIQ")
_UNDEFINED = (1 << 64) - 1


class Heaps:
    """The heaps of a file, read when they are first needed."""

    def __init__(self, file: RandomAccessFile, base: int) -> None:
        """Take an open file, and the offset in it from which its addresses count."""
        self._file = file
        self._base = base
        self._heaps: dict[int, dict[int, memoryview]] = {}
        self._read = 0
        self._lock = new_lock()

    def strings(self, places: Array) -> Array:
        """Return the strings at places, an array of :data:`PLACES`, as an object array of ``bytes``.

        Equal places give the same object. Raises CorruptError or TruncatedError with file and offset.
        """
        values = np.empty(places.shape, object)
        flat = values.reshape(-1)
        known: dict[tuple[int, int, int], bytes] = {}
        for index, place in enumerate(places.reshape(-1).tolist()):
            value = known.get(place)
            if value is None:
                value = known[place] = self._string(*place)
            flat[index] = value
        return values

    def _string(self, length: int, heap: int, number: int) -> bytes:
        if not length or heap in (0, _UNDEFINED):
            return b""
        data = self._heap(heap).get(number)
        if data is None or len(data) < length:
            available = "no such object" if data is None else f"{len(data)} bytes"
            raise CorruptError(
                f"string {number} of a heap: got {available}, want {length} bytes",
                file=self._file.name,
                offset=self._base + heap,
            )
        return bytes(data[:length])

    def _heap(self, address: int) -> dict[int, memoryview]:
        with self._lock:
            objects = self._heaps.get(address)
            if objects is None:
                objects = self._heaps[address] = self._read_heap(self._base + address)
            return objects

    def _read_heap(self, offset: int) -> dict[int, memoryview]:
        magic, version, *_, size = _HEADER.unpack(self._file.read(offset, _HEADER.size))
        # Heaps do not overlap, so all of them together are no longer than the file. That bounds the work if
        # a hostile file has a string in each of many places that lead into one heap.
        self._read += size
        if (magic, version) != (b"GCOL", 1) or size < _HEADER.size or self._read > self._file.size:
            raise CorruptError("not a heap of strings", file=self._file.name, offset=offset)
        data = self._file.read(offset, size)
        objects: dict[int, memoryview] = {}
        position = _HEADER.size
        while position + _OBJECT.size <= size:
            number, _, _, length = _OBJECT.unpack_from(data, position)
            if number == 0:
                break
            position += _OBJECT.size
            if length > size - position:
                raise CorruptError(
                    f"object {number} of a heap: got {length} bytes, want at most {size - position}",
                    file=self._file.name,
                    offset=offset + position,
                )
            objects[number] = data[position : position + length]
            position += length + -length % 8
        return objects
