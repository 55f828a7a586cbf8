"""Types of HDF5 datasets: which dtype of TensorFlow each is, and whether NumPy has its bytes as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ckptfmt.converting.sources.hdf5.heap import PLACES
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.converting.sources.source import UNREADABLE
from ckptfmt.dtypes import DType, as_dtype

STRING = as_dtype("string")

_FLOATS = {
    (2, (15, 7, 8, 0, 7), 127): "bfloat16",
    (1, (7, 3, 4, 0, 3), 7): "float8_e4m3fn",
    (1, (7, 2, 5, 0, 2), 15): "float8_e5m2",
}
"""Floats that NumPy lacks, by their bytes, their fields as ``H5Tget_fields`` returns them, and their bias.

HDF5 2.0 has them as predefined types. h5py would widen them to float32.
"""

_CLASSES = {
    h5py.h5t.TIME: "times",
    h5py.h5t.BITFIELD: "bit fields",
    h5py.h5t.OPAQUE: "opaque bytes",
    h5py.h5t.COMPOUND: "compounds of several fields",
    h5py.h5t.REFERENCE: "references",
    h5py.h5t.VLEN: "sequences",
    h5py.h5t.ARRAY: "arrays",
}

_NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.COMPOUND)
"""Classes of types that depend on nothing but themselves."""

_MOST_KNOWN = 16
"""The most types that are compared with that of each dataset."""


class StoredType(NamedTuple):
    """How the elements of a dataset are stored."""

    dtype: DType
    """TensorFlow's dtype; :data:`UNREADABLE` if it has none."""
    element: np.dtype[Any] | None = None
    """NumPy's dtype of the stored bytes, in their byte order; None if HDF5 has to convert them."""
    what: str = ""
    """What elements without a dtype are, in the plural."""

    @property
    def has_heap(self) -> bool:
        """Whether elements are of any length: the dataset holds their places in heaps of the file."""
        return self.dtype is STRING and (self.element is None or self.element == PLACES)


class StoredTypes:
    """The types of the datasets of one file; most datasets share a few."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, StoredType]] = []

    def of(self, dataset: Any) -> StoredType:  # noqa: ANN401  (h5py.h5d.DatasetID)
        """Return how the elements of an open dataset are stored."""
        stored = dataset.get_type()
        # HDF5 compares two types in a fraction of the time that a look at one takes.
        for known, result in self._known:
            if stored == known:
                return result
        result = _stored_type(dataset, stored)
        if stored.get_class() in _NUMBERS and len(self._known) < _MOST_KNOWN:
            self._known.append((stored, result))
        return result


def _stored_type(dataset: Any, stored: Any) -> StoredType:  # noqa: ANN401  (h5py.h5d.DatasetID, h5py.h5t.TypeID)
    kind = stored.get_class()
    if kind == h5py.h5t.STRING:
        if stored.is_variable_str():
            return _places(dataset)
        return StoredType(STRING, np.dtype(f"S{stored.get_size()}"))
    if kind == h5py.h5t.VLEN:
        return _sequences(dataset, stored)
    if kind == h5py.h5t.OPAQUE:
        return _opaque(dataset, stored)
    if kind == h5py.h5t.FLOAT:
        name = _FLOATS.get((stored.get_size(), stored.get_fields(), stored.get_ebias()))
        if name is not None:
            return _bits(name, is_big_endian=stored.get_order() == h5py.h5t.ORDER_BE)
    return _numbers(stored, kind)


def _numbers(stored: Any, kind: int) -> StoredType:  # noqa: ANN401  (h5py.h5t.TypeID)
    what = _CLASSES.get(kind, f"numbers of {8 * stored.get_size()} bits")
    if kind not in _NUMBERS:
        return StoredType(UNREADABLE, what=what)
    try:
        numpy = stored.dtype
        # Complex numbers are compounds, and bools are enums, by a convention of h5py.
        dtype = as_dtype(numpy.newbyteorder("=")) if numpy.kind in "biufc" else UNREADABLE
        is_same = stored == h5py.h5t.py_create(numpy, logical=True)
    except (TypeError, ValueError):
        return StoredType(UNREADABLE, what=what)  # such as floats of 128 bits
    if kind == h5py.h5t.FLOAT and not is_same:
        return StoredType(UNREADABLE, what=what)  # h5py would read them as the next wider ones
    return StoredType(dtype, np.dtype(numpy.str) if is_same else None, what)


def _bits(name: str, *, is_big_endian: bool) -> StoredType:
    dtype = as_dtype(name)
    size = dtype.numpy.itemsize
    return StoredType(dtype, np.dtype(f"{'>' if is_big_endian else '<'}u{size}"))


def _places(dataset: Any) -> StoredType:  # noqa: ANN401
    # How many bytes addresses and lengths have is a property of the file: 8 unless its writer chose.
    sizes = h5py.h5i.get_file_id(dataset).get_create_plist().get_sizes()
    return StoredType(STRING, PLACES if sizes == (8, 8) else None)


def _sequences(dataset: Any, stored: Any) -> StoredType:  # noqa: ANN401
    """Return sequences of bytes as strings: h5py has no other way to store strings that hold a NUL."""
    element = stored.get_super()
    if element.get_class() == h5py.h5t.INTEGER and element.get_size() == 1:
        return _places(dataset)
    return StoredType(UNREADABLE, what=_CLASSES[h5py.h5t.VLEN])


def _opaque(dataset: Any, stored: Any) -> StoredType:  # noqa: ANN401
    """Return two opaque bytes as bfloat16 if they have an attribute ``dtype``, as Keras 3 writes it.

    Keras writes this attribute for no other dtype, and its text is in a heap, where a hostile file can make
    HDF5 loop forever; so it is not read.
    """
    if stored.get_size() == 2 and h5py.h5a.exists(dataset, b"dtype"):
        return _bits("bfloat16", is_big_endian=False)
    return StoredType(UNREADABLE, what=_CLASSES[h5py.h5t.OPAQUE])
