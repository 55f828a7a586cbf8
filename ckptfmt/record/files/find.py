"""Files of records: those of a data set that is stored in shards, those in a directory.

A data set in shards is written as TensorFlow's and Beam's writers name them::

    train-00000-of-00004 … train-00003-of-00004                         train@4 for short, or train@*
    train-00000-of-00004.tfrecord …                                     train@4.tfrecord

A missing shard is an error, because all the others can be read without it, and half a data set looks like a
whole one. Files that are listed one by one are taken as they are.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import NamedTuple, TypeAlias

from ckptfmt.errors import CkptfmtError, LimitError, NotReadableError, PathNotFoundError
from ckptfmt.filetype.refusal import instead_in, with_hints
from ckptfmt.record.event_names import is_event_file
from ckptfmt.record.input import begins_with_record
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.patterns import is_glob
from ckptfmt.text.quoting import listed

PathLike: TypeAlias = "str | os.PathLike[str]"

MAX_SHARDS = 1_000_000
"""Shards that a short name may stand for: their names are made and looked for, one by one."""

_SHORT_NAME = re.compile(r"(?P<stem>.*)@(?P<count>[1-9][0-9]{0,17}|\*)(?P<suffix>(?:\.[\w-]+)*)", re.DOTALL)
_SHARD = re.compile(
    r"(?P<stem>.*)-(?P<number>[0-9]{5,18})-of-(?P<count>[0-9]{5,18})(?P<suffix>(?:\.[\w-]+)*)", re.DOTALL
)
_RECORD_NAME = re.compile(r"\.tfrec(?:ord)?s?(?:$|[.@-])", re.IGNORECASE)
"""Part of the names of files of records, by which empty and damaged ones are found too."""


class ShardSet(NamedTuple):
    """What the names of all shards of one set have in common."""

    stem: str
    total: int
    suffix: str

    def name(self, number: int) -> str:
        """Return the name of a shard."""
        return f"{self.stem}-{number:05d}-of-{self.total:05d}{self.suffix}"

    @property
    def short_name(self) -> str:
        """The name that stands for all shards."""
        return f"{self.stem}@{self.total}{self.suffix}"

    def names(self) -> Iterator[str]:
        """Iterate over the names of all shards."""
        return map(self.name, range(self.total))


def find_record_files(paths: PathLike | Iterable[PathLike], fs: Filesystem) -> list[str]:
    """Return the files that a path, a pattern, a short name of shards, or several of these stand for.

    Raises PathNotFoundError if a pattern or a short name matches no file, or if a shard is missing. Any other
    path is returned as it is, even if it does not exist.
    """
    files: list[str] = []
    for each in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        path = os.fspath(each)
        path_type = fs.path_type(path)
        if path_type == "directory":
            files += _files_in(path, fs)
        elif path_type is None and (short := _SHORT_NAME.fullmatch(path)) is not None:
            files += _shards_of(path, short, fs)
        elif path_type is None and is_glob(path):
            files += _matching(path, fs)
        elif path_type is None and (sets := _sets_like(path, fs)):
            raise PathNotFoundError(f"no such file, but shards: {sets}", file=path)
        else:
            files.append(path)
    return files


def _shards_of(path: str, short: re.Match[str], fs: Filesystem) -> list[str]:
    """Return the shards that a short name stands for."""
    stem, suffix = short["stem"], short["suffix"]
    folder, base = os.path.split(stem)
    in_folder = fs.list_directory(folder).files
    sets = {each for each in map(shard_set, in_folder) if each is not None}
    known = [each for each in sorted(sets) if (each.stem, each.suffix) == (base, suffix)]
    counts = listed([f"@{each.total}" for each in known], quote=str) or _sets_like(stem, fs)
    if short["count"] == "*":
        if len(known) != 1:
            other = f"; there are {counts}" if counts else ""
            what = f"several sets of shards: {counts}; name one" if known else f"no shard of this name{other}"
            raise PathNotFoundError(what, file=path)
        wanted = known[0]
    else:
        wanted = ShardSet(base, int(short["count"]), suffix)
    _check_number(wanted, path)
    present = set(in_folder)
    names = list(wanted.names())
    missing = [name for name in names if name not in present]
    if len(missing) == len(names):
        other = f"; there are {counts}" if counts else ""
        what = f"no shard of this name, such as {wanted.name(0)!r}{other}"
        raise PathNotFoundError(what, file=path)
    if missing:
        raise _missing(folder, missing, wanted.total)
    return [os.path.join(folder, name) for name in names]


def _sets_like(path: str, fs: Filesystem) -> str:
    """Return a list of the short names of the shards that a path may mean; empty if there are none."""
    folder, base = os.path.split(path)
    with suppress(CkptfmtError):
        sets = {each for each in map(shard_set, fs.list_directory(folder).files) if each is not None}
        like = [
            each for each in sets if base in (each.stem, each.stem.partition(".")[0], each.stem + each.suffix)
        ]
        return listed(sorted(os.path.join(folder, each.short_name) for each in like), quote=str)
    return ""


def _matching(pattern: str, fs: Filesystem) -> list[str]:
    """Return the files that match a pattern; PathNotFoundError if a shard that it would match is missing."""
    files = fs.glob(pattern)
    if not files:
        raise PathNotFoundError("no file matches this pattern", file=pattern)
    # A pattern that matches no name of a missing shard was not meant to.
    _check_whole(files, lambda name: fnmatch.fnmatchcase(name, pattern))
    return files


def _files_in(directory: str, fs: Filesystem) -> list[str]:
    """Return the files of records directly in a directory: by name, or by their first bytes."""
    listing = fs.list_directory(directory).files
    names = [name for name in listing if not name.startswith(".") and not _is_of_events(name)]
    paths = [os.path.join(directory, name) for name in names]
    files = [path for path in paths if _RECORD_NAME.search(os.path.basename(path)) or _has_records(path, fs)]
    # Other shards of their sets may be empty or damaged.
    known, sets = set(files), {shard_set(os.path.basename(path)) for path in files} - {None}
    files = [path for path in paths if path in known or shard_set(os.path.basename(path)) in sets]
    if not files:
        events = sum(map(_is_of_events, listing))
        besides = f", besides {events} of events" if events else ""
        what = f"no file of records in this directory{besides}"
        raise PathNotFoundError(with_hints(what, [instead_in(fs, directory) or ""]), file=directory)
    _check_whole(files, lambda name: True)
    return files


def _is_of_events(name: str) -> bool:
    """Whether a file has events, judging by its name, which may be that of a data set about events."""
    return is_event_file(name) and _RECORD_NAME.search(name) is None


def shard_set(name: str) -> ShardSet | None:
    """Return the set that a file belongs to by its name, None if it is not a shard."""
    shard = _SHARD.fullmatch(name)
    return None if shard is None else ShardSet(shard["stem"], int(shard["count"]), shard["suffix"])


def _check_whole(files: Iterable[str], is_wanted: Callable[[str], bool]) -> None:
    """Raise PathNotFoundError if files are shards of a set, and a shard that is wanted too is missing."""
    present: dict[tuple[str, ShardSet], set[str]] = {}
    for path in files:
        folder, name = os.path.split(path)
        shards = shard_set(name)
        if shards is not None:
            _check_number(shards, path)
            present.setdefault((folder, shards), set()).add(name)
    for (folder, shards), names in present.items():
        missing = [name for name in shards.names() if name not in names] if len(names) < shards.total else []
        missing = [name for name in missing if is_wanted(os.path.join(folder, name))]
        if missing:
            raise _missing(folder, missing, shards.total)


def _check_number(shards: ShardSet, path: str) -> None:
    """Raise LimitError if a set, going by a name, has more shards than anyone would look for."""
    if shards.total > MAX_SHARDS:
        raise LimitError("shards of one set", limit=MAX_SHARDS, asked=shards.total, file=path)


def _missing(folder: str, names: list[str], count: int) -> PathNotFoundError:
    path = os.path.join(folder, names[0])
    rest = f", and so are {listed(names[1:])}" if len(names) > 1 else ""
    what = f"missing, one of {count} shards{rest}; list the files to read only those that exist"
    return PathNotFoundError(what, file=path)


def _has_records(path: str, fs: Filesystem) -> bool:
    try:
        with closing(fs.open(path)) as file:
            return begins_with_record(file)
    except (NotReadableError, PathNotFoundError):
        return False
