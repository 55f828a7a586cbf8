"""Refusals: errors for a file of the wrong kind, which say what it is and what reads it.

A reader raises :func:`refusal` for such a file, so that a user who tries to open an HDF5 file as a checkpoint
learns that h5py reads it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.filenames import (
    DATA_SUFFIX,
    INDEX_SUFFIX,
    META_SUFFIX,
    SAVED_MODEL_FILES,
    STATE_FILE,
    V1_PATTERN_SUFFIX,
    V1_SHARD_SUFFIX,
)
from ckptfmt.filetype.advice import ADVICE
from ckptfmt.filetype.kinds import EMPTY, Holds, Kind
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.storage.filesystem import Filesystem

MAX_EXAMPLES = 20
"""How many files of a directory are looked at to find an example."""


def refusal(fs: Filesystem, path: str, wanted: Holds) -> CkptfmtError:
    """Return the error for a path that does not lead to what was wanted.

    UnsupportedError if it leads to something of a known kind, else CorruptError.
    """
    return refusal_of(recognise_path(fs, path), path, wanted, fs)


def refusal_of(kind: Kind | None, name: str, wanted: Holds, fs: Filesystem | None = None) -> CkptfmtError:
    """Return the error for content of a kind, None if unknown, that errors call ``name``."""
    if kind is None:
        return CorruptError(f"not {wanted.value}, nor any other known kind of file", file=name)
    if kind is EMPTY:
        return CorruptError(f"an empty file, not {wanted.value}", file=name)
    return misfit(name, kind, wanted, fs)


def misfit(path: str, kind: Kind, wanted: Holds, fs: Filesystem | None = None) -> UnsupportedError:
    """Return the error for a path that leads to something of one kind when another was wanted.

    With ``fs`` it also says where the graph of a checkpoint is.
    """
    hints = []
    if kind in ADVICE and kind.holds is not wanted:
        # Not for a file that holds what was wanted but was refused because it is damaged: the advice would
        # send the caller back to the function that has just refused it.
        hints.append(ADVICE[kind])
    if fs is not None and wanted is not Holds.CHECKPOINT and kind.holds is Holds.CHECKPOINT:
        hints += _graph_of(fs, path)
    what = f"{kind.what}, not {wanted.value}"
    return UnsupportedError(f"{what}: {'; '.join(hints)}" if hints else what, file=path)


def _graph_of(fs: Filesystem, path: str) -> list[str]:
    """Return where the graph of a checkpoint is, as a clause; nothing if it has none."""
    base = path.removesuffix(INDEX_SUFFIX)
    for suffix in (DATA_SUFFIX, V1_SHARD_SUFFIX, V1_PATTERN_SUFFIX):
        match = suffix.search(base)
        base = base if match is None else base[: match.start()]
    if fs.path_type(base + META_SUFFIX) == "file":
        return [f"its graph is in {base}{META_SUFFIX}"]
    # There is no .meta file beside it: it may be that of a SavedModel, or the path a training directory.
    directory = path if fs.path_type(path) == "directory" else os.path.dirname(path)
    parent, name = os.path.split(directory.rstrip(os.sep))
    if name == "variables" and any(fs.path_type(os.path.join(parent, file)) for file in SAVED_MODEL_FILES):
        return [f"its graph is in the SavedModel {parent or os.curdir}"]
    if directory == path or os.path.basename(path) == STATE_FILE:
        graphs = [file for file in fs.list_directory(directory).files if file.endswith(META_SUFFIX)]
        # The last in natural order is, as a rule, the latest.
        return [f"a graph is in {os.path.join(directory, graphs[-1])}"] if graphs else []
    return []


def example_in(fs: Filesystem, directory: str) -> str | None:
    """Return a clause about one file in a directory, what it is and what reads it, or None.

    A file that this package reads is preferred.
    """
    examples: list[tuple[bool, str]] = []
    for name in fs.list_directory(directory).files[:MAX_EXAMPLES]:
        path = os.path.join(directory, name)
        with suppress(CkptfmtError):
            kind = recognise_path(fs, path)
            if kind in ADVICE:
                examples.append((kind.holds is None, f"{path} is {kind.what}: {ADVICE[kind]}"))
    return min(examples, key=lambda example: example[0])[1] if examples else None
