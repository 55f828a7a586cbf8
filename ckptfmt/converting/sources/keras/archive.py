"""Keras 3 models: a ``.keras`` archive, and weights in several files that a ``.weights.json`` lists.

::

    model.keras              a zip archive of metadata.json, config.json and model.weights.h5
    model.weights.json       {"metadata": {…}, "weight_map": {"/layers/dense/vars": "model_00000.weights.h5"}}

An archive is not unpacked: its members are stored as they are, so the weights in it are read in place.
Nothing of the configuration is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.hdf5.source import HDF5Source, open_hdf5
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.converting.sources.weight_map import SHARDS_SUFFIX, check_beside, read_weight_map
from ckptfmt.converting.sources.zip.archive import ZipArchive
from ckptfmt.converting.sources.zip.directory import STORED, Member
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.storage.stream import FilePart

WEIGHTS = "model.weights.h5"
"""The member of an archive that holds the tensors."""


class KerasSource:
    """The tensors of one or several HDF5 files; a :class:`~ckptfmt.converting.sources.source.Source`."""

    format = "keras"

    def __init__(self, path: str, files: Sequence[HDF5Source]) -> None:
        """Take open files; CorruptError if two have a tensor of the same name."""
        self.path = path
        self._files = files
        self._of: dict[str, HDF5Source] = {}
        for file in files:
            for name in file.tensors:
                if name in self._of:
                    both = f"{self._of[name].path} and {file.path}"
                    raise CorruptError(f"tensor {name!r}: it is in both {both}", file=path)
                self._of[name] = file
        self.tensors: Mapping[str, Stored] = {name: file.tensors[name] for name, file in self._of.items()}

    def read(self, name: str, region: Region | None) -> Array:
        """Return a tensor, or a region of it."""
        return self._of[name].read(name, region)

    def release(self, name: str) -> None:
        """Let the system forget the bytes of a tensor."""
        self._of[name].release(name)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def open_source(fs: Filesystem, path: str, limits: Limits) -> Source:
    """Open an archive, or all files of a list."""
    files: list[HDF5Source] = []
    try:
        if path.endswith(SHARDS_SUFFIX):
            directory = os.path.dirname(path)
            files.extend(
                open_hdf5(fs.open(os.path.join(directory, name)), limits) for name in _listed(fs, path)
            )
        else:
            files.extend(open_hdf5(each, limits) for each in _members(fs.open(path), limits))
        return KerasSource(path, files)
    except BaseException:
        for each in files:
            each.close()
        raise


def _listed(fs: Filesystem, path: str) -> list[str]:
    """Return the names of the files in a list, in their order."""
    names: set[str] = set()
    for value in read_weight_map(fs, path, "a list of weights of Keras").values():
        # One file, or a list of them for a layer that begins in one and ends in the next.
        names.update(check_beside(name, path) for name in (value if isinstance(value, list) else [value]))
    if not names:
        raise CorruptError("not a list of weights of Keras: it names no file", file=path)
    return sorted(names)


def _members(file: RandomAccessFile, limits: Limits) -> list[RandomAccessFile]:
    """Return the files of weights in an archive, which is closed with them, and after an error."""
    try:
        archive = ZipArchive(file, limits)
        whole = [each for each in archive.members if os.path.basename(each.name) == WEIGHTS]
        found = whole[:1] or [each for each in archive.members if each.name.endswith(".weights.h5")]
        if not found:
            is_pickled = any(each.name.endswith(".npz") for each in archive.members)
            raise UnsupportedError(
                f"no {WEIGHTS} in the archive"
                + ("; its weights are pickled: open the model in Keras, and save it again" * is_pickled),
                file=file.name,
            )
        members = [_open_member(archive, each) for each in found]
    except BaseException:
        file.close()
        raise
    if not any(isinstance(member, FilePart) for member in members):
        file.close()
    return members


def _open_member(archive: ZipArchive, member: Member) -> RandomAccessFile:
    """Return a member as a file: a part of the archive if it is stored there as it is, else in memory."""
    name = os.path.join(archive.file.name, member.name)
    if member.method == STORED:
        return FilePart(archive.file, archive.data_offset(member), member.size, name)
    return MemoryFile(archive.read(member, 0, member.size), name)
