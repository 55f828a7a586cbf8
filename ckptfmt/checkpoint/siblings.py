"""Siblings: V1 files of one directory that hold slices of the same tensor, but were opened alone."""

from __future__ import annotations

import math
import os

from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles, is_table, table_format
from ckptfmt.checkpoint.scan import common_length, likeliest
from ckptfmt.checkpoint.slices import region_shape
from ckptfmt.checkpoint.v1 import V1Store
from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.text.quoting import listed

MAX_OPENED = 100
"""Files opened to look for slices of a tensor."""


def siblings_holding(entry: Entry, files: CheckpointFiles, fs: Filesystem) -> str:
    """Say which other V1 files hold slices of a tensor, and how to open them together.

    Empty if no file does, or if these files hold all elements of the tensor.
    """
    if files.format != "v1":
        return ""
    try:
        stored = sum(math.prod(region_shape(part.region(entry.shape))) for part in entry.slices)
    except CkptfmtError:
        return ""  # a slice that does not fit the tensor is what is wrong
    if stored >= math.prod(entry.shape):
        return ""
    directory, own = os.path.split(files.tables[0])
    try:
        names = Directories(fs)[directory][0].files
    except CkptfmtError:
        return ""
    others = (os.path.join(directory, other) for other in likeliest(names, own, MAX_OPENED))
    found = [path for path in others if path not in files.tables and _holds(path, entry.name, fs)]
    if not found:
        return ""
    paths = [*files.tables, *found]
    first, last = min(paths), max(paths)
    pattern = first[: common_length(first, last)] + "*"
    holds = "holds" if len(found) == 1 else "hold"
    return f"; {listed(found, quote=str)} {holds} more of it: open {pattern!r} for all of them together"


def _holds(path: str, name: str, fs: Filesystem) -> bool:
    try:
        if not is_table(fs, path) or table_format(fs, path) != "v1":
            return False
        store = V1Store(CheckpointFiles(path, "v1", (path,)), fs)
        try:
            return name in store
        finally:
            store.close()
    except CkptfmtError:
        return False  # damaged, or deleted since
