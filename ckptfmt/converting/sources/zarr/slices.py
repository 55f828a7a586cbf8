"""Slices of tensors that reference files have as arrays of their own, put together again.

Slices that make no regular grid cannot be the chunks of one array of zarr. Each is an array then, and its
attribute :data:`SLICE_OF` says where it belongs: ``{"shape": [10, 4], "start": [3, 0]}``. Its name is that of
the tensor, and the number of the slice: ``w/slice_0``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import MAX_RANK, Shape
from ckptfmt.checkpoint.partition import Partition, partition_of
from ckptfmt.checkpoint.slices import Region, TensorSlice, intersect, region_shape, within
from ckptfmt.converting.sources.zarr.arrays import ArrayHead
from ckptfmt.errors import CorruptError

SLICE_OF = "ckptfmt_slice_of"
"""The attribute of an array that is a slice of a tensor."""


class SlicedTensor(NamedTuple):
    """A tensor whose slices are arrays."""

    partition: Partition
    heads: Sequence[ArrayHead]

    @property
    def shape(self) -> Shape:
        """The shape of the tensor."""
        return self.partition.shape

    def read(self, region: Region, read: Callable[[ArrayHead, Region], Array]) -> Array:
        """Return a region of it; ``read`` reads one of an array."""
        result = np.empty(region_shape(region), self.heads[0].dtype.numpy)
        for number in self.partition.needed(region).tolist():
            place = self.partition.region(number)
            shared = intersect(region, place)
            if shared is not None:
                starts = [start for start, _ in place]
                local = tuple((a - start, b - start) for (a, b), start in zip(shared, starts, strict=True))
                result[within(shared, region)] = read(self.heads[number], local)
        return result


def whole_name(name: str) -> str:
    """Return the name of the tensor that an array is a slice of."""
    return name.rpartition("/")[0] or name


def put_together(name: str, heads: Sequence[ArrayHead], file: str) -> SlicedTensor:
    """Return a tensor of its slices; CorruptError if they do not make it."""
    try:
        shapes = {_numbers(head, "shape") for head in heads}
        dtypes = {head.dtype.name for head in heads}
        if len(shapes) > 1 or len(dtypes) > 1:
            raise CorruptError("slices of several shapes or dtypes")
        slices = [TensorSlice(tuple(zip(_numbers(head, "start"), head.shape, strict=True))) for head in heads]
        partition = partition_of(shapes.pop(), slices)
        if not partition.is_complete:
            raise CorruptError("slices that do not make all of it")
    except CorruptError as error:
        raise error.at(file, label=f"tensor {name!r}") from None
    return SlicedTensor(partition, heads)


def _numbers(head: ArrayHead, member: str) -> tuple[int, ...]:
    given: Any = head.metadata["attributes"][SLICE_OF]
    numbers = given.get(member) if isinstance(given, dict) else None
    if not isinstance(numbers, list) or len(numbers) != len(head.shape) or len(numbers) > MAX_RANK:
        raise CorruptError(f"attribute {SLICE_OF}: want {len(head.shape)} numbers as {member}")
    if not _are_sizes(numbers):
        raise CorruptError(f"attribute {SLICE_OF}: {member}: want numbers below 2**63")
    return tuple(numbers)


def _are_sizes(numbers: Iterable[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
