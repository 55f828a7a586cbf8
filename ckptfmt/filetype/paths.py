"""Paths: whether a path leads to a file, to a directory, or is the prefix of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    V1_PATTERN_SUFFIX,
    CheckpointNames,
)
from ckptfmt.filetype.content import recognise_file
from ckptfmt.filetype.kinds import DATA, DIRECTORY, PREFIX, SAVED_MODEL_DIRECTORY, Kind
from ckptfmt.storage.filesystem import Filesystem


def recognise_path(fs: Filesystem, path: str) -> Kind | None:
    """Return what a path leads to: a file, a directory, or the prefix of a checkpoint, which is neither."""
    path_type = fs.path_type(path)
    if path_type == "directory":
        return _recognise_directory(fs.list_directory(path).files)
    if path_type == "file":
        # A data shard is recognised only by its name: its bytes are those of tensors and can be anything.
        return DATA if DATA_SUFFIX.search(path) else recognise_file(fs, path)
    return PREFIX if path_type is None and _is_prefix(fs, path) else None


def _is_prefix(fs: Filesystem, path: str) -> bool:
    if fs.path_type(path + INDEX_SUFFIX) is not None:
        return True
    if V1_PATTERN_SUFFIX.search(path) is None:
        return False
    directory, name = os.path.split(path)
    return bool(CheckpointNames.of(fs.list_directory(directory).files).v1_shards(name))


def _recognise_directory(files: Sequence[str]) -> Kind | None:
    if any(name in SAVED_MODEL_FILES for name in files):
        return SAVED_MODEL_DIRECTORY
    has_checkpoint = any(name == STATE_FILE or name.endswith(INDEX_SUFFIX) for name in files)
    return DIRECTORY if has_checkpoint else None
