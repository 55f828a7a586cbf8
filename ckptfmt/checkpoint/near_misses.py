"""Near misses: what an error says about a path that leads to no checkpoint, and what exists instead."""

from __future__ import annotations

import os
import re

from ckptfmt import filetype
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import MAX_LISTED, is_table, listed_paths
from ckptfmt.checkpoint.scan import Scan, scan
from ckptfmt.errors import CheckpointNotFoundError, CkptfmtError
from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    META_SUFFIX,
    TEMPSTATE_SUFFIX,
    V1_SHARD_SUFFIX,
    prefix_of_neighbour,
)
from ckptfmt.storage.filesystem import Listing
from ckptfmt.text.closest import closest_names

_TEMPORARY = re.compile(r"(.*)_temp(?:_[^/]*)?", re.DOTALL)
"""The directory in which a save writes its parts: ``PREFIX_temp``, in TensorFlow 1 ``PREFIX_temp_HEX``."""


def not_found(look: Directories, path: str, prefix: str | None) -> CheckpointNotFoundError:
    """Return the error for a path that leads nowhere; it says what was tried, and what exists instead."""
    wanted = path.removesuffix(INDEX_SUFFIX) if prefix is None else prefix
    tried = [path + INDEX_SUFFIX, path] if wanted == path else [path, wanted + INDEX_SUFFIX, wanted]
    tried = list(dict.fromkeys(tried))
    hints = _near_misses(look, path, wanted)
    what = "; ".join([f"no checkpoint found: tried {', '.join(tried)}", *hints])
    return CheckpointNotFoundError(what, file=path, tried=tried)


def _near_misses(look: Directories, path: str, wanted: str) -> list[str]:
    directory, name = os.path.split(wanted)
    if look.fs.path_type(directory or os.curdir) != "directory":
        return [f"no such directory: {directory}"]
    if look.fs.path_type(path) == "other":
        return ["it is neither a file nor a directory"]
    found = scan(look, directory, near=name)
    # The likeliest first: parts of this very checkpoint, then the checkpoint itself under another form of
    # path, then names like it, then all that exist.
    hints = describe_leftovers(look, directory, found.listing, only=name)
    renamed = _renamed(look, wanted, found)
    if renamed:
        return [*hints, *renamed]
    if wanted in found.prefixes:
        return [*hints, f"{wanted} exists"]
    if shard := V1_SHARD_SUFFIX.search(wanted):
        whole = f"{wanted[: shard.start()]}-?????-of-{shard[2]}"
        if whole in found.prefixes:
            number, count = map(int, shard.groups())
            return [*hints, f"shard {number} of {count} is missing; {whole!r} opens the others"]
    by_name = {os.path.basename(prefix): prefix for prefix in found.prefixes}
    # A directory with a name like it may hold the checkpoint.
    places = {each: os.path.join(directory, each) for each in found.listing.directories} | by_name
    alike = [places[close] for close in closest_names(name, places)]
    if alike:
        hints.append(f"did you mean {' or '.join(map(repr, alike))}?")
    elif by_name:
        hints.append(f"available: {listed_paths(found.prefixes)}")
    return hints


def _renamed(look: Directories, wanted: str, found: Scan) -> list[str]:
    """Say which index may be that of a prefix whose data files exist."""
    if not look.data_files(wanted):
        return []
    index = wanted + INDEX_SUFFIX
    own = [files.tables[0] for files in found.renamed if files.prefix == wanted]
    if own:
        are = "is its index: rename it" if len(own) == 1 else "are indexes of it: rename one"
        return [f"{listed_paths(own)} {are} to {index}"]
    others = [*found.checkpoints, *found.renamed]
    lonely = list(
        dict.fromkeys(f.tables[0] for f in others if f.format == "v2" and not look.data_files(f.prefix))
    )
    if not lonely:
        return []
    has = "has no data files: rename it" if len(lonely) == 1 else "have no data files: rename one"
    return [f"{listed_paths(lonely)} {has} to {index} if it belongs to these"]


