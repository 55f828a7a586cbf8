"""Runs: directories with event files, by name."""

from __future__ import annotations

import os

from ckptfmt.errors import PathNotFoundError
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.record.event_names import is_event_file
from ckptfmt.storage.filesystem import Filesystem, walk
from ckptfmt.storage.local import filesystem_of


def find_runs(
    path: str | os.PathLike[str],
    *,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> dict[str, str]:
    """Return the runs below a directory by name: every directory with event files in it.

    As in TensorBoard, the name is the path relative to the directory, and ``.`` for the directory itself. A
    path to an event file is one run. Links to directories are not followed.

    Raises
    ------
    LimitError
        There are more runs than ``limits.max_names``.
    PathNotFoundError
        The path does not exist.
    NotReadableError
        The system refuses to list the directory; one below it is left out instead.
    """
    check_limits(limits)
    path, fs = os.fspath(path), filesystem_of(backend, fs)
    path_type = fs.path_type(path)
    if path_type == "file":
        return {".": path}
    if path_type is None:
        raise PathNotFoundError("no such file or directory", file=path)
    runs = {}
    for directory, listing in walk(fs, path):
        if any(map(is_event_file, listing.files)):
            runs[os.path.relpath(directory, path).replace(os.sep, "/")] = directory
            limits.check_names("runs", len(runs), file=path)
    return runs
