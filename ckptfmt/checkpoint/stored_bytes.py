"""Stored bytes of one entry of a bundle: their place, whether they are intact, and the array they make.

An entry names a stretch of a data file. For most dtypes the stretch holds the elements in C order, and the
array is a view of it; strings and variants have lengths and checksums of their own among their bytes.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ckptfmt import filetype
from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.arrays.shape import Shape, check_shape, expected_size
from ckptfmt.checkpoint.entry import Entry, key_of, name_of
from ckptfmt.checkpoint.slices import decode_slice_key
from ckptfmt.checkpoint.strings import check_strings, check_variants, decode_strings, decode_variants
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import ChecksumError, CorruptError, UnsupportedError
from ckptfmt.storage.file import RandomAccessFile, stream_crc
from ckptfmt.wire.crc32c import combine_all, crc32c_in_threads
from ckptfmt.wire.threads import cut, default_threads, in_threads


class ByteOrder(NamedTuple):
    """How a bundle stores numbers, and the index that says so."""

    big_endian: bool
    index_file: str
    """The index, for errors about what only it says."""

    def is_plain(self, entry: Entry) -> bool:
        """Return whether the stored bytes of an entry are those of its array, to be viewed as they are.

        Bools are not: they may be stored as any byte but are 0 or 1 in an array. Types of less than 8 bits
        are not either: they are sign-extended.
        """
        dtype = entry.dtype
        is_native = self.big_endian is (sys.byteorder == "big") or dtype.itemsize == 1
        return not entry.slices and dtype.storage is Storage.FIXED and dtype.name != "bool" and is_native


class Layout(NamedTuple):
    """How the stored bytes of all entries of one dtype and shape are viewed."""

    dtype: np.dtype[np.generic] | None
    """Type of the array over their bytes; None if they have to be decoded."""
    nbytes: int
    """Bytes that each takes."""


def layout_of(entry: Entry, order: ByteOrder) -> Layout:
    """Return how the stored bytes of an entry, and of others of its dtype and shape, are viewed."""
    return _plain_layout(entry.dtype, entry.shape) if order.is_plain(entry) else Layout(None, 0)


# Asking NumPy about a shape takes as long as reading a small tensor.
@lru_cache(maxsize=4096)
def _plain_layout(dtype: DType, shape: Shape) -> Layout:
    with suppress(UnsupportedError):  # decoding raises it again, with the name of the tensor
        check_shape(shape, dtype)
        return Layout(dtype.numpy, expected_size(dtype, shape) or 0)
    return Layout(None, 0)


class StoredBytes(NamedTuple):
    """The bytes of one entry, that of a whole tensor or of one slice."""

    entry: Entry
    file: RandomAccessFile
    offset: int
    size: int
    order: ByteOrder

    def read(self) -> memoryview:
        """Return the bytes; raises the errors of :meth:`RandomAccessFile.read`."""
        return self.file.read(self.offset, self.size)

    def decode(
        self, data: memoryview, *, verify: bool = False, at: Box | None = None, threads: int | None = None
    ) -> Array:
        """Return the array in ``data``, the bytes as they were read, or the part ``at`` of it.

        Raises
        ------
        ChecksumError
            The checksum is to be verified, and is not that of the entry.
        CorruptError
            The bytes do not hold elements of the entry's dtype and shape.
        UnsupportedError
            NumPy has no array of that shape.
        """
        dtype, shape = self.entry.dtype, self.entry.shape
        big_endian = self.order.big_endian
        try:
            # The checksum comes first: if bytes are damaged, that explains whatever decoding would report.
            if dtype.itemsize is not None:
                if verify:
                    self._compare(crc32c_in_threads(data, threads))
                return decode_raw(data, dtype, shape, big_endian=big_endian, at=at)
            # The checksum of strings and variants follows from decoding them.
            if dtype.storage is Storage.STRING:
                array, crc = decode_strings(data, shape, big_endian=big_endian)
            else:
                array, crc = decode_variants(data, shape)
            if verify:
                self._compare(crc)
            return array if at is None else array[at]
        except UnsupportedError as error:
            raise error.at(self.order.index_file, label=f"tensor {label_of(self.entry)}") from None
        except CorruptError as error:
            raise self._explained(error).at(self.file.name, self.offset) from None

    def compare(self, crc: int) -> None:
        """Raise ChecksumError unless a checksum is that of the entry."""
        try:
            self._compare(crc)
        except ChecksumError as error:
            raise self._explained(error).at(self.file.name, self.offset) from None

    def _explained(self, error: CorruptError) -> CorruptError:
        """Add to an error that the shard was changed as text, if it was."""
        converted = filetype.conversion_of(self.file)
        if converted is not None:
            error.what = f"{error.what}; the file was {converted}"
        return error

    def _compare(self, crc: int) -> None:
        if crc != self.entry.crc32c:
            what = f"tensor {label_of(self.entry)}: checksum mismatch"
            raise ChecksumError(what, stored=self.entry.crc32c or 0, computed=crc)

    def check(self, crc: int | None = None) -> None:
        """Verify the checksum in bounded memory, without making an array; raises what :meth:`decode` does.

        ``crc`` is the checksum of the bytes, if :meth:`checksum` has computed it already.
        """
        # All that decode() would raise is found: the lengths of strings are checked on the way, and last a
        # shape that NumPy does not have.
        entry = self.entry
        try:
            self._compare(self._stream() if crc is None else crc)
            check_shape(entry.shape, entry.dtype)
        except UnsupportedError as error:
            raise error.at(self.order.index_file, label=f"tensor {label_of(entry)}") from None
        except CorruptError as error:
            raise error.at(self.file.name, self.offset) from None

    def checksum(self) -> int:
        """Compute the checksum in bounded memory; raises what :meth:`decode` does, except ChecksumError."""
        try:
            return self._stream()
        except CorruptError as error:
            raise error.at(self.file.name, self.offset) from None

    def _stream(self) -> int:
        return self._stream_numbers() if self.entry.dtype.itemsize is not None else self._stream_decoded()

    def _stream_numbers(self) -> int:
        """Return the checksum of elements of a fixed size."""
        pieces = list(cut(self.offset, self.size))
        crcs = in_threads(lambda piece: stream_crc(self.file, *piece), pieces, default_threads())
        return combine_all(zip(crcs, (size for _, size in pieces), strict=True))

    def _stream_decoded(self) -> int:
        """Return the checksum of strings or variants, whose own lengths and checksums are verified first."""
        # A view if the file is mapped: only the lengths at its beginning are decoded, and the strings after
        # them are streamed.
        data = self.read()
        if self.entry.dtype.storage is Storage.VARIANT:
            return check_variants(data, self.entry.shape)
        start, crc = check_strings(data, self.entry.shape, big_endian=self.order.big_endian)
        return stream_crc(self.file, self.offset + start, self.size - start, crc)


class SlicePlaces(NamedTuple):
    """The places of all slices of a tensor, whose bytes are those of arrays; an item for each slice."""

    files: dict[int, RandomAccessFile]
    """The data files that hold them, by number."""
    shards: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    crcs: np.ndarray


def label_of(entry: Entry) -> str:
    """Return what errors call an entry: the name of the tensor and, for a slice, its extents."""
    try:
        name, part = decode_slice_key(key_of(entry.name))
    except CorruptError:
        return repr(entry.name)
    return f"{name_of(name)!r}, slice {part}"
