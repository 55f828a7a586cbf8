"""Strays: data files that may be a missing one under another name.

Browsers number second downloads, programs add suffixes to what they have not finished, and people rename one
file of a checkpoint but not the other.
"""

from __future__ import annotations

import os
import re

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.errors import CkptfmtError
from ckptfmt.filenames import DATA_SUFFIX, TEMPSTATE_SUFFIX, shard_path
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.quoting import listed

MAX_HINTS = 10
"""Missing data files of one checkpoint that are looked for under other names."""

_PACKED = (".gz", ".zip", ".bz2", ".xz")

_NUMBERED = re.compile(r" ?\(\d+\)| - copy(?: ?\(\d+\))?| copy(?: \d+)?", re.IGNORECASE)
"""What browsers and file managers put into the name of a second file."""

_ADDED = re.compile(
    r"\.(?:txt|bin|bak|old|orig|tmp|temp|part|partial|download|crdownload|opdownload|gz|zip|bz2|xz)\Z",
    re.IGNORECASE,
)
"""What programs put after a name, often until the file is complete."""


class Strays:
    """The files that may be missing data files of one checkpoint."""

    def __init__(self, fs: Filesystem, prefix: str, num_shards: int) -> None:
        self._look = Directories(fs)
        self._prefix = prefix
        self._num_shards = num_shards
        self._hints: dict[int, str] = {}

    def hint(self, shard: int, size: int = 0) -> str:
        """Say which files may be a missing data file of at least ``size`` bytes; empty if none seems to be.

        The first MAX_HINTS missing files are looked for. A damaged index may claim any number of them.
        """
        if shard not in self._hints and len(self._hints) < MAX_HINTS:
            self._hints[shard] = self._look_for(shard, size)
        return self._hints.get(shard, "")

    def _look_for(self, shard: int, size: int) -> str:
        directory, name = os.path.split(shard_path(self._prefix, shard, self._num_shards))
        look = self._look
        try:
            files = look[directory][0].files
            similar = [file for file in files if _is_similar(file, name, os.path.basename(self._prefix))]
            known = set(similar)
            suffix = shard_path("", shard, self._num_shards)
            for file in files:
                # The same shard of the same number, but of a prefix that has no index either.
                if file.endswith(suffix) and file not in known:
                    own = os.path.join(directory, file.removesuffix(suffix))
                    similar += [] if look.has_index(own) else [file]
            paths = [os.path.join(directory, file) for file in similar]
            statuses = [look.fs.status(path) for path in paths]
        except CkptfmtError:
            return ""  # the directory cannot be listed, and that is not what was asked
        # A file that is too short for the tensor is not the one.
        sizes = [size if status is None else status.size for status in statuses]
        paths = [path for path, own in zip(paths, sizes, strict=True) if own >= size]
        if len(paths) == 1:
            verb = "unpack" if paths[0].endswith(_PACKED) else "rename"
            return f"; {paths[0]} exists: {verb} it to {name} if it is this file"
        if paths:
            return f"; {listed(paths, quote=str)} exist: rename one to {name} if it is this file"
        count = f"-of-{self._num_shards:05d}"
        others = [path for path in look.data_files(self._prefix) if not path.endswith(count)]
        if not others:
            return ""
        return f"; the data files beside it are of another save: {listed(others, quote=str)}"


def _is_similar(file: str, wanted: str, prefix: str) -> bool:
    """Return whether the name of a file is a data file's with something changed or added."""
    if file == f"{prefix}.data":
        return True
    # Most files of a large directory are told apart without the work below.
    suffix = DATA_SUFFIX.search(file)
    if "data" not in file.casefold() or (suffix is not None and not wanted.endswith(suffix[0])):
        return False
    whole = TEMPSTATE_SUFFIX.sub("", file)
    while whole != (shorter := _ADDED.sub("", _NUMBERED.sub("", whole)).rstrip()):
        whole = shorter
    return _letters(whole) == _letters(wanted)


def _letters(name: str) -> str:
    """Return what is left of a name if separators, case and leading zeros do not count."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\W_]+", "-", name.casefold()))
