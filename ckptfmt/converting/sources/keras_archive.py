"""Keras 3 models: a ``.keras`` archive, and weights in several files that a ``.weights.json`` lists.

::

    model.keras              a zip archive of metadata.json, config.json and model.weights.h5
    model.weights.json       {"metadata": {…}, "weight_map": {"/layers/dense/vars": "model_00000.weights.h5"}}

An archive is not unpacked: its members are stored as they are, so the weights in it are read in place.
Nothing of the configuration is looked at.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.hdf5 import HDF5Source, open_hdf5
from ckptfmt.converting.sources.source import Source, Stored
from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.storage.stream import FilePart, InputStream

SHARDS_SUFFIX = ".weights.json"
"""End of the name of a list of files."""

WEIGHTS = "model.weights.h5"
"""The member of an archive that holds the tensors."""

MAX_LIST_BYTES = 256 << 20
"""Bytes of the largest list that is read: that of a million layers."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


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
    data = read_small_file(fs, path, limit=MAX_LIST_BYTES, what="a list of weights of Keras")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"not a list of weights of Keras: {error}", file=path) from None
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise CorruptError("not a list of weights of Keras: weight_map: want an object", file=path)
    names: dict[str, None] = {}
    for value in weights.values():
        # One file, or a list of them for a layer that begins in one and ends in the next.
        for name in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not name or os.path.basename(name) != name:
                raise CorruptError(f"weight_map: got the file {name!r}, want one beside the list", file=path)
            if name in (os.curdir, os.pardir) or "\0" in name:
                raise CorruptError(f"weight_map: got the file {name!r}, want one beside the list", file=path)
            names[name] = None
    return sorted(names)


def _members(file: RandomAccessFile, limits: Limits) -> list[RandomAccessFile]:
    """Return the files of weights in an archive, which is closed with them, and after an error."""
    try:
        return _open_members(file, limits)
    except CkptfmtError as error:
        file.close()
        raise error.at(file.name) from None
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError, EOFError) as error:
        file.close()
        raise CorruptError(f"not an archive of Keras: {error}", file=file.name) from None


def _open_members(file: RandomAccessFile, limits: Limits) -> list[RandomAccessFile]:
    with zipfile.ZipFile(InputStream(file)) as archive:
        infos = archive.infolist()
        limits.check_names("members", len(infos), file=file.name)
        whole = [each for each in infos if os.path.basename(each.filename) == WEIGHTS]
        found = whole[:1] or [each for each in infos if each.filename.endswith(".weights.h5")]
        if not found:
            is_pickled = any(each.filename.endswith(".npz") for each in infos)
            raise UnsupportedError(
                f"no {WEIGHTS} in the archive"
                + ("; its weights are pickled: open the model in Keras, and save it again" * is_pickled)
            )
        members = [_open_member(file, archive, info, limits) for info in found]
    if not any(isinstance(member, FilePart) for member in members):
        file.close()
    return members


def _open_member(
    file: RandomAccessFile, archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits
) -> RandomAccessFile:
    """Return a member as a file: a part of the archive if it is stored there as it is, else in memory."""
    name = os.path.join(file.name, info.filename)
    if info.flag_bits & 1:
        raise UnsupportedError(f"{info.filename} is encrypted")
    if info.compress_type == zipfile.ZIP_STORED:
        return FilePart(file, _data_offset(file, info.header_offset), info.file_size, name)
    limits.check_bytes(info.filename, info.file_size, info.compress_size, file=file.name)
    with archive.open(info) as stream:
        return MemoryFile(stream.read(info.file_size + 1), name)


def _data_offset(file: RandomAccessFile, header: int) -> int:
    """Return where the bytes of a member begin: after a header whose size the directory does not say."""
    fields = _LOCAL_HEADER.unpack(file.read(header, _LOCAL_HEADER.size))
    if fields[0] != b"PK\x03\x04":
        raise CorruptError("not the header of a member", offset=header)
    return header + _LOCAL_HEADER.size + int(fields[-2]) + int(fields[-1])
