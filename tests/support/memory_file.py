"""Files in memory, and checkpoints opened from them: for damage at every byte, and to see what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ckptfmt
import ckptfmt.storage.file
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.find import CheckpointFiles
from ckptfmt.checkpoint.v1 import SliceFile
from ckptfmt.errors import CheckpointNotFoundError

PREFIX = "nowhere/ckpt"
"""A prefix of which no file lies on disk."""


class MemoryFile(ckptfmt.storage.file.MemoryFile):
    """A file in memory that notes what is read of it, and whose content can be another."""

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
        found = super().read(offset, size)
        self.reads.append((offset, size))
        return found


class MemoryDisk:
    """An opener over files given by path."""

    def __init__(self, files: Mapping[str, bytes], *, has_views: bool = True) -> None:
        self.files = {path: MemoryFile(path, content, has_views=has_views) for path, content in files.items()}

    def __call__(self, path: str) -> MemoryFile:
        if path not in self.files:
            raise CheckpointNotFoundError(f"{path}: no such file", tried=[path])
        return self.files[path]


def open_files(
    files: Mapping[str, bytes],
    *,
    prefix: str = PREFIX,
    tables: Sequence[str] = (),
    verify: bool = True,
    has_views: bool = True,
) -> ckptfmt.Checkpoint:
    """Open the checkpoint of a prefix among files in memory: V1 if ``tables`` are given, else V2."""
    disk = MemoryDisk(files, has_views=has_views)
    if tables:
        store: Bundle | SliceFile = SliceFile(CheckpointFiles(prefix, "v1", tuple(tables)), disk)
    else:
        store = Bundle(CheckpointFiles(prefix, "v2", (f"{prefix}.index",)), disk)
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
