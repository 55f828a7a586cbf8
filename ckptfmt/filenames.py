"""How the files of checkpoints and SavedModels are called.

::

    PREFIX.index  PREFIX.data-SSSSS-of-NNNNN      V2: the index, and data shard S of N
    PREFIX                                        V1 in one file
    NAME-SSSSS-of-NNNNN                           V1 in several: shard S of N; PREFIX is NAME-?????-of-NNNNN
    PREFIX.meta                                   the graph beside it; of a V1 checkpoint in shards NAME.meta
    checkpoint                                    the state file: which checkpoints a directory has
    PATH.tempstateNUMBER                          a file whose writing did not end

A prefix may hold anything a path can. It is kept as it was given: TensorFlow joins it as a string, and
pathlib would drop ``./`` and doubled separators.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ckptfmt.errors import NotReadableError

INDEX_SUFFIX = ".index"
META_SUFFIX = ".meta"

DATA_SUFFIX = re.compile(r"\.data-(\d{5,}|\?{5})-of-(\d{5,}|\?{5})\Z")
"""The end of the name of a V2 data shard, or of TensorFlow's pattern for all of them."""

V1_SHARD_SUFFIX = re.compile(r"-(\d{5})-of-(\d{5})\Z")
"""The end of the name of one shard of a V1 checkpoint."""

V1_PATTERN_SUFFIX = re.compile(r"-\?{5}-of-(\d{5}|\?{5})\Z")
"""The end of the prefix of a V1 checkpoint in shards: not a pattern to a reader, but its name."""

STATE_FILE = "checkpoint"
"""Name of the state file, unless the program that saved chose another."""

TEMPSTATE_SUFFIX = re.compile(r"\.tempstate\d+\Z")
"""The end of the name under which TensorFlow writes a file before it renames it."""

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
"""Names of the file that makes a directory a SavedModel, in the order in which TensorFlow looks."""

MAX_QUOTED = 300
"""Longer paths are shortened in error messages, if they come from a file."""

# What stat says of a path that cannot be one: a file as a directory, a name too long, characters that
# the file system does not allow ("?" on Windows).
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a directory, looked at once."""

    files: list[str]
    """Names of the files, in natural order."""
    directories: list[str]
    """Names of the directories, in natural order."""
    data: dict[str, list[str]]
    """The V2 data files by the name of their prefix: what follows it, as ``.data-00000-of-00001``."""
    shards: dict[str, dict[str, list[str]]]
    """The V1 shards by name and number of shards: what follows the name, as ``-00000-of-00002``."""


ListDirectory: TypeAlias = Callable[[str], Listing]
"""Lists a directory; whoever asks many times for the same one gives a function that remembers."""


def list_directory(directory: str) -> Listing:
    """Return what is in a directory, nothing where it is not there; NotReadableError where it is refused."""
    files, directories = _list(directory)
    data: dict[str, list[str]] = {}
    shards: dict[str, dict[str, list[str]]] = {}
    for file in files:
        match = DATA_SUFFIX.search(file)
        if match:
            data.setdefault(file[: match.start()], []).append(match[0])
        match = V1_SHARD_SUFFIX.search(file)
        if match:
            shards.setdefault(file[: match.start()], {}).setdefault(match[2], []).append(match[0])
    return Listing(files, directories, data, shards)


def shard_path(prefix: str, shard: int, num_shards: int) -> str:
    """Return the path of a V2 data file."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"


def data_files(prefix: str, look: ListDirectory = list_directory) -> list[str]:
    """Return the V2 data files of a prefix that are there, whatever number of shards their names give."""
    directory, name = os.path.split(prefix)
    return [prefix + suffix for suffix in look(directory).data.get(name, [])]


def v1_shards(prefix: str, look: ListDirectory = list_directory) -> dict[str, list[str]]:
    """Return the files that a V1 prefix ``NAME-?????-of-NNNNN`` stands for, by the prefix with their number.

    More than one only where the number is given as ``?????``.
    """
    pattern = V1_PATTERN_SUFFIX.search(prefix)
    if pattern is None:
        return {}
    base = prefix[: pattern.start()]
    directory, name = os.path.split(base)
    by_count = look(directory).shards.get(name, {})
    return {
        f"{base}-?????-of-{count}": [base + suffix for suffix in suffixes]
        for count, suffixes in by_count.items()
        if pattern[1] in ("?????", count)
    }


def existing_prefix(prefix: str, look: ListDirectory = list_directory) -> str | None:
    """Return the prefix whose files are there, by TensorFlow's rule but literally, or None.

    An index beside the prefix comes first, then a file of that very name (V1), then V1 shards. A prefix that
    was given as the path of its index loses the suffix.
    """
    if kind_of(prefix + INDEX_SUFFIX) == "file":
        return prefix
    if kind_of(prefix) == "file":
        return prefix.removesuffix(INDEX_SUFFIX)
    return prefix if v1_shards(prefix, look) else None


def natural_order(name: str) -> list[tuple[str, int]]:
    """Return a sort key that puts ``ckpt-9`` before ``ckpt-10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)]


def shortened(text: str) -> str:
    """Return a path or its repr as errors quote it: one that a damaged file made up may be very long."""
    if len(text) <= MAX_QUOTED:
        return text
    return f"{text[: MAX_QUOTED // 2]} … {text[-MAX_QUOTED // 2 :]} ({len(text)} characters)"


def kind_of(path: str) -> Literal["file", "directory", "other"] | None:
    """Return what is at a path, or None; NotReadableError where the system does not tell."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return None  # a NUL in the path
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise NotReadableError(path, error.strerror or str(error)) from error
    return "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"


def _list(directory: str) -> tuple[list[str], list[str]]:
    files: list[str] = []
    directories: list[str] = []
    try:
        with os.scandir(directory or os.curdir) as entries:
            for entry in entries:
                kind = _kind_of_entry(entry)
                if kind is not None:
                    (files if kind == "file" else directories).append(entry.name)
    except ValueError:
        return [], []
    except OSError as error:
        if error.errno in _NOT_THERE:
            return [], []
        raise NotReadableError(directory, error.strerror or str(error)) from error
    return sorted(files, key=natural_order), sorted(directories, key=natural_order)


def _kind_of_entry(entry: os.DirEntry[str]) -> Literal["file", "directory"] | None:
    try:
        return "file" if entry.is_file() else "directory" if entry.is_dir() else None
    except OSError:
        return None  # a link that leads nowhere or in a circle
