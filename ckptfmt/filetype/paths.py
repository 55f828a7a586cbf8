"""Paths: whether a path leads to a file, to a directory, or is the prefix of a checkpoint."""

from __future__ import annotations

import os
from contextlib import suppress

from ckptfmt.errors import CkptfmtError
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE, V1_PATTERN_SUFFIX, CheckpointNames
from ckptfmt.filetype.content import recognise_file
from ckptfmt.filetype.kinds import (
    DATA,
    DATASET,
    DIRECTORY,
    FOREIGN_KINDS,
    PREFIX,
    SAVED_MODEL_DIRECTORY,
    Kind,
)
from ckptfmt.storage.filesystem import Filesystem, Listing

MAX_NAMES = 1000
"""The most files, and the most directories, of a directory in which signs of other programs are sought."""


def recognise_path(fs: Filesystem, path: str) -> Kind | None:
    """Return what a path leads to: a file, a directory, or the prefix of a checkpoint, which is neither."""
    path_type = fs.path_type(path)
    if path_type == "directory":
        return recognise_directory(fs, path)
    if path_type == "file":
        # A data shard is recognised only by its name: its bytes are those of tensors and can be anything.
        if DATA.name is not None and DATA.name.search(path):
            return DATA
        return recognise_file(fs, path) or recognise_name(path)
    return PREFIX if path_type is None and _is_prefix(fs, path) else None


def recognise_directory(fs: Filesystem, path: str) -> Kind | None:
    """Return what a directory seems to be; None if nothing is recognised."""
    listing = fs.list_directory(path)
    for kind in (SAVED_MODEL_DIRECTORY, DIRECTORY):
        if any(sign.is_in(listing.files) for sign in kind.directory):
            return kind if kind is not DIRECTORY else _foreign_state(fs, path, listing) or kind
    return _recognise_foreign(listing)


def recognise_name(path: str) -> Kind | None:
    """Return the kind of a file whose content tells nothing."""
    kinds = (DATASET, *FOREIGN_KINDS)
    return next((kind for kind in kinds if kind.name is not None and kind.name.search(path)), None)


def _recognise_foreign(listing: Listing) -> Kind | None:
    """Return the kind of a directory that another program wrote; None if none is recognised."""
    names = [*listing.files[:MAX_NAMES], *(f"{name}/" for name in listing.directories[:MAX_NAMES])]
    kinds = (DATASET, *FOREIGN_KINDS)
    return next((kind for kind in kinds if any(sign.is_in(names) for sign in kind.directory)), None)


def _foreign_state(fs: Filesystem, path: str, listing: Listing) -> Kind | None:
    """Return the kind of a directory whose file ``checkpoint`` is another program's; else None."""
    # Flax and T5X give their checkpoints this name too.
    if STATE_FILE not in listing.files or any(name.endswith(INDEX_SUFFIX) for name in listing.files):
        return None
    kind = None
    with suppress(CkptfmtError):
        kind = recognise_file(fs, os.path.join(path, STATE_FILE))
    return (_recognise_foreign(listing) or kind) if kind in FOREIGN_KINDS else None


def _is_prefix(fs: Filesystem, path: str) -> bool:
    if fs.path_type(path + INDEX_SUFFIX) is not None:
        return True
    if V1_PATTERN_SUFFIX.search(path) is None:
        return False
    directory, name = os.path.split(path)
    return bool(CheckpointNames.of(fs.list_directory(directory).files).v1_shards(name))
