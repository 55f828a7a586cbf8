"""``SliceReader``: parts of one tensor by NumPy index."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Index, Selection, select
from ckptfmt.dtypes import DType


class SliceSource(Protocol):
    """Tensors that a :class:`SliceReader` reads from."""

    def _selection(self, name: str, selection: Selection) -> Array:
        """Return the selected part of a tensor; pieces that are not read whole are not verified."""

    def _is_verified(self, name: str, selection: Selection) -> bool:
        """Return whether reading a selection verifies the checksums of everything that it reads."""


class SliceReader:
    """Reads parts of one tensor by NumPy's indices: integers, slices with steps, lists, masks, an ellipsis.

    Only the stored slices that meet the index are read, and of these only the bytes that it takes (whole
    pages if the file is mapped). A checksum covers a whole stored piece, so it is verified if the index takes
    all of the piece, and not if it takes part of it; see :meth:`is_verified`. Read the whole tensor if that
    matters.

    Unpickling a reader opens the files again, as with a checkpoint.
    """

    def __init__(self, entry: Entry, source: SliceSource, name: str) -> None:
        self.entry = entry
        """What the index says about the tensor."""
        self._source = source
        self._source_name = name

    @property
    def name(self) -> str:
        """The name of the tensor."""
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
        """Bytes of the whole tensor; for strings, those in the data files."""
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

        At most one dimension may have a list of positions or a mask.

        Raises
        ------
        IndexError
            Too many indices, one outside the tensor, a mask of another size, or several lists.
        TypeError
            An index that is neither integer, slice, list, mask nor ellipsis.
        """
        selection, local = select(index, self.shape, self.entry.name)
        return read_only(self._source._selection(self._source_name, selection)[local])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: ANN401  (as NumPy calls it)
        """Return the whole tensor: ``np.asarray(reader)``."""
        array = self[...]
        wanted = array.dtype if dtype is None else np.dtype(dtype)
        return array.astype(wanted, copy=bool(copy) or wanted != array.dtype)

    def is_verified(self, index: Index) -> bool:
        """Return whether the checksums of all that ``self[index]`` reads are verified.

        That is so if the index takes all of each stored piece that it touches, and always in V1 checkpoints.
        It is not if the index takes part of a piece, or if the checkpoint was opened with ``verify=False``.
        """
        return self._source._is_verified(self._source_name, select(index, self.shape, self.entry.name)[0])

    def renamed(self, name: str) -> SliceReader:
        """Return the same reader under another name."""
        return SliceReader(self.entry._replace(name=name), self._source, self._source_name)

    def __repr__(self) -> str:
        return f"<SliceReader {self.entry.name!r} {self.dtype.name}{list(self.shape)}>"
