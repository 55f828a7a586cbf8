"""A file system in memory, and checkpoints opened from it.

Tests use them to damage every byte of a file, to see which bytes are read, and to show that readers use only
their file system.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

import ckptfmt
import ckptfmt.storage.in_memory
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.v1 import V1Store
from ckptfmt.errors import AlreadyExistsError, NotReadableError, NotWritableError, PathNotFoundError
from ckptfmt.storage.filesystem import FileStatus, Listing, PathType, natural_order
from ckptfmt.storage.output import NewFile

PREFIX = "nowhere/ckpt"
"""A prefix whose files exist nowhere on disk."""


class MemoryFile(ckptfmt.storage.in_memory.MemoryFile):
    """A file in memory that records what is read from it, and whose content can be replaced."""

    def __init__(self, name: str, content: bytes, *, has_views: bool = True) -> None:
        super().__init__(content, name)
        self._content = content
        self.has_views = has_views
        self.reads: list[tuple[int, int]] = []
        """Offset and size of each read, in order."""

    @property
    def content(self) -> bytes:
        return self._content

    @content.setter
    def content(self, content: bytes) -> None:
        super().__init__(content, self.name)
        self._content = content

    def read(self, offset: int, size: int) -> memoryview:
        data = super().read(offset, size)
        self.reads.append((offset, size))
        return data


BEFORE = b"before!"
"""What :func:`stored` puts before the bytes of an array."""


def stored(array: np.ndarray) -> MemoryFile:
    """Return a file that holds an array's bytes among others, and has no views."""
    return MemoryFile("data", BEFORE + array.tobytes() + b"after", has_views=False)


