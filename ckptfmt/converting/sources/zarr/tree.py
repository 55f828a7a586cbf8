"""The files of a zarr hierarchy: in a directory of any file system, or in a zip archive."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Protocol

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import CorruptError, PathNotFoundError
from ckptfmt.limits import Limits
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem, walk
from ckptfmt.storage.stream import InputStream

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
"""The files that make a directory an array or a group."""


class Tree(Protocol):
    """Files by key, a path with slashes that begins at the root of the hierarchy."""

    def locate(self, key: str) -> str:
        """Return what errors call a file."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> memoryview | None:
        """Return a file or part of it, as slices of bytes are; None if it does not exist."""

    def directories(self, key: str) -> list[str]:
        """Return the names of the directories in a directory, links to directories left out."""

    def sizes(self, key: str) -> Iterator[int]:
        """Iterate over the sizes of all files below a directory."""

    def close(self) -> None:
        """Close the archive."""


class DirectoryTree:
    """A hierarchy in a directory."""

    def __init__(self, fs: Filesystem, path: str) -> None:
        self._fs = fs
        self._path = path

    def locate(self, key: str) -> str:
        """Return what errors call a file."""
        return os.path.join(self._path, *key.split("/")) if key else self._path

    def read(self, key: str, start: int = 0, stop: int | None = None) -> memoryview | None:
        """Return a file or part of it; None if it does not exist."""
        path = self.locate(key)
        try:
            file = self._fs.open(path)
        except PathNotFoundError:
            return None
        with closing(file):
            first, last, _ = slice(start, stop).indices(file.size)
            return file.read(first, max(0, last - first))

    def directories(self, key: str) -> list[str]:
        """Return the names of the directories in a directory."""
        path = self.locate(key)
        names = self._fs.list_directory(path).directories
        return [name for name in names if self._fs.link_target(os.path.join(path, name)) is None]

    def sizes(self, key: str) -> Iterator[int]:
        """Iterate over the sizes of all files below a directory."""
        for folder, listing in walk(self._fs, self.locate(key)):
            for name in listing.files:
                status = self._fs.status(os.path.join(folder, name))
                yield 0 if status is None else status.size

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""


class ZipTree:
    """A hierarchy in a zip archive, at its top or in its only directory."""

    def __init__(self, file: RandomAccessFile, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(InputStream(file))
            members = self._zip.infolist()
        except _ZIP_ERRORS as error:
            raise CorruptError(f"not a zip archive: {error}", file=file.name) from None
        limits.check_names("files in the archive", len(members), file=file.name)
        self._members = {member.filename: member for member in members if not member.is_dir()}
        tops = {name.partition("/")[0] for name in self._members}
        is_wrapped = len(tops) == 1 and not any(name in self._members for name in METADATA_FILES)
        self._prefix = f"{tops.pop()}/" if is_wrapped else ""

    def locate(self, key: str) -> str:
        """Return what errors call a file."""
        return f"{self._file.name}:{self._prefix}{key}"

    def read(self, key: str, start: int = 0, stop: int | None = None) -> memoryview | None:
        """Return a file or part of it; None if it does not exist."""
        member = self._members.get(self._prefix + key)
        if member is None:
            return None
        # A member may be compressed too, and says itself how many bytes it has.
        self._limits.check_bytes(
            "file in the archive", member.file_size, member.compress_size, file=self.locate(key)
        )
        try:
            return memoryview(self._zip.read(member))[start:stop]
        except _ZIP_ERRORS as error:
            raise CorruptError(str(error), file=self.locate(key)) from None

    def directories(self, key: str) -> list[str]:
        """Return the names of the directories in a directory."""
        return list(self._below.get(f"{self._prefix}{key}".strip("/"), ()))

    @cached_property
    def _below(self) -> Mapping[str, Collection[str]]:
        return directories_of(self._members)

    def sizes(self, key: str) -> Iterator[int]:
        """Iterate over the sizes of all files below a directory."""
        start = f"{self._prefix}{key}/" if key else self._prefix
        return (each.compress_size for name, each in self._members.items() if name.startswith(start))

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()
        self._file.close()


def directories_of(names: Iterable[str]) -> dict[str, dict[str, None]]:
    """Return the names of the directories in each directory, given the paths of all files."""
    below: dict[str, dict[str, None]] = {}
    for name in names:
        folder, _, _ = name.rpartition("/")
        while folder:
            parent, _, last = folder.rpartition("/")
            siblings = below.setdefault(parent, {})
            if last in siblings:
                break
            siblings[last] = None
            folder = parent
    return below


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    NotImplementedError,  # a compression or an encryption that Python does not have
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    KeyError,
    IndexError,
    UnicodeError,
)
