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

_PACKED = (".gz", ".zip", ".bz2", ".xz")

_NUMBERED = re.compile(r" ?\(\d+\)| - copy(?: ?\(\d+\))?| copy(?: \d+)?", re.IGNORECASE)
"""What browsers and file managers put into the name of a second file."""

_ADDED = re.compile(
    r"\.(?:txt|bin|bak|old|orig|tmp|temp|part|partial|download|crdownload|opdownload|gz|zip|bz2|xz)\Z",
    re.IGNORECASE,
)
"""What programs put after a name, often until the file is complete."""


def similar_data_files(fs: Filesystem, prefix: str, shard: int, num_shards: int, size: int = 0) -> str:
    """Say which files may be a missing data file of at least ``size`` bytes; empty if none seems to be."""
    wanted = shard_path(prefix, shard, num_shards)
    directory, name = os.path.split(wanted)
    look = Directories(fs)
    try:
        files = look[directory][0].files
        similar = [file for file in files if _is_similar(file, name, os.path.basename(prefix))]
        # Data files that match by number, of checkpoints that have no index of their own.
        suffix = shard_path("", shard, num_shards)
        lonely = (file for file in files if file.endswith(suffix) and file not in similar)
        for file in lonely:
            own = os.path.join(directory, file.removesuffix(suffix))
            if not look.has_index(own) and not DATA_SUFFIX.search(own):
                similar.append(file)
        paths = [os.path.join(directory, file) for file in similar]
        paths = [path for path in paths if (status := fs.status(path)) is None or status.size >= size]
    except CkptfmtError:
        return ""  # the directory cannot be listed, and that is not what was asked
    if len(paths) == 1:
        verb = "unpack" if paths[0].endswith(_PACKED) else "rename"
        return f"; {paths[0]} exists: {verb} it to {name} if it is this file"
    if paths:
        return f"; {listed(paths, quote=str)} exist: rename one to {name} if it is this file"
    others = [path for path in look.data_files(prefix) if not path.endswith(f"-of-{num_shards:05d}")]
    return f"; the data files beside it are of another save: {listed(others, quote=str)}" if others else ""


def _is_similar(file: str, wanted: str, prefix: str) -> bool:
    """Return whether the name of a file is a data file's with something changed or added."""
    if file == f"{prefix}.data":
        return True
    whole = TEMPSTATE_SUFFIX.sub("", file)
    while whole != (shorter := _ADDED.sub("", _NUMBERED.sub("", whole)).rstrip()):
        whole = shorter
    return _letters(whole) == _letters(wanted)


def _letters(name: str) -> str:
    """Return what is left of a name if separators, case and leading zeros do not count."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\W_]+", "-", name.casefold()))
