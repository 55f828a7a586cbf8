"""Variables under the names that Keras 3 stores them by, read from where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.converting.sources.source import Stored
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.errors import CorruptError
from ckptfmt.tensors.tensors import Tensors

Change: TypeAlias = "Callable[[np.ndarray], np.ndarray]"
"""Returns the value that a variable has in Keras 3."""


_NOTHING: tuple[str, Array] = "", np.empty(0)


class ModelVariables:
    """Tensors under other names; a :class:`~ckptfmt.converting.sources.source.Source`.

    Unlike a view, it may have one tensor under several names: of a layer that two models share, Keras 3 makes
    two when it builds them from a configuration.
    """

    format = "keras"

    def __init__(
        self, tensors: Tensors, names: Mapping[str, str], path: str, changes: Mapping[str, Sequence[Change]]
    ) -> None:
        self.path = path
        self._file, self._names = tensors, names
        self._last = _NOTHING
        self._changes = {name: changes[name] for name in names if name in changes}
        entries = tensors.entries
        self.tensors = {new: self._stored(new, entries[name]) for new, name in names.items()}

    def _stored(self, name: str, entry: Entry) -> Stored:
        if name not in self._changes:
            return Stored(entry.dtype, entry.shape, entry.nbytes)
        # Changes may change the shape; which value it has does not matter.
        changed = self._changed(name, np.zeros(entry.shape, entry.dtype.numpy))
        return Stored(entry.dtype, changed.shape, changed.nbytes)

    def _changed(self, name: str, value: Array) -> Array:
        try:
            for change in self._changes[name]:
                value = change(value)
        except (ValueError, IndexError) as error:  # a shape that no Keras gives it
            shape = list(value.shape)
            raise CorruptError(
                f"tensor {name!r}: it cannot have the shape {shape}: {error}", file=self.path
            ) from None
        return read_only(value)

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it, verified."""
        stored = self._names[name]
        if name in self._changes:
            last, value = self._last
            if last != name:
                value = self._changed(name, self._file[stored])
                self._last = name, value  # pieces of it are asked for one after another
            return value if region is None else value[within(region, whole(value.shape))]
        if region is None:
            return self._file[stored]
        return self._file._region(stored, region, verified=True)

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        self._last = _NOTHING
        self._file._release(self._names[name])

    def close(self) -> None:
        """Close the file that they are in."""
        self._file.close()


def model_variables(
    tensors: Tensors,
    names: Mapping[str, str],
    path: str,
    changes: Mapping[str, Sequence[Change]] | None = None,
) -> TensorFile:
    """Return tensors under new names; ``names`` has the name in ``tensors`` of each."""
    variables = ModelVariables(tensors, names, path, {} if changes is None else changes)
    return TensorFile(variables, partial(model_variables, tensors, names, path, changes))
