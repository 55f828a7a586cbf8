"""Arrays that a program has, as a source: they are converted as the tensors of a file are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.convert import as_bytes, as_tensor
from ckptfmt.checkpoint.new_tensor import new_tensor
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.converting.sources.source import Stored
from ckptfmt.dtypes import DType, Storage


class ValuesSource:
    """Arrays by name; a :class:`~ckptfmt.converting.sources.source.Source`.

    A mapping that reads its values from a file is asked for each twice: what it is, then for its values.
    """

    format = "arrays"
    path = "<arrays>"

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take values; TypeError or UnsupportedError if one is not a tensor."""
        self._values = values
        self.tensors = {name: _stored(name, value) for name, value in values.items()}

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it."""
        array = _as_array(self._values[name], self.tensors[name].dtype)
        return read_only(array if region is None else array[within(region, whole(array.shape))])

    def release(self, name: str) -> None:
        """Do nothing: the arrays are the caller's."""

    def close(self) -> None:
        """Do nothing."""


def _stored(name: str, value: Any) -> Stored:  # noqa: ANN401
    tensor = new_tensor(f"tensor {name!r}", value, None)
    return Stored(tensor.dtype, tensor.shape, tensor.form.size)


def _as_array(value: Any, dtype: DType) -> Array:  # noqa: ANN401
    _, array = as_tensor(value, dtype)
    if dtype.storage is Storage.STRING:
        strings = np.empty(array.shape, object)
        strings.ravel()[:] = list(map(as_bytes, array.ravel().tolist()))
        return strings
    return np.asarray(array, dtype.numpy)
