"""zarr: groups and arrays of versions 2 and 3, in a directory, a zip archive or a reference file.

A tensor's name is the path of its array in the hierarchy. If the root is an array itself, its name is that of
the file without its suffix. The library ``zarr`` decodes the chunks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.raw import extend_low_bits
from ckptfmt.arrays.shape import check_shape
from ckptfmt.checkpoint.slices import Region, region_shape, whole
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.converting.sources.zarr.arrays import ArrayHead, find_arrays
from ckptfmt.converting.sources.zarr.keys import name_of_key
from ckptfmt.converting.sources.zarr.library import read_region
from ckptfmt.converting.sources.zarr.references import ReferenceTree
from ckptfmt.converting.sources.zarr.slices import SLICE_OF, SlicedTensor, put_together, whole_name
from ckptfmt.converting.sources.zarr.tree import DirectoryTree, Tree, ZipTree
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem


class ZarrSource:
    """The arrays of a zarr hierarchy; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "zarr"

    def __init__(self, path: str, tree: Tree, arrays: Iterable[ArrayHead], limits: Limits) -> None:
        self.path = path
        self._tree = tree
        self._limits = limits
        self._arrays: dict[str, ArrayHead | SlicedTensor] = {}
        slices: dict[str, list[ArrayHead]] = {}
        for head in arrays:
            name = name_of_key(head.key, head.metadata["attributes"]) if head.key else _stem(path)
            if SLICE_OF in head.metadata["attributes"]:
                slices.setdefault(whole_name(name), []).append(head)
            else:
                self._add(name, head)
        for name, heads in slices.items():
            self._add(name, put_together(name, heads, path))
        self.tensors = {
            name: Stored(dtype := _dtype_of(each), each.shape, (dtype.itemsize or 0) * math.prod(each.shape))
            for name, each in self._arrays.items()
        }

    def _add(self, name: str, array: ArrayHead | SlicedTensor) -> None:
        if name in self._arrays:
            raise CorruptError(f"two arrays have the name {name!r}", file=self.path)
        self._arrays[name] = array

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor or a region of it, decoded from the chunks that it touches."""
        array = self._arrays[name]
        asked = whole(array.shape) if region is None else region
        if isinstance(array, SlicedTensor):
            return read_only(array.read(asked, self._read_array))
        return self._read_array(array, asked)

    def _read_array(self, head: ArrayHead, asked: Region) -> Array:
        shape = region_shape(asked)
        try:
            check_shape(head.shape, head.dtype)
        except UnsupportedError as error:
            raise error.at(self._tree.locate(head.key)) from None
        array = read_region(self._tree, head, asked, self._limits)
        if head.dtype == "string":
            return read_only(_as_bytes(array, shape))
        array = np.ascontiguousarray(array).reshape(shape)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if head.dtype.storage is Storage.LOW_BITS:
            return read_only(extend_low_bits(array.view(np.uint8), head.dtype))
        return read_only(array.view(head.dtype.numpy))

    def release(self, name: str) -> None:
        """Do nothing: files are open only while they are read."""

    def close(self) -> None:
        """Close the archive, if it is one."""
        self._tree.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open a zarr hierarchy: a directory, its metadata file, a zip archive, or a reference file."""
    if os.path.basename(path) in ("zarr.json", ".zarray", ".zgroup"):
        path = os.path.dirname(path) or os.curdir
    tree = _open_tree(fs, path, limits)
    try:
        return ZarrSource(path, tree, find_arrays(tree, limits), limits)
    except BaseException:
        tree.close()
        raise


def _open_tree(fs: Filesystem, path: str, limits: Limits) -> Tree:
    if fs.path_type(path) == "directory":
        return DirectoryTree(fs, path)
    file = fs.open(path)
    try:
        if bytes(file.read(0, min(2, file.size))) == b"PK":
            return ZipTree(file, limits)
    except BaseException:
        file.close()
        raise
    file.close()
    return ReferenceTree(fs, path, limits)


def _dtype_of(array: ArrayHead | SlicedTensor) -> DType:
    return array.heads[0].dtype if isinstance(array, SlicedTensor) else array.dtype


def _stem(path: str) -> str:
    """Return the name of an array that is all of a file."""
    name = os.path.basename(os.path.abspath(path))
    for suffix in (".zip", ".zarr"):
        name = name.removesuffix(suffix) or name
    return name


def _as_bytes(array: Array, shape: tuple[int, ...]) -> Array:
    """Return strings of any of NumPy's dtypes as objects, as checkpoints have them."""
    result = np.empty(shape, object)
    flat = result.reshape(-1)
    for number, value in enumerate(array.reshape(-1).tolist()):
        flat[number] = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return result
