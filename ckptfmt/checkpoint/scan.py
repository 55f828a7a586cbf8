"""What lies in a directory: its checkpoints, and parts of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import (
    CheckpointFiles,
    files_at_index,
    files_at_v1,
    is_table,
    prefix_of_neighbour,
    renamed_prefix,
    table_format,
)
from ckptfmt.errors import CorruptError, NotReadableError, PathNotFoundError, UnsupportedError
from ckptfmt.filenames import (
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    TEMPSTATE_SUFFIX,
    V1_SHARD_SUFFIX,
    CheckpointNames,
)
from ckptfmt.storage.filesystem import Listing, natural_order

MAX_GUESSED = 1000
"""For the hint at a path that is not there, at most this many files are opened whose neighbours do not tell
that they belong to a checkpoint."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a directory."""

    listing: Listing
    """Names of all files, and which belong together."""
    checkpoints: list[CheckpointFiles]
    """The checkpoints, in natural order of their prefixes."""
    damaged: list[CorruptError]
    """What is wrong with tables that may have been checkpoints."""

    @property
    def prefixes(self) -> list[str]:
        """The prefixes of the checkpoints, in natural order."""
        return [files.prefix for files in self.checkpoints]


def scan(look: Directories, directory: str, near: str | None = None) -> Scan:
    """Look for the checkpoints in a directory; given a name, for those that it may have been meant for.

    For a name, not more than MAX_GUESSED files are opened whose neighbours do not tell what they are.
    """
    listing, names_there = look[directory]
    found: dict[str, CheckpointFiles] = {}
    renamed: list[CheckpointFiles] = []
    damaged: list[CorruptError] = []
    seen: set[str] = set()
    names = [
        name
        for name in listing.files
        if not TEMPSTATE_SUFFIX.search(name) and prefix_of_neighbour(name) is None
    ]
    for name in names if near is None else _guesses(names, listing, names_there, near):
        path = os.path.join(directory, name)
        if path in seen:
            continue
        prefix = path.removesuffix(INDEX_SUFFIX)
        try:
            if prefix != path:
                files = files_at_index(look, prefix)
            elif not is_table(look.fs, path):
                continue
            elif table_format(look.fs, path) == "v1":
                files = files_at_v1(look, path)
            else:
                renamed.append(CheckpointFiles(renamed_prefix(look, path), "v2", (path,)))
                continue
        except (PathNotFoundError, NotReadableError):
            continue  # gone since, or not ours
        except (CorruptError, UnsupportedError) as error:
            # Other programs have files called .index too; data shards tell that this is meant.
            if prefix == path or not look.data_files(prefix):
                if isinstance(error, CorruptError):
                    damaged.append(error)
                continue
            files = CheckpointFiles(prefix, "v2", (path,))
        found[files.tables[0]] = files
        seen.update(files.tables)  # the other shards of a V1 checkpoint tell nothing new
    # A copy of an index under another name (.bak) must not make a directory of one checkpoint ambiguous.
    checkpoints = sorted(found.values() or renamed, key=lambda files: natural_order(files.prefix))
    return Scan(listing, checkpoints, damaged)


def _guesses(names: Sequence[str], listing: Listing, there: CheckpointNames, near: str) -> list[str]:
    """The names that may be meant: those with neighbours that tell, then those that begin like ``near``."""
    files = set(listing.files)
    likely: list[str] = []
    others: list[str] = []
    later: list[str] = []
    for name in names:
        shard = V1_SHARD_SUFFIX.search(name)
        if shard is not None:
            # The first of a set tells for all of them, unless it is damaged.
            first = there.shards[name[: shard.start()]][shard[2]][0]
            (likely if shard[0] == first else later).append(name)
        elif name + META_SUFFIX in files or name.removesuffix(INDEX_SUFFIX) in there.data:
            likely.append(name)
        else:
            others.append(name)
    if len(others) > MAX_GUESSED:
        others.sort(key=lambda name: -_common_length(name, near))
    return likely + (others + later)[:MAX_GUESSED]


def _common_length(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def looks_like_home(look: Directories, directory: str) -> bool:
    """Whether a directory seems to hold checkpoints; its files are not opened."""
    try:
        names = look[directory][0].files
    except NotReadableError:
        return False
    return any(name.endswith(INDEX_SUFFIX) or name in (STATE_FILE, *SAVED_MODEL_FILES) for name in names)
