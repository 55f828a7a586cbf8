"""HDF5: every dataset of a file by its path, and weights of Keras 2 by the names that Keras gave them.

A dataset that is stored in one piece is a view of the mapped file. What HDF5's own code reads, it reads
through a file object, so any file system will do, and no file is locked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import Region, region_shape, whole, within
from ckptfmt.converting.sources.hdf5.attributes import string_attributes
from ckptfmt.converting.sources.hdf5.chunks import Chunks, find_chunks
from ckptfmt.converting.sources.hdf5.datasets import Dataset, find_datasets
from ckptfmt.converting.sources.hdf5.heap import PLACES, Heaps
from ckptfmt.converting.sources.hdf5.library import errors_of_h5py, h5py
from ckptfmt.converting.sources.hdf5.names import names_of
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.errors import CkptfmtError, LimitError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.stream import InputStream
from ckptfmt.wire.buffers import memory_size


class HDF5Source:
    """The datasets of an HDF5 file; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "hdf5"

    def __init__(self, file: RandomAccessFile, limits: Limits, *, path: str | None = None) -> None:
        """Take an open file, which is closed with this, and the path that a user gave for it."""
        self.path = file.name if path is None else path
        self._file = file
        self._limits = limits
        with errors_of_h5py(self.path, "not an HDF5 file that h5py can read"):
            self._h5 = h5py.File(InputStream(file), "r")
            root = self._h5["/"].id
            contents = find_datasets(root, limits, file)
            self._datasets: Mapping[str, Dataset] = names_of(root, contents)
            self._base = int(self._h5.id.get_create_plist().get_userblock())
        self._heaps = Heaps(file, self._base)
        self._chunks_of: tuple[bytes | None, Chunks | None] = None, None
        self.tensors = {
            name: Stored(each.type.dtype, each.shape, _nbytes(each)) for name, each in self._datasets.items()
        }

    def attributes(self, group: str = "/") -> dict[str, list[bytes]]:
        """Return the attributes of a group that are strings or lists of these; none without it."""
        with errors_of_h5py(self.path, f"group {group!r}"):
            path = group.encode("utf-8", "surrogateescape")
            if path != b"/" and path not in self._h5["/"].id:
                return {}
            address = h5py.h5o.get_info(h5py.h5o.open(self._h5.id, path)).addr
        return string_attributes(self._file, address, self._base, self._heaps)

    @property
    def by_path(self) -> dict[str, str]:
        """The name of each tensor by the path of its dataset."""
        return {each.path.decode("utf-8", "surrogateescape"): name for name, each in self._datasets.items()}

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it."""
        dataset = self._datasets[name]
        if dataset.problem is not None:
            raise UnsupportedError(f"tensor {name!r}: {dataset.problem}", file=self.path)
        area = whole(dataset.shape) if region is None else region
        try:
            if dataset.offset is not None and dataset.type.element is not None:
                return self._contiguous(dataset, dataset.offset, dataset.type.element, area)
            return self._assembled(name, dataset, area)
        except CkptfmtError as error:
            raise error.at(self.path, label=f"tensor {name!r}") from None

    def _contiguous(self, dataset: Dataset, offset: int, element: np.dtype[Any], area: Region) -> Array:
        shape = dataset.shape
        size = math.prod(shape) * element.itemsize
        if area and size and not self._file.has_views:
            # Only the rows that the region touches are read.
            first, last = area[0][0], max(area[0])
            row = size // shape[0]
            offset, size, shape = offset + first * row, (last - first) * row, (last - first, *shape[1:])
            area = ((0, last - first), *area[1:])
        data = self._file.read(offset, size)
        at = within(area, whole(shape))
        if dataset.type.dtype.name == "string":
            return self._finished(dataset, np.ndarray(shape, element, data)[at])
        is_big_endian = element.byteorder == ">"
        return decode_raw(data, dataset.type.dtype, shape, big_endian=is_big_endian, at=at)

    def _assembled(self, name: str, dataset: Dataset, area: Region) -> Array:
        """Return a region of a dataset that is in chunks, or that HDF5 has to convert."""
        shape, element = region_shape(area), dataset.type.element
        stored = min(dataset.size, self._file.size)
        with errors_of_h5py(self.path, f"tensor {name!r}"):
            opened = h5py.h5o.open(self._h5.id, b"/" + dataset.path)
            itemsize = dataset.type.dtype.numpy.itemsize if element is None else element.itemsize
            self._limits.check_bytes("bytes", math.prod(shape) * itemsize, stored, file=self.path)
            chunks = self._chunks(opened, dataset, itemsize, stored)
            if element is None or (dataset.type.has_heap and dataset.size and chunks is None):
                return self._finished(dataset, _converted(opened, area))
            values = _zeros(shape, element)
            if values.size:
                _fill(opened, values)
                if chunks is not None:
                    chunks.read(values, area, dataset.shape)
                elif dataset.size:
                    _read_stored(opened, area, values)
        return self._finished(dataset, values)

    def _chunks(
        self,
        opened: Any,  # noqa: ANN401  (h5py.h5d.DatasetID)
        dataset: Dataset,
        itemsize: int,
        stored: int,
    ) -> Chunks | None:
        """Return the chunks of a dataset; None if it has none, or if HDF5 has to read them."""
        plist = opened.get_create_plist()
        if plist.get_layout() != h5py.h5d.CHUNKED:
            return None
        nominal = math.prod(plist.get_chunk()) * itemsize
        self._limits.check_bytes("bytes of a chunk", nominal, stored, file=self.path)
        # A tensor that is read piece by piece has its chunks listed once.
        path, chunks = self._chunks_of
        if path != dataset.path:
            chunks = find_chunks(opened, dataset.shape)
            self._chunks_of = dataset.path, chunks
        return chunks

    def _finished(self, dataset: Dataset, values: Array) -> Array:
        """Return stored elements as those of TensorFlow's dtype."""
        dtype = dataset.type.dtype
        if dtype.name == "string":
            return read_only(self._heaps.strings(values) if values.dtype == PLACES else _as_bytes(values))
        if dtype.name == "bool":
            return read_only(np.asarray(values.view(np.uint8) != 0))
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        is_same = native.dtype == dtype.numpy
        return read_only(native if is_same or dtype.numpy.kind != "V" else native.view(dtype.numpy))

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        dataset = self._datasets[name]
        if dataset.offset is not None:
            self._file.release(dataset.offset, min(dataset.size, max(0, self._file.size - dataset.offset)))

    def close(self) -> None:
        """Close the file."""
        self._h5.close()
        self._file.close()


