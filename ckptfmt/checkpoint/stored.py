"""Stored bytes: where those of one entry of a bundle lie, whether they are intact, and the array they make.

An entry names a stretch of a data file. For most dtypes the stretch holds the elements in C order, and the
array is a view of it; strings and variants have lengths and checksums of their own among their bytes.
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
    """How a bundle stores numbers, and the index that says so."""

    big_endian: bool
    index_file: str
    """The index, for errors about what only it says."""

    def is_plain(self, entry: Entry) -> bool:
        """Return whether the stored bytes of an entry are those of its array, to be viewed as they are.

        A bool may be stored as any byte but is 0 or 1 in an array; types of less than 8 bits are
        sign-extended.
        """
        dtype = entry.dtype
        is_native = self.big_endian is (sys.byteorder == "big") or dtype.itemsize == 1
        return not entry.slices and dtype.storage is Storage.FIXED and dtype.name != "bool" and is_native


class StoredBytes(NamedTuple):
    """The bytes of one entry, which is that of a whole tensor or of one slice."""

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
        """Return the array in ``data``, the bytes as they were read, or the part ``at`` of it.

        Raises
        ------
        ChecksumError
            The bytes are to be verified, and their checksum is not that of the entry.
        CorruptError
            They do not hold elements of the entry's dtype and shape.
        UnsupportedError
            NumPy has no array of that shape.
        """
        dtype, shape = self.entry.dtype, self.entry.shape
        big_endian = self.order.big_endian
        try:
            if dtype.itemsize is not None:
                # Before decoding: damage is the cause of whatever decoding would find wrong.
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
        """Raise ChecksumError unless a checksum is that of the entry."""
        try:
            self._compare(crc)
        except ChecksumError as error:
            raise error.at(self.file.name, self.offset) from None

    def _compare(self, crc: int) -> None:
        if crc != self.entry.crc32c:
            what = f"tensor {label_of(self.entry)}: checksum mismatch"
            raise ChecksumError(what, stored=self.entry.crc32c or 0, computed=crc)

    def check(self) -> None:
        """Verify the checksum in bounded memory: no array is made; errors as of :meth:`decode`."""
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
        """The checksum of strings or variants, after their own lengths and checksums have been verified."""
        data = self.read()
        if self.entry.dtype.storage is Storage.VARIANT:
            return check_variants(data, self.entry.shape)
        start, crc = check_strings(data, self.entry.shape, big_endian=self.order.big_endian)
        return stream_crc(self.file, self.offset + start, self.size - start, crc)


class _View(NamedTuple):
    """How entries of one dtype and shape are viewed."""

    dtype: np.dtype[np.generic] | None
    """Type of the array over their bytes; None if they have to be decoded."""
    nbytes: int
    """Bytes that they take."""


def decode_run(
    entries: Sequence[Entry],
    data: memoryview,
    start: int,
    order: ByteOrder,
    place: Callable[[Entry], StoredBytes],
    to_verify: Callable[[str], bool],
) -> list[Array]:
    """Return the arrays of many entries whose bytes lie in ``data``, which begins at offset ``start``.

    What :meth:`StoredBytes.decode` does for each of them, but without a call for each: with 100,000 small
    tensors, calls are most of the time. Entries of one dtype and shape share what there is to find out about
    them. ``place`` is asked only about an entry that is damaged or has to be decoded.
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
            array = place(entry).decode(data[at : at + nbytes], verify=to_verify(name))
        else:
            if to_verify(name) and (computed := crc32c(data[at : at + nbytes])) != crc:
                place(entry).compare(computed)
            array = np.ndarray(shape, view.dtype, data, at)
        arrays.append(array)
    return arrays


def _view(entry: Entry, order: ByteOrder) -> _View:
    if order.is_plain(entry):
        with suppress(UnsupportedError):  # decoding raises it again, with the name of the tensor
            check_shape(entry.shape, entry.dtype)
            return _View(entry.dtype.numpy, expected_size(entry.dtype, entry.shape) or 0)
    return _View(None, 0)


def label_of(entry: Entry) -> str:
    """Return what errors call an entry: the name of the tensor, and the slice if it is that of one."""
    try:
        name, part = decode_slice_key(key_of(entry.name))
    except CorruptError:
        return repr(entry.name)
    return f"{name_of(name)!r}, slice {part}"
