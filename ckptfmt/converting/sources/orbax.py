"""Checkpoints of Orbax: a directory with a tree of arrays, as JAX saves it.

::

    _METADATA          JSON: the way to each array, and how they are stored
    manifest.ocdbt, d/ the arrays, each a zarr array in one database; without it each is a directory

TensorStore, which Orbax stores arrays with, reads them: whole or in parts, and not before they are asked
for. A name is the way to an array, with slashes.

Source: ``orbax/checkpoint/_src/metadata/tree.py``, ``orbax/checkpoint/_src/serialization``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array, read_only
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.dtypes import BY_NAME
from ckptfmt.errors import CorruptError, MissingDependencyError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.local_file import resolve_path
from ckptfmt.text.quoting import listed

METADATA = "_METADATA"
"""The file that makes a directory one of these."""

_MAX_METADATA = 256 << 20
"""Bytes of the largest such file that is read: that of a million arrays."""

_OPENED_AT_ONCE = 100


class OrbaxSource:
    """The arrays of one directory; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "orbax"

    def __init__(self, path: str, stores: Mapping[str, Any]) -> None:
        self.path = path
        self.tensors = {name: _stored(name, store, path) for name, store in stores.items()}
        self._stores = dict(stores)

    def read(self, name: str, region: Region | None) -> Array:
        """Return an array, or a region of it."""
        store = self._stores[name]
        at = tuple(slice(start, stop) for start, stop in region or ())
        try:
            array: Array = np.asarray((store[at] if at else store).read().result())
        except Exception as error:  # TensorStore's errors have no class of their own
            raise CorruptError(f"{name!r}: {error}", file=self.path) from None
        return read_only(array.view())

    def release(self, name: str) -> None:
        """Do nothing: TensorStore keeps no bytes."""

    def close(self) -> None:
        """Let go of the arrays."""
        self._stores = _Closed(self.path)


class _Closed(dict[str, Any]):
    """The arrays of a source that is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def __missing__(self, name: str) -> Any:  # noqa: ANN401
        raise ValueError(f"{self._path}: the file is closed")


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open a checkpoint of Orbax: the directory of a step, or of an item in it."""
    if not isinstance(fs, LocalFilesystem):
        raise UnsupportedError("TensorStore reads directories of this machine only", file=path)
    directory = _item(fs, path if fs.path_type(path) == "directory" else os.path.dirname(path), path)
    where = os.path.join(directory, METADATA)
    data = read_small_file(fs, where, limit=_MAX_METADATA, what="the metadata of Orbax")
    try:
        metadata = json.loads(data)
        names = dict(_names(metadata["tree_metadata"]))
    except UnsupportedError as error:
        raise error.at(where) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptError(f"not the metadata of Orbax: {error!r:.200}", file=where) from None
    limits.check_names("arrays of Orbax", len(names), file=where)
    try:
        tensorstore = importlib.import_module("tensorstore")
    except ImportError as error:
        raise MissingDependencyError("orbax-checkpoint", "orbax") from error
    root = f"file://{os.path.abspath(resolve_path(directory, fs.directory))}/"
    driver = "zarr3" if metadata.get("use_zarr3") is True else "zarr"
    is_database = metadata.get("use_ocdbt") is not False

    def spec(param: str) -> dict[str, Any]:
        if is_database:
            return {"driver": driver, "kvstore": {"driver": "ocdbt", "base": root, "path": f"{param}/"}}
        return {"driver": driver, "kvstore": f"{root}{param}/"}

    stores: dict[str, Any] = {}
    pending = list(names.items())
    for first in range(0, len(pending), _OPENED_AT_ONCE):
        some = pending[first : first + _OPENED_AT_ONCE]
        opening = [(name, tensorstore.open(spec(param), open=True, read=True)) for name, param in some]
        for name, future in opening:
            try:
                stores[name] = future.result()
            except Exception as error:  # as above
                raise CorruptError(f"{name!r}: {error}", file=directory) from None
    return OrbaxSource(path, stores)


def _item(fs: Filesystem, directory: str, path: str) -> str:
    """Return the directory with the metadata: this one, or the only one in it that has some."""
    if fs.path_type(os.path.join(directory, METADATA)) == "file":
        return directory
    below = [os.path.join(directory, name) for name in fs.list_directory(directory).directories]
    items = [each for each in below if fs.path_type(os.path.join(each, METADATA)) == "file"]
    if len(items) != 1:
        found = f"several items, {listed(items)}: pass the path of one" if items else f"no {METADATA}"
        raise UnsupportedError(f"an Orbax checkpoint with {found}", file=path)
    return items[0]


def _names(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Iterate over the arrays: the name of each, and what Orbax calls it."""
    seen = set()
    for way in tree.values():
        value = way["value_metadata"]
        if value["skip_deserialize"]:
            continue  # None, and containers without anything in them
        keys = [str(key["key"]) for key in way["key_metadata"]]
        if value["value_type"] == "string":
            raise UnsupportedError(f"{'/'.join(keys)!r} is text, which Orbax keeps apart")
        name = "/".join(keys)
        if name in seen:
            raise ValueError(f"several arrays are named {name!r}")
        seen.add(name)
        yield name, ".".join(keys)


def _stored(name: str, store: Any, path: str) -> Stored:  # noqa: ANN401
    dtype = BY_NAME.get(store.dtype.numpy_dtype.name)
    if dtype is None:
        raise UnsupportedError(f"{name!r}: TensorFlow has no dtype {store.dtype.name}", file=path)
    shape = tuple(store.shape)
    return Stored(dtype, shape, math.prod(shape) * (dtype.itemsize or 0))
