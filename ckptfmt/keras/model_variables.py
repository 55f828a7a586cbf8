"""Variables under the names that Keras 3 stores them by, read from where they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.source import Stored
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.tensors.tensors import Tensors


class ModelVariables:
    """Tensors under other names; a :class:`~ckptfmt.converting.sources.source.Source`.

    Unlike a view, it may have one tensor under several names: of a layer that two models share, Keras 3 makes
    two when it builds them from a configuration.
    """

    format = "keras"

    def __init__(self, tensors: Tensors, names: Mapping[str, str], path: str) -> None:
        self.path = path
        self._file, self._names = tensors, names
        entries = tensors.entries
        self.tensors = {
            new: Stored(entries[name].dtype, entries[name].shape, entries[name].nbytes)
            for new, name in names.items()
        }

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it, verified."""
        if region is None:
            return self._file[self._names[name]]
        return self._file._region(self._names[name], region, verified=True)

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        self._file._release(self._names[name])

    def close(self) -> None:
        """Close the file that they are in."""
        self._file.close()


def model_variables(tensors: Tensors, names: Mapping[str, str], path: str) -> TensorFile:
    """Return tensors under new names: ``names`` has the name in ``tensors`` of each."""
    return TensorFile(ModelVariables(tensors, names, path), partial(model_variables, tensors, names, path))