def _nbytes(dataset: Dataset) -> int:
    element = dataset.type.element
    if dataset.problem is not None or element is None or element == PLACES:
        return dataset.size
    return math.prod(dataset.shape) * element.itemsize


def _converted(opened: Any, area: Region) -> Array:  # noqa: ANN401  (h5py.h5d.DatasetID)
    """Return a region as h5py has it."""
    index = tuple(slice(start, stop) for start, stop in area)
    return np.asarray(h5py.Dataset(opened)[index])


def _fill(opened: Any, values: Array) -> None:  # noqa: ANN401
    """Fill an array of zeros with the value of what is not stored, if that is another."""
    plist = opened.get_create_plist()
    if values.dtype != PLACES and plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        # HDF5 converts to the dtype it is asked for, and does not know bfloat16 and the like.
        fill: Array = np.zeros((), h5py.Dataset(opened).dtype)
        plist.get_fill_value(fill)
        values[...] = fill


def _read_stored(opened: Any, area: Region, values: Array) -> None:  # noqa: ANN401
    """Fill an array with the elements of a region as they are stored."""
    space = opened.get_space()
    memory = h5py.h5s.create_simple(values.shape) if area else h5py.h5s.create(h5py.h5s.SCALAR)
    if area:
        space.select_hyperslab(tuple(start for start, _ in area), values.shape)
    # Asked for the type that is stored, HDF5 converts nothing.
    opened.read(memory, space, values.view(f"V{values.dtype.itemsize}"), opened.get_type())


def _as_bytes(values: Array) -> Array:
    """Return an object array of the ``bytes`` of strings as h5py has them."""
    strings: Array = values.astype(object)
    flat = strings.reshape(-1)
    for index, value in enumerate(flat):
        flat[index] = bytes(value)
    return strings


def _zeros(shape: Shape, element: np.dtype[Any]) -> Array:
    """Return new memory that is not what another array was: HDF5 leaves values that are not stored alone."""
    try:
        return np.zeros(shape, element)
    except MemoryError as error:
        size = math.prod(shape) * element.itemsize
        raise LimitError("bytes of memory", limit=memory_size(), asked=size) from error


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open an HDF5 file."""
    return open_hdf5(fs.open(path), limits)


def open_hdf5(file: RandomAccessFile, limits: Limits, path: str | None = None) -> HDF5Source:
    """Return the tensors of an open file, which is closed after an error."""
    try:
        return HDF5Source(file, limits, path=path)
    except BaseException:
        file.close()
        raise
