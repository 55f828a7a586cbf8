"""Scanning a directory for checkpoints, and for parts of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import (
    CheckpointFiles,
    files_at_index,
    files_at_v1,
    is_table,
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
    prefix_of_neighbour,
)
from ckptfmt.storage.filesystem import Listing, is_of_macos, natural_order

MAX_GUESSED = 1000
"""Files opened for a hint about a missing path, besides those whose neighbours show what they are."""


class Scan(NamedTuple):
    """The result of scanning a directory."""

    listing: Listing
    """The names of everything in it."""
    checkpoints: list[CheckpointFiles]
    """The checkpoints, in natural order of their prefixes."""
    renamed: list[CheckpointFiles]
    """The checkpoints whose index does not have their name; they count only if there are no others."""
    damaged: list[CorruptError]
    """The errors of tables that may have been checkpoints."""

    @property
    def prefixes(self) -> list[str]:
        """The prefixes of the checkpoints, in natural order."""
        return [files.prefix for files in self.checkpoints]


def scan(look: Directories, directory: str, near: str | None = None) -> Scan:
    """Look for the checkpoints in a directory; given the name ``near``, for those that it may stand for.

    Names say where to look, and content decides: every candidate is opened and its format read. For a name,
    the number of files opened whose neighbours do not show what they are is limited to MAX_GUESSED.
    """
    listing, checkpoint_names = look[directory]
    found: dict[str, CheckpointFiles] = {}
    renamed: list[CheckpointFiles] = []
    damaged: list[CorruptError] = []
    seen: set[str] = set()
    names = [
        name
        for name in listing.files
        if not TEMPSTATE_SUFFIX.search(name) and prefix_of_neighbour(name) is None and not is_of_macos(name)
    ]
    for name in names if near is None else _guesses(names, listing, checkpoint_names, near):
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
            continue  # deleted since, or not the user's
        except (CorruptError, UnsupportedError) as error:
            # Other programs write files named .index too. Data shards show that this is a checkpoint: it is
            # listed, and opening it reports the damage.
            if prefix == path or not look.data_files(prefix):
                if isinstance(error, CorruptError):
                    damaged.append(error)
                continue
            files = CheckpointFiles(prefix, "v2", (path,))
        # By table, so that links to one index count as one checkpoint.
        found[files.tables[0]] = files
        seen.update(files.tables)  # other shards of a V1 checkpoint lead to the same one
    # A copy of an index under another name (.bak) must not make a directory of one checkpoint ambiguous.
    checkpoints = sorted(found.values() or renamed, key=lambda files: natural_order(files.prefix))
    return Scan(listing, checkpoints, renamed, damaged)


def _guesses(
    names: Sequence[str], listing: Listing, checkpoint_names: CheckpointNames, near: str
) -> list[str]:
    """Return names that may be meant: those with telling neighbours, then those that begin like ``near``."""
    files = set(listing.files)
    likely: list[str] = []
    others: list[str] = []
    later: list[str] = []
    for name in names:
        shard = V1_SHARD_SUFFIX.search(name)
        if shard is not None:
            # The first shard stands for the set, unless it is damaged.
            first = checkpoint_names.shards[name[: shard.start()]][shard[2]][0]
            (likely if shard[0] == first else later).append(name)
        elif name + META_SUFFIX in files or name.removesuffix(INDEX_SUFFIX) in checkpoint_names.data:
            likely.append(name)
        else:
            others.append(name)
    return likely + likeliest(others + later, near, MAX_GUESSED)


def likeliest(names: Sequence[str], near: str, most: int) -> list[str]:
    """Return at most ``most`` names: all as they are, or those that begin most like ``near``."""
    if len(names) <= most:
        return list(names)
    return sorted(names, key=lambda name: -common_length(name, near))[:most]


def common_length(one: str, other: str) -> int:
    """Return the number of characters at the beginning that two names share."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def looks_like_home(look: Directories, directory: str) -> bool:
    """Return whether a directory seems to hold checkpoints, without opening its files."""
    try:
        names = look[directory][0].files
    except NotReadableError:
        return False
    return any(name.endswith(INDEX_SUFFIX) or name in (STATE_FILE, *SAVED_MODEL_FILES) for name in names)
