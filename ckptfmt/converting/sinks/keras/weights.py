"""``.weights.h5`` files of Keras 3: HDF5 with the variables of each layer in a group ``vars``.

::

    layers/dense/vars        attribute "name": what the user calls the layer
    layers/dense/vars/0      a variable, by its number

Keras reads variables by their paths and goes by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ckptfmt.converting.sinks.hdf5.outline import ALIGNMENT, Outline, reserve
from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.dtypes import Storage
from ckptfmt.tensors.nesting import SCOPE_PROBLEM, scope_names

_PATH = re.compile(r"(?:(?!\.{1,2}/)[^/\0]+/)*vars/(?!\.{1,2}\Z)[^/\0]+")
"""Where Keras stores a variable."""

_NOT_IN_HDF5 = ("bfloat16",)
"""Dtypes that Keras stores as two bytes each, with an attribute that names them."""

_KINDS = "biufc"


class KerasWeightsSink:
    """Writes ``.weights.h5`` files; a :class:`~ckptfmt.converting.sinks.sink.Sink`."""

    format = "keras-weights"
    resumes = False

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        """Take the name of each layer by its path; empty for the model."""
        self._names = {} if names is None else names

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor."""
        if not _PATH.fullmatch(tensor.name):
            return "no place for names other than those of Keras 3, such as layers/dense/vars/0"
        is_held = tensor.dtype.name in _NOT_IN_HDF5 or (
            tensor.dtype.storage is Storage.FIXED
            and tensor.dtype.numpy.isbuiltin == 1
            and tensor.dtype.numpy.kind in _KINDS
        )
        return None if is_held else f"no dtype {tensor.dtype.name}"

    def name_problems(self, tensors: Sequence[Outgoing]) -> dict[str, str]:
        """Return the tensors whose names are also scopes of others: a group has no values."""
        return dict.fromkeys(scope_names(tensor.name for tensor in tensors), SCOPE_PROBLEM)

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write the file."""
        weights = WeightsFile(tensors, self._names)
        with writing.create() as output:
            for piece in weights.pieces(writing.advance):
                output.write(piece)
        return [writing.path]


class WeightsFile:
    """A ``.weights.h5`` file whose places are known: its bytes from the beginning to the end."""

    def __init__(self, tensors: Sequence[Outgoing], names: Mapping[str, str]) -> None:
        """Lay the file out; no tensor is in the place of a group."""
        self._outline = Outline()
        self._places: list[tuple[int, Outgoing]] = []
        with h5py.File(
            self._outline, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
        ) as file:
            for path, name in names.items():
                group = file.create_group(f"{path}/vars" if path else "vars")
                # HDF5 has no text with a NUL or half a character; Keras does not read it.
                group.attrs["name"] = name.replace("\0", "").encode("utf-8", "replace").decode()
            for tensor in tensors:
                folder, _, key = tensor.name.rpartition("/")
                group = file.require_group(folder)
                offset = reserve(group, key, tensor)
                if tensor.dtype.name in _NOT_IN_HDF5:
                    group[key].attrs["dtype"] = tensor.dtype.name
                if offset is not None:
                    self._places.append((offset, tensor))
        self._places.sort(key=lambda each: each[0])

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._outline.size

    def pieces(self, advance: Callable[[int], None]) -> Iterator[Any]:
        """Iterate over the bytes of the file; ``advance`` is called with the bytes of tensors among them."""
        position = 0
        for offset, tensor in self._places:
            yield from self._outline.between(position, offset)
            yield from tensor.encoded(advance)
            tensor.release()
            position = offset + tensor.nbytes
        yield from self._outline.between(position, self.size)