def describe_leftovers(
    look: Directories, directory: str, listing: Listing, only: str | None = None
) -> list[str]:
    """Describe the files of checkpoints without an index, for an error message; ``only`` is a prefix.

    What helps most comes first, and the graph last, so that the advice on it follows at once.
    """
    parts: dict[str, list[str]] = {}
    # The files of each prefix, whether or not a save finished them.
    for name in listing.files:
        whole = TEMPSTATE_SUFFIX.sub("", name)
        prefix = prefix_of_neighbour(whole)
        if prefix is None:
            prefix = whole.removesuffix(INDEX_SUFFIX)
        if prefix != whole and only in (None, prefix):
            parts.setdefault(prefix, []).append(name)
    data: list[str] = []
    unfinished: list[str] = []
    graphs: list[str] = []
    # Each prefix costs several look-ups in the file system, so the search ends with enough hints.
    for prefix, files in parts.items():
        if len(data) + len(unfinished) + len(graphs) >= MAX_LISTED:
            break
        if look.existing_prefix(os.path.join(directory, prefix)) is not None:
            continue
        index = prefix + INDEX_SUFFIX
        shards = [name for name in files if DATA_SUFFIX.search(name)]
        temporary = [name for name in files if TEMPSTATE_SUFFIX.search(name)]
        if shards:
            exist = "exists" if len(shards) == 1 else "exist"
            data.append(f"{listed_paths(shards)} {exist}, but {index} does not")
        elif prefix + META_SUFFIX in files:
            graphs.append(f"{prefix}{META_SUFFIX} holds only the graph: {index} does not exist")
        if temporary:
            unfinished.append(f"left by a save that did not finish: {listed_paths(temporary)}")
    temporary = _temporary_directories(look, directory, listing, only)
    return [*data, *temporary, *unfinished, *graphs, *([filetype.META_GRAPH.reader] if graphs else [])]


def is_temporary(name: str) -> bool:
    """Return whether a directory is named like one in which a save writes its parts."""
    return _TEMPORARY.fullmatch(name) is not None


def _temporary_directories(
    look: Directories, directory: str, listing: Listing, only: str | None
) -> list[str]:
    """Describe the directories of saves that wrote their parts, but did not get as far as moving them."""
    hints: list[str] = []
    for name in listing.directories:
        match = _TEMPORARY.fullmatch(name)
        if match is None or only not in (None, match[1]) or len(hints) >= MAX_LISTED:
            continue
        # After a later save under the same name, the directory says nothing about what is missing.
        if look.has_index(os.path.join(directory, match[1])):
            continue
        hint = _temporary_parts(look, os.path.join(directory, name))
        hints += [] if hint is None else [hint]
    return hints


def _temporary_parts(look: Directories, directory: str) -> str | None:
    """Say how to open the parts in the temporary directory of a save; None if it seems to have none."""
    try:
        listing = look[directory][0]
        whole = [
            prefix
            for name in listing.files
            if name.endswith(INDEX_SUFFIX)
            and look.data_files(prefix := os.path.join(directory, name.removesuffix(INDEX_SUFFIX)))
            and is_table(look.fs, os.path.join(directory, name))
        ]
    except CkptfmtError:
        return None
    left = "a save that did not finish left"
    if not whole:
        some = [name for name in listing.files if INDEX_SUFFIX in name or ".data-" in name]
        return f"{left} parts of a checkpoint in {directory}: {listed_paths(some)}" if some else None
    # The save of several hosts or devices writes a part for each, PREFIX/part-00001-of-00002.
    count = max(int(match[2]) if (match := V1_SHARD_SUFFIX.search(prefix)) else 1 for prefix in whole)
    if count == 1 and len(whole) == 1:
        return f"{left} a whole checkpoint in {directory}: open {whole[0]!r}"
    return f"{left} {len(whole)} of {count} parts of a checkpoint in {directory}: open {listed_paths(whole)}"
