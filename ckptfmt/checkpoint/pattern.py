"""Patterns of paths: V1 checkpoints whose files have names of their own, opened together.

TensorFlow opens every file that a pattern matches as one checkpoint, if all of them are V1. The language
model of the One Billion Word Benchmark is one: ``ckpt-base``, ``ckpt-lstm``, ``ckpt-softmax0`` to
``ckpt-softmax8``, with one variable cut over several of the files.
"""

from __future__ import annotations

import fnmatch
import os

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import CheckpointFiles, files_at_v1, is_table, listed_paths, table_format
from ckptfmt.errors import CheckpointNotFoundError, NotReadableError, PathNotFoundError
from ckptfmt.filenames import INDEX_SUFFIX, STATE_FILE, TEMPSTATE_SUFFIX, prefix_of_neighbour
from ckptfmt.text.patterns import is_glob


def files_matching(look: Directories, pattern: str) -> CheckpointFiles | None:
    """Return the V1 files that a pattern matches, as one checkpoint; None if it matches no table.

    Raises
    ------
    CheckpointNotFoundError
        The pattern matches V2 checkpoints, or other files besides those of V1.
    """
    paths = _matches(look, pattern)
    tables: list[str] = []
    others: list[str] = []
    indexed: dict[str, None] = {}  # the prefixes of V2 checkpoints, each once
    for path in paths:
        name = os.path.basename(path)
        prefix = prefix_of_neighbour(path)
        try:
            if prefix is not None and look.has_index(prefix):
                indexed[prefix] = None
            elif prefix is not None or TEMPSTATE_SUFFIX.search(name):
                continue  # the graph of a V1 checkpoint, or a file that was not finished
            elif is_table(look.fs, path):
                if table_format(look.fs, path) == "v1":
                    tables.append(path)
                else:
                    indexed[path.removesuffix(INDEX_SUFFIX)] = None
            elif name != STATE_FILE:
                others.append(path)
        except (PathNotFoundError, NotReadableError):
            others.append(path)
    if indexed:
        # As in TensorFlow: a pattern for V2 would lead to another checkpoint once a second one is saved.
        beside = " besides V1 files" if tables else ""
        what = (
            f"a pattern stands for files of one V1 checkpoint only, and this one matches{beside} "
            f"{listed_paths(list(indexed))}; name one checkpoint"
        )
        raise CheckpointNotFoundError(what, file=pattern, tried=list(indexed))
    if not tables:
        return None
    if others:
        what = f"the pattern matches files that are not of V1 checkpoints: {listed_paths(others)}"
        raise CheckpointNotFoundError(f"{what}; name only {listed_paths(tables)}", file=pattern, tried=paths)
    whole = files_at_v1(look, tables[0])
    return whole if set(whole.tables) == set(tables) else CheckpointFiles(pattern, "v1", tuple(tables))


def _matches(look: Directories, pattern: str) -> list[str]:
    """Return the files that a pattern matches; a directory that exists is taken literally."""
    directory, name = os.path.split(pattern)
    if not is_glob(pattern):
        return []
    if is_glob(directory) and look.fs.path_type(directory) != "directory":
        return look.fs.glob(pattern)
    parent = pattern[: len(pattern) - len(name)]
    # TensorFlow also takes [^x] for [!x].
    names = fnmatch.filter(look[directory][0].files, name.replace("[^", "[!"))
    return [parent + file for file in names if name.startswith(".") or not file.startswith(".")]
