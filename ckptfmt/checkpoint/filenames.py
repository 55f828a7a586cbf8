"""How the files of a checkpoint are called.

::

    PREFIX.index  PREFIX.data-SSSSS-of-NNNNN      V2: the index, and data shard S of N
    PREFIX                                        V1 in one file
    NAME-SSSSS-of-NNNNN                           V1 in several: shard S of N; PREFIX is NAME-?????-of-NNNNN
    PREFIX.meta                                   the graph beside it; of a V1 checkpoint in shards NAME.meta
    PATH.tempstateNUMBER                          a file whose writing did not end

A prefix may hold anything a path can. It is kept as it was given: TensorFlow joins it as a string, and
pathlib would drop ``./`` and doubled separators.
"""
# ruff: noqa: PTH118

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Literal

from ckptfmt.errors import NotReadableError

INDEX_SUFFIX = ".index"
META_SUFFIX = ".meta"

DATA_SUFFIX = re.compile(r"\.data-(\d{5,}|\?{5})-of-(\d{5,}|\?{5})\Z")
"""The end of the name of a V2 data shard, or of TensorFlow's pattern for all of them."""

V1_SHARD_SUFFIX = re.compile(r"-(\d{5})-of-(\d{5})\Z")
"""The end of the name of one shard of a V1 checkpoint."""

V1_PATTERN_SUFFIX = re.compile(r"-\?{5}-of-(\d{5}|\?{5})\Z")
"""The end of the prefix of a V1 checkpoint in shards: not a pattern to a reader, but its name."""

TEMPSTATE_SUFFIX = re.compile(r"\.tempstate\d+\Z")
"""The end of the name under which TensorFlow writes a file before it renames it."""

# What stat says of a path that cannot be one: a file as a directory, a name too long, characters that
# the file system does not allow ("?" on Windows).
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}


def shard_path(prefix: str, shard: int, num_shards: int) -> str:
    """Return the path of a V2 data file."""
    return f"{prefix}.data-{shard:05d}-of-{num_shards:05d}"


def data_files(prefix: str) -> list[str]:
    """Return the V2 data files of a prefix that are there, whatever number of shards their names give."""
    directory, name = os.path.split(prefix)
    return [
        os.path.join(directory, file)
        for file in list_files(directory)
        if file.startswith(name) and DATA_SUFFIX.fullmatch(file[len(name) :])
    ]


def v1_shards(prefix: str) -> dict[str, list[str]]:
    """Return the files that a V1 prefix ``NAME-?????-of-NNNNN`` stands for, by the prefix with their number.

    More than one only where the number is given as ``?????``.
    """
    suffix = V1_PATTERN_SUFFIX.search(prefix)
    if suffix is None:
        return {}
    directory, name = os.path.split(prefix[: suffix.start()])
    count = r"\d{5}" if suffix[1] == "?????" else suffix[1]
    wanted = re.compile(rf"{re.escape(name)}-\d{{5}}-of-({count})")
    found: dict[str, list[str]] = {}
    for file in list_files(directory):
        match = wanted.fullmatch(file)
        if match:
            key = f"{prefix[: suffix.start()]}-?????-of-{match[1]}"
            found.setdefault(key, []).append(os.path.join(directory, file))
    return found


def existing_prefix(prefix: str) -> str | None:
    """Return the prefix whose files are there, by TensorFlow's rule but literally, or None.

    An index beside the prefix comes first, then a file of that very name (V1), then V1 shards. A prefix that
    was given as the path of its index loses the suffix.
    """
    if kind_of(prefix + INDEX_SUFFIX) == "file":
        return prefix
    if kind_of(prefix) == "file":
        return prefix.removesuffix(INDEX_SUFFIX)
    return prefix if v1_shards(prefix) else None


def natural_order(name: str) -> list[tuple[str, int]]:
    """Return a sort key that puts ``ckpt-9`` before ``ckpt-10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)]


def kind_of(path: str) -> Literal["file", "directory", "other"] | None:
    """Return what is at a path, or None; NotReadableError where the system does not tell."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except ValueError:
        return None  # a NUL in the path
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise NotReadableError(path, error.strerror or str(error)) from error
    return "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"


def list_files(directory: str) -> list[str]:
    """Return the names of the files in a directory, in natural order; none where it is not there."""
    return _list(directory, directories=False)


def list_directories(directory: str) -> list[str]:
    """Return the names of the directories in a directory, in natural order; none where it is not there."""
    return _list(directory, directories=True)


def _list(directory: str, *, directories: bool) -> list[str]:
    try:
        with os.scandir(directory or os.curdir) as entries:
            names = [entry.name for entry in entries if _is_wanted(entry, directories)]
    except ValueError:
        return []
    except OSError as error:
        if error.errno in _NOT_THERE:
            return []
        raise NotReadableError(directory, error.strerror or str(error)) from error
    return sorted(names, key=natural_order)


def _is_wanted(entry: os.DirEntry[str], directories: bool) -> bool:
    try:
        return entry.is_dir() if directories else entry.is_file()
    except OSError:
        return False  # a link that leads nowhere or in a circle
