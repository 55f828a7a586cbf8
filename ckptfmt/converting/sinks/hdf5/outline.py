"""HDF5 files without the values in them, so that these can be streamed into their places.

h5py writes here and there in a file, and can write into memory. If the space of all datasets is reserved but
not filled, what it writes is all but the values, and it tells where those belong. So a file of any size is
written from its beginning to its end, into an archive too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.storage.stream import SeekableStream

ALIGNMENT = 64
"""Offsets of values are multiples of this, so that mapped arrays are aligned for every processor."""

_PAGE = 4096
"""Bytes of memory for each page that h5py writes to."""


class Outline(SeekableStream):
    """A file in memory that keeps only the pages that were written to; all others are zeros."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}

    def writable(self) -> bool:
        """Return True."""
        return True

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Write bytes at the position."""
        view = memoryview(data).cast("B")
        for page, start, stop, at in _pieces(self._position, view.nbytes):
            kept = self._pages.setdefault(page, bytearray(_PAGE))
            kept[start:stop] = view[at : at + stop - start]
        self._position += view.nbytes
        self.size = max(self.size, self._position)
        return view.nbytes

    def readinto(self, out: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Fill a buffer as far as the file goes."""
        view = memoryview(out).cast("B")
        size = max(0, min(view.nbytes, self.size - self._position))
        at = 0
        for piece in self.between(self._position, self._position + size):
            view[at : at + len(piece)] = piece
            at += len(piece)
        self._position += size
        return size

    def between(self, start: int, stop: int) -> Iterator[bytes]:
        """Iterate over the bytes between two offsets."""
        for page, first, last, _ in _pieces(start, stop - start):
            kept = self._pages.get(page)
            yield bytes(last - first) if kept is None else bytes(kept[first:last])


def _pieces(offset: int, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a stretch at the borders of pages: page, first and last byte in it, and how many came before."""
    done = 0
    while done < size:
        page, start = divmod(offset + done, _PAGE)
        stop = min(_PAGE, start + size - done)
        yield page, start, stop, done
        done += stop - start


def reserve(group: Any, name: str, tensor: Outgoing) -> int | None:  # noqa: ANN401  (h5py.Group)
    """Add a dataset without values; return the offset at which they belong, None if it has none."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # so that the same tensors make the same bytes
    space = h5py.h5s.create_simple(tensor.shape) if tensor.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(tensor.dtype.numpy.newbyteorder("<"), logical=True)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space, properties)
    offset: int | None = dataset.get_offset()
    return offset if tensor.nbytes else None
