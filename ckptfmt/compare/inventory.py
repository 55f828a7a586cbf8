"""Inventories: the names and specs of the tensors on one side of a match.

::

    Tensors, path of a checkpoint    names, specs, and how its objects refer to each other
    path of a .meta file             what its Saver restores
    path of another program's file   what it lists: safetensors, .npz, HDF5, zarr
    mapping                          name → array, shape or Spec; nested as pytrees are
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ckptfmt.compare.specs import spec_of
from ckptfmt.converting.sources.open_tensors import open_tensors
from ckptfmt.filetype.content import recognise_file
from ckptfmt.filetype.kinds import Holds
from ckptfmt.graph.read.read import read_saved_variables
from ckptfmt.limits import Limits
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.checkpoint import Checkpoint
from ckptfmt.tensors.nesting import flatten
from ckptfmt.tensors.restore import Spec
from ckptfmt.tensors.tensors import Tensors

Expected: TypeAlias = "Tensors | str | os.PathLike[str] | Mapping[str, Any]"
"""Anything that says which tensors are expected; see :func:`expected_inventory`."""


@dataclass(frozen=True)
class Inventory:
    """Tensors by name, with what is known of them before they are read."""

    specs: Mapping[str, Spec]
    """Dtype and shape of each, in order."""
    graph: ObjectGraph | None = None
    """The objects that hold them, if this is an object-based checkpoint and not a view of one."""
    file: str | None = None
    """Prefix of the checkpoint; None for what is not one."""

    @property
    def called(self) -> dict[str, str]:
        """Readable names of the tensors of objects, by key: the full name, or the path if others share it."""
        if self.graph is None:
            return {}
        full_names = self.graph.keys_by_full_name.items()
        return self.graph.short_names() | {keys[0]: name for name, keys in full_names if len(keys) == 1}


def stored_inventory(
    checkpoint: Tensors | str | os.PathLike[str], fs: Filesystem, limits: Limits
) -> Inventory:
    """Return the inventory of a checkpoint, a view, or a file of another program."""
    if isinstance(checkpoint, Tensors):
        return _of_tensors(checkpoint)
    with open_tensors(checkpoint, fs=fs, limits=limits) as opened:
        return _of_tensors(opened)


def expected_inventory(expected: Expected, fs: Filesystem, limits: Limits) -> Inventory:
    """Return the inventory of what is expected.

    Raises
    ------
    TypeError
        It is not one of :data:`Expected`, or a value of a mapping is not an array, a shape or a Spec.
    NameConflictError
        Two values of a nested mapping get the same name.
    MissingDependencyError
        The package that reads the file is not installed.
    CorruptError, UnsupportedError, PathNotFoundError, NotReadableError
        The file or directory at a path cannot be read.
    GraphError
        A graph does not say which variables are saved.
    """
    if isinstance(expected, Tensors):
        return _of_tensors(expected)
    if isinstance(expected, Mapping):
        return Inventory({name: spec_of(name, value) for name, value in flatten(expected).items()})
    if not isinstance(expected, (str, os.PathLike)):
        raise TypeError(f"expected: got {type(expected).__name__}, want a path, a checkpoint or a mapping")
    path = os.fspath(expected)
    if fs.path_type(path) == "file":
        kind = recognise_file(fs, path)
        if kind is not None and kind.holds is Holds.META_GRAPH:
            variables = read_saved_variables(path, fs=fs, limits=limits).items()
            return Inventory({name: Spec(known.dtype, known.shape) for name, known in variables})
    with open_tensors(path, fs=fs, limits=limits) as tensors:
        return _of_tensors(tensors)


def _of_tensors(tensors: Tensors) -> Inventory:
    """The inventory of a checkpoint or a view, without the object graph: it is not restored as a tensor."""
    graph = tensors.object_graph
    specs = {
        name: Spec(entry.dtype, entry.shape)
        for name, entry in tensors.entries.items()
        if graph is None or tensors.stored_name(name) != OBJECT_GRAPH_KEY
    }
    return Inventory(specs, graph if isinstance(tensors, Checkpoint) else None, tensors.prefix)
