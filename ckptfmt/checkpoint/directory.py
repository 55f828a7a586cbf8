"""Directories of checkpoints: which files are in them, with each directory listed once."""

from __future__ import annotations

import os

from ckptfmt.filenames import (
    INDEX_SUFFIX,
    V1_PATTERN_SUFFIX,
    CheckpointNames,
    prefix_of_neighbour,
    prefix_within,
)
from ckptfmt.storage.filesystem import Filesystem, Listing
from ckptfmt.table import Table


class Directories:
    """Directories of a file system as they were when they were first listed.

    A search asks for the contents of one directory many times, and listing a remote one is slow.
    """

    def __init__(self, fs: Filesystem, opened: dict[str, Table] | None = None) -> None:
        self.fs = fs
        self.opened = opened
        """Takes the table of the checkpoint that is found, by path, for whoever opens it next."""
        self._seen: dict[str | tuple[int, ...], tuple[Listing, CheckpointNames]] = {}
        """By path, and by identity, because a hostile state file may spell one directory in many ways."""

    def __getitem__(self, directory: str) -> tuple[Listing, CheckpointNames]:
        """Return the contents of a directory, empty if it does not exist; NotReadableError if refused."""
        contents = self._seen.get(directory)
        if contents is None:
            status = self.fs.status(directory or os.curdir)
            # In a file system without directories, such as an object store, a directory has no identity.
            key = os.path.normpath(directory or os.curdir) if status is None else status.identity
            contents = self._seen.get(key)
            if contents is None:
                listing = self.fs.list_directory(directory)
                contents = self._seen[key] = listing, CheckpointNames.of(listing.files)
            self._seen[directory] = contents
        return contents

    def data_files(self, prefix: str) -> list[str]:
        """Return the V2 data files of a prefix, whatever number of shards their names announce."""
        directory, name = os.path.split(prefix)
        return [prefix + suffix for suffix in self[directory][1].data.get(name, [])]

    def v1_shards(self, prefix: str) -> dict[str, list[str]]:
        """Return the files of a V1 prefix ``NAME-?????-of-NNNNN``; see :meth:`CheckpointNames.v1_shards`."""
        if V1_PATTERN_SUFFIX.search(prefix) is None:
            return {}
        directory, name = os.path.split(prefix)
        parent = prefix[: len(prefix) - len(name)]
        return {
            parent + shards: [parent + file for file in files]
            for shards, files in self[directory][1].v1_shards(name).items()
        }

    def existing_prefix(self, prefix: str) -> str | None:
        """Return the prefix whose files exist, by TensorFlow's rule but without globbing, or None.

        The index of the prefix comes first, then a file of that very name (V1), then V1 shards. The path of
        an index, a data file or a graph stands for its prefix.
        """
        if self.has_index(prefix_within(prefix) or prefix):
            return prefix
        owner = prefix_of_neighbour(prefix)
        if owner is not None and self.has_index(owner):
            return owner
        if self.fs.path_type(prefix) == "file":
            return prefix.removesuffix(INDEX_SUFFIX)
        return prefix if self._has_v1_shards(prefix) else None

    def has_index(self, prefix: str) -> bool:
        """Return whether the index of a prefix exists."""
        return self.fs.path_type(prefix + INDEX_SUFFIX) == "file"

    def _has_v1_shards(self, prefix: str) -> bool:
        """Return whether :meth:`v1_shards` returns any, without listing all of them."""
        pattern = V1_PATTERN_SUFFIX.search(prefix)
        if pattern is None:
            return False
        directory, name = os.path.split(prefix[: pattern.start()])
        counts = self[directory][1].shards.get(name, {})
        return bool(counts) if pattern[1] == "?????" else pattern[1] in counts
