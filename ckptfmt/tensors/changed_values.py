"""Views in which some tensors have other values: converted to another dtype, or given by the caller.

Names do not change, so each tensor still stands for the one that is stored under its name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ckptfmt import arrays, plans
from ckptfmt.arrays.array import Array, read_only
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.dtypes import DType, Storage
from ckptfmt.plans.expressions import Entries, Expression, Reading, Stored
from ckptfmt.tensors.computed import ComputedMapping
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import flatten

_KINDS = ("is_floating", "is_integer", "is_complex", "is_bool", "is_quantized")


class ChangedMapping(ComputedMapping):
    """Tensors of a parent under their names, some with other values."""

    def stored_name(self, name: str) -> str | None:
        """Return what the checkpoint calls a tensor, whatever its value here; None for a new one."""
        self._target(name)
        return self._parent.stored_name(name) if name in self._parent else None

    def _stored(self) -> Mapping[str, str | None]:
        stored = self._parent._stored()
        return {name: stored.get(name) for name in self._targets}

    def _stand_for(self) -> Mapping[str, str | None]:
        variables = self._parent._stand_for()
        return {name: variables.get(name) for name in self._targets}


class CastMapping(ChangedMapping):
    """Tensors, some of them converted; what :class:`~ckptfmt.tensors.tensors.CastView` does."""

    def __init__(self, parent: TensorMapping, dtype: DType, names: Collection[str]) -> None:
        """View ``parent`` with the tensors of these names in ``dtype``, if they are of its kind."""
        self.dtype = dtype
        """The dtype of the converted tensors."""
        self._names = names
        kind = kind_of(dtype)
        targets: dict[str, Expression] = {}
        for name, entry in parent.entries.items():
            is_converted = name in names and entry.dtype != dtype and kind_of(entry.dtype) == kind
            targets[name] = plans.Cast(Stored(name), dtype) if is_converted else Stored(name)
        super().__init__(parent, targets)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._parent, self.dtype, self._names)


def kind_of(dtype: DType) -> str | None:
    """Return the kind of numbers of a dtype, None for strings and other values."""
    return next((kind for kind in _KINDS if getattr(dtype, kind)), None)


class UpdatedMapping(ChangedMapping):
    """Tensors with values of the caller; what :class:`~ckptfmt.tensors.tensors.UpdatedView` does."""

    def __init__(self, parent: TensorMapping, values: Mapping[str, Any], *, add: bool = False) -> None:
        """View ``parent`` with other values, by name; with ``add`` also under names that it does not have."""
        given = flatten(values)
        absent = parent._absent(given)
        if absent and not add:
            error = parent._not_found(absent)
            error.what += "; pass add=True to add new ones"
            raise error
        new = set(absent)
        self._given = {
            name: _given(name, value, None if name in new else parent.entries[name].dtype)
            for name, value in given.items()
        }
        targets: dict[str, Expression] = {name: Stored(name) for name in parent}
        super().__init__(parent, targets | self._given)

    def _entry(self, name: str) -> Entry:
        entry = super()._entry(name)
        given = self._given.get(name)
        if given is None or entry.dtype.itemsize is not None:
            return entry
        return entry._replace(nbytes=sum(len(each) for each in given.array.flat if isinstance(each, bytes)))

    def __reduce__(self) -> tuple[object, ...]:
        return _updated, (type(self), self._parent, {name: each.array for name, each in self._given.items()})


def _updated(
    kind: type[UpdatedMapping], parent: TensorMapping, values: Mapping[str, Array]
) -> UpdatedMapping:
    return kind(parent, values, add=True)


def _given(name: str, value: Any, stored: DType | None) -> Given:  # noqa: ANN401
    """Return a value in the dtype of the tensor that it replaces; TypeError if that cannot have it."""
    try:
        dtype, array = arrays.as_tensor(value, stored)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"new value of tensor {name!r}: {error}") from error
    if dtype.storage is Storage.STRING:
        strings = np.empty(array.shape, object)
        strings.ravel()[:] = list(map(arrays.as_bytes, array.ravel().tolist()))
        array = strings
    elif dtype.numpy != array.dtype:
        array = plans.converted(array, dtype.numpy)
    return Given(read_only(array), dtype)


@dataclass(frozen=True, eq=False)
class Given(Expression):
    """An array that the caller gave."""

    array: Array
    dtype: DType

    @property
    def sources(self) -> tuple[str, ...]:
        """No stored tensors."""
        return ()

    @property
    def depth(self) -> int:
        """No operations."""
        return 0

    @property
    def weight(self) -> int:
        """No stored tensors."""
        return 0

    def spec(self, entries: Entries) -> tuple[DType, Shape]:
        """Return the dtype and shape of the array."""
        return self.dtype, self.array.shape

    def _evaluate(self, reading: Reading, region: Region | None) -> Array:
        return self.array if region is None else self.array[within(region, whole(self.array.shape))]
