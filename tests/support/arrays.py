"""Arrays in memory in place of the tensors of a file: their entries, and a way to fetch them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, region_shape, whole, within
from ckptfmt.dtypes import DTYPES
from ckptfmt.plans.expressions import Expression, Reading

_DTYPES = {
    dtype.numpy: dtype
    for dtype in DTYPES.values()
    if not dtype.is_quantized and dtype.storage.name != "NONE" and dtype.name != "variant"
}


class Arrays:
    """Tensors by name that record which regions are fetched."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {name: np.array(array) for name, array in arrays.items()}
        for array in self.arrays.values():
            array.flags.writeable = False
        self.entries = {
            name: Entry(name, _DTYPES[array.dtype], array.shape, array.nbytes, 0, 0, None, ())
            for name, array in self.arrays.items()
        }
        self.fetched: list[tuple[str, Region]] = []

    def fetch(self, name: str, region: Region | None) -> np.ndarray:
        array = self.arrays[name]
        region = whole(array.shape) if region is None else region
        self.fetched.append((name, region))
        part = array[within(region, whole(array.shape))]
        assert part.shape == region_shape(region)
        return part

    @property
    def fetched_elements(self) -> int:
        return sum(int(np.prod(region_shape(region))) for _, region in self.fetched)

    def value(self, expression: Expression, region: Region | None = None) -> np.ndarray:
        return expression.value(Reading(self.fetch, self.entries), region)

    def applied(self, expressions: Mapping[str, Expression]) -> Arrays:
        """Return the tensors that expressions make from these."""
        made = Arrays({name: self.value(expression) for name, expression in expressions.items()})
        # The expression tells the dtype, not the array: quantised dtypes share the arrays of others.
        for name, expression in expressions.items():
            dtype, shape = expression.spec(self.entries)
            assert dtype.numpy == made.arrays[name].dtype
            assert shape == made.arrays[name].shape
            made.entries[name] = made.entries[name]._replace(dtype=dtype)
        return made