class MemoryOutput(NewFile):
    """A file being written into a :class:`MemoryFilesystem`."""

    def __init__(self, fs: MemoryFilesystem, path: str, *, overwrite: bool = False) -> None:
        self._fs = fs
        self._name, self._overwrite = path, overwrite
        self._data = io.BytesIO()

    @property
    def name(self) -> str:
        return self._name

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._data.write(data)

    def flush(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def retarget(self, path: str) -> None:
        self._name, self._overwrite = path, False

    def commit(self) -> None:
        if not self._overwrite and self._fs.path_type(self._name) is not None:
            raise AlreadyExistsError(self._name)
        self._fs.write(self._name, self._data.getvalue())

    def discard(self) -> None:
        pass


class MemoryClaim:
    """A path of a :class:`MemoryFilesystem` that one writer has."""

    noted = b""

    def __init__(self, claimed: set[str], path: str) -> None:
        self._claimed, self._path = claimed, path
        claimed.add(path)

    def note(self, data: bytes, *, sync: bool = True) -> None:
        pass  # nobody is killed here

    def release(self) -> None:
        self._claimed.discard(self._path)

    leave = release


class MemoryFilesystem:
    """Files by path, neither local nor mapped; a directory exists if a file is in it.

    As on remote storage, there are no links and no working directory: a path is a key, except for ``.`` and
    ``//``.
    """

    def __init__(self, files: Mapping[str, bytes] = {}, *, has_views: bool = True) -> None:
        self._has_views = has_views
        self.files: dict[str, MemoryFile] = {}
        self.refused: set[str] = set()
        """Directories that refuse to be listed."""
        self._written = 0
        self._claimed: set[str] = set()
        self._status: dict[str, FileStatus] = {}
        for path, content in files.items():
            self.write(path, content)

    @staticmethod
    def _key(path: str) -> str:
        scheme, colon, rest = path.rpartition("://")
        return scheme + colon + os.path.normpath(rest)

    def write(self, path: str, content: bytes) -> None:
        """Put a file at a path. If it begins with the old content, it counts as the same file, grown."""
        key = self._key(path)
        self._written += 1
        before = self._status.get(key)
        is_grown = before is not None and content.startswith(self.files[key].content)
        identity = before.identity if before is not None and is_grown else (self._written,)
        self._status[key] = FileStatus(identity, len(content), self._written)
        self.files[key] = MemoryFile(path, content, has_views=self._has_views)

    def remove(self, path: str) -> None:
        if self._key(path) in self.files:
            del self.files[self._key(path)], self._status[self._key(path)]

    def make_directory(self, path: str) -> None:
        pass  # a directory exists if a file is in it

    def claim(self, path: str, *, wait: bool = True) -> MemoryClaim:
        if path in self._claimed:
            raise NotWritableError(path, "another program is writing it")
        return MemoryClaim(self._claimed, path)

    def _below(self, directory: str) -> Iterable[str]:
        key = self._key(directory)
        start = "" if key == "." else key.rstrip("/") + "/"
        return (path[len(start) :] for path in self.files if path.startswith(start))

    def path_type(self, path: str) -> PathType | None:
        if self._key(path) in self.files:
            return "file"
        return "directory" if any(True for _ in self._below(path)) else None

    def status(self, path: str) -> FileStatus | None:
        return self._status.get(self._key(path))

    def link_target(self, path: str) -> str | None:
        return None

    def list_directory(self, directory: str) -> Listing:
        if self._key(directory) in self.refused:
            raise NotReadableError(directory, "Permission denied")
        names = [name.partition("/") for name in self._below(directory)]
        files = {name for name, slash, _ in names if not slash}
        directories = {name for name, slash, _ in names if slash}
        return Listing(sorted(files, key=natural_order), sorted(directories, key=natural_order))

    def glob(self, pattern: str) -> list[str]:
        test = _translate(self._key(pattern))
        return sorted(filter(test.fullmatch, self.files), key=natural_order)

    def open(self, path: str, *, changing: bool = False) -> MemoryFile:
        file = self.files.get(self._key(path))
        if file is None:
            if self.path_type(path) == "directory":
                raise NotReadableError(path, "Is a directory")
            raise PathNotFoundError("no such file", file=path)
        return file

    def create(
        self,
        path: str,
        *,
        overwrite: bool = False,
        tempstate: bool = False,
        sync: bool = True,
        like: str | None = None,
    ) -> MemoryOutput:
        if not overwrite and self.path_type(path) is not None:
            raise AlreadyExistsError(path)
        return MemoryOutput(self, path, overwrite=overwrite)


def _translate(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob over paths.

    ``**/`` matches any number of directories, ``*`` no slash; neither matches a dot that begins a name.
    """
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    known = {"**/": r"(?:[^/.][^/]*/)*", "*": r"(?!(?<![^/])\.)[^/]*", "?": r"(?!(?<![^/])\.)[^/]"}
    assert "[" not in pattern, "sets of characters are not needed here"
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


def open_files(
    files: Mapping[str, bytes],
    *,
    prefix: str = PREFIX,
    tables: Sequence[str] = (),
    verify: bool = True,
    has_views: bool = True,
) -> ckptfmt.Checkpoint:
    """Open the checkpoint of a prefix among files in memory: V1 if ``tables`` are given, else V2."""
    fs = MemoryFilesystem(files, has_views=has_views)
    if tables:
        store: Store = V1Store(CheckpointFiles(prefix, "v1", tuple(tables)), fs)
    else:
        store = Bundle(CheckpointFiles(prefix, "v2", (f"{prefix}.index",)), fs)
    return ckptfmt.Checkpoint(store, verify=verify)


def open_bundle(index: bytes, *shards: bytes, verify: bool = True) -> ckptfmt.Checkpoint:
    """Open a V2 checkpoint of an index and its data files."""
    count = max(len(shards), 1)
    files = {f"{PREFIX}.data-{number:05d}-of-{count:05d}": content for number, content in enumerate(shards)}
    return open_files({f"{PREFIX}.index": index, **files}, verify=verify)


def open_tables(*tables: bytes) -> ckptfmt.Checkpoint:
    """Open a V1 checkpoint of one table, or of several shards."""
    files = {f"{PREFIX}-{i:05d}-of-{len(tables):05d}": table for i, table in enumerate(tables)}
    return open_files(files, prefix=f"{PREFIX}-?????-of-{len(tables):05d}", tables=tuple(files))
