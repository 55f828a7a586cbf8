"""Reading part of a tensor by a NumPy index."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Index, Selection, select
from ckptfmt.dtypes import DType
from ckptfmt.notebook.page import to_html


class SliceSource(Protocol):
    """The one tensor that a :class:`SliceReader` reads from."""

    def read(self, selection: Selection) -> Array:
        """Return what a selection takes; checksums of pieces taken in part are not verified."""

    def is_verified(self, selection: Selection) -> bool:
        """Return whether :meth:`read` verifies the checksums of everything that it reads."""


class SliceReader:
    """Reads parts of one tensor by NumPy's indices: integers, slices with steps, lists, masks, an ellipsis.

    Only the stored slices that meet the index are touched, and of a mapped file only the pages that hold the
    elements taken. A checksum covers a stored piece as a whole, so it is verified if the index takes all of
    the piece and not if it takes part of it (:meth:`is_verified` tells which); read the whole tensor if that
    matters.

    A reader that is unpickled opens the files again, as a checkpoint does.
    """

    def __init__(self, entry: Entry, source: SliceSource) -> None:
        self.entry = entry
        """What the index says about the tensor."""
        self._source = source

    @property
    def name(self) -> str:
        """Name of the tensor in the mapping that the reader comes from."""
        return self.entry.name

    @property
    def shape(self) -> Shape:
        """Shape of the whole tensor."""
        return self.entry.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions of the whole tensor."""
        return len(self.entry.shape)

    @property
    def size(self) -> int:
        """Number of elements of the whole tensor."""
        return math.prod(self.entry.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor; for strings, the bytes they take in the data files."""
        return self.entry.nbytes

    @property
    def dtype(self) -> DType:
        """Dtype of the tensor."""
        return self.entry.dtype

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar has no length")
        return self.shape[0]

    def __getitem__(self, index: Index) -> Array:
        """Return the part at ``index`` as a read-only array, as ``array[index]`` would be.

        At most one dimension may be indexed by a list of positions or a mask of bools.

        Raises
        ------
        IndexError
            Too many indices, one outside the tensor, a mask of another size, or several lists.
        TypeError
            An index that is not an integer, slice, list, mask or ellipsis.
        """
        selection, local = select(index, self.shape, self.entry.name)
        return read_only(self._source.read(selection)[local])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: ANN401  (as NumPy calls it)
        """Return the whole tensor: ``np.asarray(reader)``."""
        array = self[...]
        wanted = array.dtype if dtype is None else np.dtype(dtype)
        return array.astype(wanted, copy=bool(copy) or wanted != array.dtype)

    def is_verified(self, index: Index) -> bool:
        """Return whether the checksums of everything that ``self[index]`` reads are verified.

        They are if the index takes all of each stored piece that it touches, and always in V1 checkpoints;
        in a V2 checkpoint opened with ``verify=False`` they never are.
        """
        return self._source.is_verified(select(index, self.shape, self.entry.name)[0])

    def renamed(self, name: str) -> SliceReader:
        """Return the same reader under another name."""
        return SliceReader(self.entry._replace(name=name), self._source)

    def __repr__(self) -> str:
        return f"<SliceReader {self.entry.name!r} {self.dtype.name}{list(self.shape)}>"

    def _repr_html_(self) -> str:
        return to_html(lambda: self.entry._card()._replace(kind="SliceReader"))
