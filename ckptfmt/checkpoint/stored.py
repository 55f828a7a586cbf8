"""Stored bytes: where the bytes of a bundle's entry lie, whether they are intact, and the array they make.

An entry names a stretch of a data file. For most dtypes the stretch holds the elements in C order, and the
array is a view of it. Strings and variants have lengths and checksums of their own among their bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.arrays.shape import Shape, check_shape, expected_size
from ckptfmt.checkpoint.entry import Entry, key_of, name_of
from ckptfmt.checkpoint.slices import decode_slice_key
from ckptfmt.checkpoint.strings import check_strings, check_variants, decode_strings, decode_variants
from ckptfmt.dtypes import Storage
from ckptfmt.errors import ChecksumError, CorruptError, UnsupportedError
from ckptfmt.storage.file import RandomAccessFile, stream_crc
from ckptfmt.wire.crc32c import combine_all, crc32c, crc32c_in_threads
from ckptfmt.wire.threads import cut, default_threads, in_threads


class ByteOrder(NamedTuple):
    """The byte order of a bundle, and the index that says so."""

    big_endian: bool
    index_file: str
    """The index, the place of errors about what only it says."""

    def is_plain(self, entry: Entry) -> bool:
        """Return whether the stored bytes of an entry are the bytes of its array, so that it can be a view.

        A bool may be stored as any byte but is 0 or 1 in an array, and types of less than 8 bits are
        sign-extended: these are decoded.
        """
        dtype = entry.dtype
        is_native = self.big_endian is (sys.byteorder == "big") or dtype.itemsize == 1
        return not entry.slices and dtype.storage is Storage.FIXED and dtype.name != "bool" and is_native


class StoredBytes(NamedTuple):
    """The bytes of one entry, that of a whole tensor or of a slice."""

    entry: Entry
    file: RandomAccessFile
    offset: int
    size: int
    order: ByteOrder

    def read(self) -> memoryview:
        """Return the bytes; errors as of :meth:`RandomAccessFile.read`."""
        return self.file.read(self.offset, self.size)

    def decode(
        self, data: memoryview, *, verify: bool = False, at: Box | None = None, threads: int | None = None
    ) -> Array:
        """Return the array in ``data``, the bytes that were read, or the part ``at`` of it.

        Raises
        ------
        ChecksumError
            ``verify`` is true, and the checksum of the bytes is not that of the entry.
        CorruptError
            They do not hold elements of the entry's dtype and shape.
        UnsupportedError
            NumPy cannot make an array of that shape.
        """
        dtype, shape = self.entry.dtype, self.entry.shape
        big_endian = self.order.big_endian
        try:
            if dtype.itemsize is not None:
                # Verify first: damage is the cause of anything wrong that decoding would find.
                if verify:
                    self._compare(crc32c_in_threads(data, threads))
                return decode_raw(data, dtype, shape, big_endian=big_endian, at=at)
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
            raise error.at(self.file.name, self.offset) from None

    def compare(self, crc: int) -> None:
        """Raise ChecksumError if a checksum is not that of the entry."""
        try:
            self._compare(crc)
        except ChecksumError as error:
            raise error.at(self.file.name, self.offset) from None

    def _compare(self, crc: int) -> None:
        if crc != self.entry.crc32c:
            what = f"tensor {label_of(self.entry)}: checksum mismatch"
            raise ChecksumError(what, stored=self.entry.crc32c or 0, computed=crc)

    def check(self) -> None:
        """Verify the checksum in bounded memory, without making an array; errors as of :meth:`decode`."""
        entry = self.entry
        try:
            if entry.dtype.itemsize is None:
                crc = self._check_decoded()
            else:
                pieces = list(cut(self.offset, self.size))
                crcs = in_threads(lambda piece: stream_crc(self.file, *piece), pieces, default_threads())
                crc = combine_all(zip(crcs, (size for _, size in pieces), strict=True))
            self._compare(crc)
            check_shape(entry.shape, entry.dtype)
        except UnsupportedError as error:
            raise error.at(self.order.index_file, label=f"tensor {label_of(entry)}") from None
        except CorruptError as error:
            raise error.at(self.file.name, self.offset) from None

    def _check_decoded(self) -> int:
        """Verify the lengths and checksums inside strings or variants; return the checksum of all bytes."""
        data = self.read()
        if self.entry.dtype.storage is Storage.VARIANT:
            return check_variants(data, self.entry.shape)
        start, crc = check_strings(data, self.entry.shape, big_endian=self.order.big_endian)
        return stream_crc(self.file, self.offset + start, self.size - start, crc)


class _View(NamedTuple):
    """The array that entries of one dtype and shape have in common."""

    dtype: np.dtype[np.generic] | None
    """NumPy dtype of a view of their bytes; None if they must be decoded."""
    nbytes: int
    """Stored bytes of each."""


def decode_run(
    entries: Sequence[Entry],
    data: memoryview,
    start: int,
    order: ByteOrder,
    locate: Callable[[Entry], StoredBytes],
    to_verify: Callable[[str], bool],
) -> list[Array]:
    """Return the arrays of many entries whose bytes lie in ``data``, which begins at offset ``start``.

    This does what :meth:`StoredBytes.decode` does, but without a call for each entry: with 100,000 small
    tensors, calls take most of the time. Whether an array can be a view depends only on dtype and shape, so
    it is found out once for each pair. ``locate`` is called only for an entry that is damaged or must be
    decoded.
    """
    views: dict[tuple[int, Shape], _View] = {}
    arrays: list[Array] = []
    for entry in entries:
        name, dtype, shape, nbytes, _, offset, crc, _ = entry
        assert offset is not None
        at = offset - start
        key = dtype.code, shape
        view = views.get(key)
        if view is None:
            view = views[key] = _view(entry, order)
        if view.dtype is None or nbytes != view.nbytes:
            array = locate(entry).decode(data[at : at + nbytes], verify=to_verify(name))
        else:
            if to_verify(name) and (computed := crc32c(data[at : at + nbytes])) != crc:
                locate(entry).compare(computed)
            array = np.ndarray(shape, view.dtype, data, at)
        arrays.append(array)
    return arrays


def _view(entry: Entry, order: ByteOrder) -> _View:
    if order.is_plain(entry):
        with suppress(UnsupportedError):  # decoding raises it again, with the tensor's name
            check_shape(entry.shape, entry.dtype)
            return _View(entry.dtype.numpy, expected_size(entry.dtype, entry.shape) or 0)
    return _View(None, 0)


def label_of(entry: Entry) -> str:
    """Return the name of an entry for errors: the tensor's, with the slice if it is that of one."""
    try:
        name, part = decode_slice_key(key_of(entry.name))
    except CorruptError:
        return repr(entry.name)
    return f"{name_of(name)!r}, slice {part}"
