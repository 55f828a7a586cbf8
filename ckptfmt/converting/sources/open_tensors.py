"""``open_tensors``: one mapping for the files of all programs, told apart by their content."""

from __future__ import annotations

import importlib
import os
from functools import partial
from typing import Protocol

from ckptfmt import filetype
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX
from ckptfmt.converting.sources.source import Source
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.converting.sources.weight_map import SHARDS_SUFFIX
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.checkpoint import open_checkpoint
from ckptfmt.tensors.tensors import Tensors

SOURCES = {
    "hdf5": "ckptfmt.converting.sources.hdf5.source",
    "keras": "ckptfmt.converting.sources.keras.archive",
    "msgpack": "ckptfmt.converting.sources.msgpack.source",
    "npz": "ckptfmt.converting.sources.npz.source",
    "orbax": "ckptfmt.converting.sources.orbax",
    "safetensors": "ckptfmt.converting.sources.safetensors.source",
    "torch": "ckptfmt.converting.sources.torch.source",
    "zarr": "ckptfmt.converting.sources.zarr.source",
}
"""The module that reads each format, imported when a file of it is opened."""


class Opener(Protocol):
    """The function of such a module that opens the tensors in a file."""

    def __call__(self, fs: Filesystem, path: str, limits: Limits) -> Source:
        """Open the file at ``path``, or the directory."""


def open_tensors(
    path: str | os.PathLike[str],
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> Tensors:
    """Open the tensors in a file of any program: safetensors, NumPy, HDF5, Keras, zarr, PyTorch, flax, Orbax.

    The content determines the format, not the name. Checkpoints are opened as by :func:`ckptfmt.open`; the
    result for any other file is a :class:`TensorFile`, a mapping of names to NumPy arrays with the shapes and
    dtypes that are stored, bfloat16 and float8 included. Strings are object arrays of ``bytes``.

    Parameters
    ----------
    path
        The file; for safetensors in several files their ``.index.json``; for zarr and Orbax the directory.
    backend, fs, limits
        As for :func:`ckptfmt.open`.

    Raises
    ------
    MissingDependencyError
        The package that reads the format is not installed.
    PathNotFoundError, NotReadableError
        The file does not exist, or cannot be read.
    CorruptError, UnsupportedError
        The file is damaged, or holds no tensors.
    """
    check_limits(limits)
    files = filesystem_of(backend, fs)
    given = os.fspath(path)
    if given.endswith(INDEX_SUFFIX):
        return open_file("safetensors", given, files, limits)
    if given.endswith(SHARDS_SUFFIX):
        return open_file("keras", given, files, limits)
    kind = filetype.recognise_path(files, given)
    if kind is None or kind.tensors is None:
        return open_checkpoint(given, fs=files, limits=limits)
    return open_file(kind.tensors, given, files, limits)


def open_file(format: str, path: str, fs: Filesystem, limits: Limits) -> TensorFile:  # noqa: A002
    """Open a file whose format is known."""
    opener: Opener = importlib.import_module(SOURCES[format]).open_source
    return TensorFile(opener(fs, path, limits), partial(open_file, format, path, fs, limits))
