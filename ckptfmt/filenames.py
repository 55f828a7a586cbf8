"""The grammar of file names of checkpoints and SavedModels.

::

    PREFIX.index  PREFIX.data-SSSSS-of-NNNNN      V2: the index, and data shard S of N
    PREFIX                                        V1 in one file
    NAME-SSSSS-of-NNNNN                           V1 in several: shard S of N; PREFIX is NAME-?????-of-NNNNN
    PREFIX.meta                                   the graph; NAME.meta for a V1 checkpoint in shards
    checkpoint                                    the state file: which checkpoints a directory has
    PATH.tempstateNUMBER                          a file that was not finished

A prefix may end in a separator, as in ``save_weights("weights/")`` of Keras: the files are then
``weights/.index`` and ``weights/.data-00000-of-00001``, and the state file among them calls the prefix ``.``.
A prefix may hold any characters that a path may. It is kept as it was given: TensorFlow appends to it as to
any string, whereas pathlib would drop ``./`` and doubled separators. Nothing here reads a disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

INDEX_SUFFIX = ".index"
META_SUFFIX = ".meta"

DATA_SUFFIX = re.compile(r"\.data-(\d{5,}|\?{5})-of-(\d{5,}|\?{5})\Z")
"""The end of the name of a V2 data shard, or of TensorFlow's pattern for all of them."""

V1_SHARD_SUFFIX = re.compile(r"-(\d{5})-of-(\d{5})\Z")
"""The end of the name of one shard of a V1 checkpoint."""

V1_PATTERN_SUFFIX = re.compile(r"-\?{5}-of-(\d{5}|\?{5})\Z")
"""The end of the prefix of a V1 checkpoint in shards: a name for readers, not a pattern."""

STATE_FILE = "checkpoint"
"""Name of the state file, unless the program that wrote it chose another."""

TEMPSTATE_SUFFIX = re.compile(r"\.tempstate\d+\Z")
"""The end of the name that TensorFlow gives a file until it is complete."""

CLAIM_SUFFIX = ".tempstate0"
"""The end of the name of the file that exists while a writer of this package is at work on a prefix.

It looks like the unfinished files of TensorFlow, so every reader ignores it; their numbers do not begin with
a zero.
"""

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
"""Names of the file that makes a directory a SavedModel, in the order in which TensorFlow tries them."""


class CheckpointNames(NamedTuple):
    """Names of files in one directory, grouped by the checkpoints they belong to."""

    data: dict[str, list[str]]
    """Prefix -> the ends of the names of its V2 data files, such as ``.data-00000-of-00001``."""
    shards: dict[str, dict[str, list[str]]]
    """Name -> number of shards -> the ends of the names of its V1 shards, such as ``-00000-of-00002``."""

    @classmethod
    def of(cls, files: Iterable[str]) -> CheckpointNames:
        """Group names of files; other files are left out."""
        data: dict[str, list[str]] = {}
        shards: dict[str, dict[str, list[str]]] = {}
        for file in files:
            # A name may be both: PREFIX.data-00000-of-00001 also ends like the first V1 shard of PREFIX.data.
            match = DATA_SUFFIX.search(file)
            if match:
                data.setdefault(file[: match.start()], []).append(match[0])
            match = V1_SHARD_SUFFIX.search(file)
            if match:
                shards.setdefault(file[: match.start()], {}).setdefault(match[2], []).append(match[0])
        return cls(data, shards)

    def v1_shards(self, name: str) -> dict[str, list[str]]:
        """Return the shards of a V1 prefix ``NAME-?????-of-NNNNN`` by prefix.

        There are several prefixes only if the number of shards is given as ``?????``, which stands for any.
        """
        pattern = V1_PATTERN_SUFFIX.search(name)
        if pattern is None:
            return {}
        base = name[: pattern.start()]
        return {
            f"{base}-?????-of-{count}": [base + suffix for suffix in suffixes]
            for count, suffixes in self.shards.get(base, {}).items()
            if pattern[1] in ("?????", count)
        }


def prefix_of_neighbour(path: str) -> str | None:
    """Return the prefix of a path named like a data shard or the graph of a checkpoint; None for others."""
    data = DATA_SUFFIX.search(path)
    if data is not None:
        return path[: data.start()]
    return path.removesuffix(META_SUFFIX) if path.endswith(META_SUFFIX) else None


def prefix_within(path: str) -> str | None:
    """Return the prefix ``DIR/`` of a directory given as ``DIR/`` or, as TensorFlow names it, ``DIR/.``.

    None for all other paths.
    """
    stem = path.removesuffix(os.curdir)
    separators = os.sep + (os.altsep or "")
    # "." alone is the prefix of the working directory. An empty prefix could not be given to any opener.
    return f"{path}{os.sep}" if path == os.curdir else stem if stem.endswith(tuple(separators)) else None


def count_of(path: str) -> int | None:
    """Return the number of shards in the name of a V2 data file; None if it has none, or a pattern for it."""
    match = DATA_SUFFIX.search(path)
    return int(match[2]) if match is not None and match[2].isdecimal() else None


def meta_path(prefix: str, suffix: str = META_SUFFIX) -> str:
    """Return the path of the graph of a checkpoint; the shards of one in V1 share one of that name."""
    return V1_PATTERN_SUFFIX.sub("", prefix) + suffix


def claim_path(prefix: str) -> str:
    """Return the path of the file that exists while a writer of this package is at work on a prefix."""
    return prefix + CLAIM_SUFFIX


def shard_path(prefix: str, shard: int, num_shards: int) -> str:
    """Return the path of a V2 data file."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"
