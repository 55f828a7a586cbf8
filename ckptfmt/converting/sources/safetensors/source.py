"""safetensors: one file, or several that an ``.index.json`` names.

Tensors of dtypes that TensorFlow lacks are listed, and reading one is refused. Arrays are views of the
mapped file. The package ``safetensors`` is not needed: its ``numpy`` face copies each
tensor, and has no bfloat16 or float8 without torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.converting.sources.safetensors.header import Extent, read_safetensors_header
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX, read_index
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem

Place: TypeAlias = "tuple[RandomAccessFile, int, Extent]"
"""A file, the offset in it from which extents count, and the extent of a tensor."""


class SafetensorsSource:
    """The tensors of safetensors files; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "safetensors"

    def __init__(self, path: str, places: Mapping[str, Place], files: Sequence[RandomAccessFile]) -> None:
        self.path = path
        self.tensors = {
            name: Stored(extent.dtype, extent.shape, extent.stop - extent.start)
            for name, (_, _, extent) in places.items()
        }
        self._places = places
        self._files = files

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it; of a file that is not mapped, only the rows are read."""
        file, start, extent = self._places[name]
        if extent.refused:
            raise UnsupportedError(
                f"tensor {name!r}: {extent.refused}", file=file.name, offset=start + extent.start
            )
        shape = extent.shape
        offset, size = start + extent.start, extent.stop - extent.start
        at = None if region is None else within(region, whole(shape))
        if region and size and not file.has_views:
            first, last = region[0]
            row = size // shape[0]
            offset, size, shape = (
                offset + first * row,
                max(0, last - first) * row,
                (max(0, last - first), *shape[1:]),
            )
            at = within(region, ((first, max(first, last)), *whole(extent.shape)[1:]))
        return decode_raw(file.read(offset, size), extent.dtype, shape, at=at)

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        file, start, extent = self._places[name]
        file.release(start + extent.start, extent.stop - extent.start)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open a safetensors file, or all that an index names."""
    weights = read_index(fs, path) if path.endswith(INDEX_SUFFIX) else None
    directory = os.path.dirname(path)
    paths = (
        [path] if weights is None else [os.path.join(directory, n) for n in dict.fromkeys(weights.values())]
    )
    places: dict[str, Place] = {}
    files: list[RandomAccessFile] = []
    try:
        for each in paths:
            files.append(fs.open(each))
            header = read_safetensors_header(files[-1])
            here = {name: (files[-1], header.start, extent) for name, extent in header.tensors.items()}
            if weights is not None:
                _check_listed(weights, path, os.path.basename(each), here)
            places |= here
    except BaseException:
        for file in files:
            file.close()
        raise
    # In the order of the index.
    ordered = places if weights is None else {name: places[name] for name in weights}
    return SafetensorsSource(path, ordered, files)


def _check_listed(weights: Mapping[str, str], index: str, name: str, here: Mapping[str, Place]) -> None:
    """Raise CorruptError unless a file holds the tensors that the index says, and no others."""
    listed = {tensor for tensor, file in weights.items() if file == name}
    if listed != here.keys():
        tensor = min(listed ^ here.keys())
        what = "is not in the file" if tensor in listed else "is not in the index"
        raise CorruptError(f"tensor {tensor!r} of {name} {what}", file=index)
