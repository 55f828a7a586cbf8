"""Many small tensors, written together.

The time of a small tensor is that of the Python that handles it, ten microseconds or so. Thousands of arrays
that are stored as they are in memory are handled at once instead, by functions that loop in C: a microsecond
each. Few have a dtype and shape of their own, so that each pair of these is looked at once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import encode_head
from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.wire.threads import PIECE

Items: TypeAlias = "tuple[Sequence[str], Sequence[Any]]"
"""Names, and the values of each."""

SMALL = 1 << 14
"""Bytes up to which a tensor is written with others: copying it again costs less than handling it alone."""

_AT_ONCE = 1 << 14
"""Tensors that are written together at most."""


def batches(tensors: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterator[Items]:
    """Iterate over tensors a batch at a time, no more than a piece of those that an iterator makes."""
    if isinstance(tensors, dict):
        # All values are in memory already.
        names, values = list(tensors), list(tensors.values())
        for start in range(0, len(names), _AT_ONCE):
            yield names[start : start + _AT_ONCE], values[start : start + _AT_ONCE]
        return
    names, values, size = [], [], 0
    for name, value in tensors.items() if isinstance(tensors, Mapping) else tensors:
        names.append(name)
        values.append(value)
        size += value.nbytes if type(value) is np.ndarray else SMALL
        if size >= PIECE or len(names) == _AT_ONCE:
            yield names, values
            names, values, size = [], [], 0
    yield names, values


def stretches(values: Sequence[Any], heads: Sequence[bytes]) -> Iterator[tuple[bool, int, int]]:
    """Iterate over stretches of tensors that are small, or are not: whether, begin and end.

    Small ones are together no more than a piece.
    """
    start = 0
    for is_small, run in groupby(heads, key=bool) if b"" in heads else [(True, heads)]:
        stop = start + len(list(run))
        size, begin = 0, start
        if is_small and sum(map(attrgetter("nbytes"), values[start:stop])) > PIECE:
            for row in range(start, stop):
                if size + values[row].nbytes > PIECE:
                    yield True, begin, row
                    size, begin = 0, row
                size += values[row].nbytes
        yield is_small, begin, stop
        start = stop


def small_heads(items: Items, dtypes: Mapping[str, Any]) -> list[bytes]:
    """Return the first two fields of the entry of each small tensor, and b"" for all others.

    ``dtypes`` has the dtype of tensors that are stored under another one than that of their values.
    """
    names, values = items
    kinds: Iterable[Any]
    if set(map(type, values)) == {np.ndarray}:
        # Not as a list: a tuple that is forgotten at once is used again for the next.
        kinds = zip(map(attrgetter("dtype"), values), map(attrgetter("shape"), values), strict=True)
    else:
        kinds = ((each.dtype, each.shape) if type(each) is np.ndarray else None for each in values)
    if dtypes:
        kinds = (kind and (*kind, dtypes.get(name)) for name, kind in zip(names, kinds, strict=True))
    return list(map(_Heads().__getitem__, kinds))


class _Heads(dict[Any, bytes]):
    """The first two fields of the entries of small tensors, by the dtype and shape of arrays."""

    def __missing__(self, kind: tuple[Any, ...] | None) -> bytes:
        head = self[kind] = b"" if kind is None else _head(*kind)
        return head


def _head(numpy: np.dtype[Any], shape: Shape, dtype: Any = None) -> bytes:  # noqa: ANN401
    """Return the first two fields of an entry; b"" if the tensor is large or has to be converted."""
    wanted: DType | None = None
    with suppress(TypeError):  # the error is that of the tensor, when its turn comes
        wanted = as_dtype(numpy if dtype is None else dtype).base_dtype
    if wanted is None or wanted.storage is not Storage.FIXED or wanted.numpy != numpy:
        return b""
    if sys.byteorder == "big" or numpy.itemsize * math.prod(shape) > SMALL:
        return b""
    return encode_head(wanted, shape)
