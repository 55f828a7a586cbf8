"""What saving would write: names, dtypes, shapes, bytes and data files, found without writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.dtypes import DType


class SavedTensor(NamedTuple):
    """A tensor that would be written."""

    name: str
    """Its name in the new checkpoint."""
    dtype: DType
    """Its dtype there."""
    shape: Shape
    """Its shape there."""
    nbytes: int
    """Bytes that it takes in the data files, of all slices together; at most, for strings that are made."""
    shards: tuple[int, ...]
    """Numbers of the data files that would hold it; several if it is in slices."""
    slices: tuple[TensorSlice, ...]
    """The slices in which it would be stored; empty if whole."""
    is_copied: bool
    """Whether its bytes are copied from another checkpoint as they are; others are computed or converted."""


@dataclass(frozen=True)
class SavePlan:
    """What :func:`ckptfmt.save` would write; see :func:`plan_save`."""

    prefix: str
    """The prefix of the new checkpoint."""
    tensors: Sequence[SavedTensor]
    """The tensors, in the order in which they would be written."""
    shard_bytes: Sequence[int]
    """Bytes in each data file."""

    @property
    def num_shards(self) -> int:
        """Number of data files."""
        return len(self.shard_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(self.shard_bytes)

    @property
    def copied_bytes(self) -> int:
        """Bytes that are copied as they are."""
        return sum(tensor.nbytes for tensor in self.tensors if tensor.is_copied)
