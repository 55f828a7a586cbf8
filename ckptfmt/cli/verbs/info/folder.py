"""What a directory holds: beside a checkpoint, or if it is not itself a checkpoint, model or log."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ckptfmt import errors
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.scan import scan
from ckptfmt.filenames import DATA_SUFFIX, INDEX_SUFFIX, meta_path
from ckptfmt.filetype.kind import Holds
from ckptfmt.filetype.kinds import SAVED_MODEL_DIRECTORY, STATE
from ckptfmt.filetype.paths import recognise_directory, recognise_path
from ckptfmt.record.event_names import event_files, is_event_file
from ckptfmt.storage.local import LOCAL

MAX_DIRECTORIES = 300
"""Directories that are listed."""

MAX_FILES = 1000
"""Files that are looked into."""

CHECKPOINT, MODEL, EVENTS, GRAPH, RECORDS = (
    *("checkpoint", "SavedModel", "TensorBoard events", "graph", "TFRecord file"),
)

_KINDS = {
    Holds.CHECKPOINT: CHECKPOINT,
    Holds.SAVED_MODEL: MODEL,
    Holds.EVENTS: EVENTS,
    Holds.GRAPH: GRAPH,
    Holds.META_GRAPH: GRAPH,
    Holds.RECORDS: RECORDS,
}


class Found(NamedTuple):
    """Something in a directory that this package reads."""

    path: str
    """Its path, which begins with that of the directory."""
    kind: str
    """One of the kinds above."""


def beside(prefix: str) -> list[Found]:
    """Return the other checkpoints of a directory, and what else in it this package reads."""
    folder = os.path.dirname(prefix)
    found = [Found(each, CHECKPOINT) for each in scan(Directories(LOCAL), folder).prefixes if each != prefix]
    for name in LOCAL.list_directory(folder or os.curdir).files:
        path = os.path.join(folder, name)
        if path == meta_path(prefix) or name == "graph.pbtxt":
            found.append(Found(path, GRAPH))
    return found + [Found(path, EVENTS) for path in event_files(LOCAL, folder or os.curdir)]


def contents(directory: str) -> list[Found]:
    """Return what a directory and those below it hold, the nearest first; a run of events counts once.

    Hidden directories are left out, and links to directories.
    """
    found: list[Found] = []
    waiting = deque([directory])
    num_files = num_directories = 0
    while waiting and num_directories < MAX_DIRECTORIES:
        path = waiting.popleft()
        num_directories += 1
        with suppress(errors.CkptfmtError):  # the user may not read it
            listing = LOCAL.list_directory(path)
            kind = recognise_directory(LOCAL, path)
            if kind is SAVED_MODEL_DIRECTORY:
                found.append(Found(path, MODEL))
                continue
            prefixes: list[str] = []
            if path == directory or (kind is not None and kind.holds is Holds.CHECKPOINT):
                prefixes = scan(Directories(LOCAL), path).prefixes
                places = prefixes if path == directory else [path][: len(prefixes)]
                found += [Found(place, CHECKPOINT) for place in places]
            if any(map(is_event_file, listing.files)):
                found.append(Found(path, EVENTS))
            names = listing.files[: MAX_FILES - num_files]
            num_files += len(names)
            found += _in_files(path, names, prefixes)
            below = (os.path.join(path, name) for name in listing.directories if not name.startswith("."))
            waiting += [each for each in below if LOCAL.link_target(each) is None]
    return list({each.path: each for each in reversed(found)}.values())[::-1]


def _in_files(directory: str, names: Sequence[str], prefixes: Sequence[str]) -> Iterator[Found]:
    """Yield the files that are something alone, not parts of a log or of these checkpoints."""
    known = {*prefixes, *map(meta_path, prefixes)}
    for name in names:
        path = os.path.join(directory, name)
        if path in known or is_event_file(name) or name.endswith(INDEX_SUFFIX) or DATA_SUFFIX.search(name):
            continue
        kind = None
        with suppress(errors.CkptfmtError):
            kind = recognise_path(LOCAL, path)
        if kind is not None and kind.holds is not None and kind is not STATE:
            yield Found(path, _KINDS[kind.holds])
