"""Event files and runs by name, in the order in which they were written.

::

    events.out.tfevents.SECONDS.HOST                   TensorFlow 1
    events.out.tfevents.SECONDS.HOST.PID.NUMBER.v2     TensorFlow 2
    events.out.tfevents.SECONDS.HOST.PID.NUMBER        PyTorch
"""

from __future__ import annotations

import os
import re

from ckptfmt.errors import PathNotFoundError
from ckptfmt.storage.filesystem import Filesystem, natural_order, walk
from ckptfmt.storage.local import filesystem_of

_SECONDS = re.compile(r"tfevents\.(\d{1,18})")


def is_event_file(name: str) -> bool:
    """Whether a file is an event file, judging by its name as TensorBoard does."""
    return "tfevents" in name and not name.endswith((".profile-empty", ".tmp"))


def time_order(name: str) -> tuple[int, list[tuple[str, int]]]:
    """Return a sort key: the time at which the file was begun, then the numbers in its name."""
    seconds = _SECONDS.search(name)
    return int(seconds[1]) if seconds else 0, natural_order(name)


def event_files(fs: Filesystem, directory: str) -> list[str]:
    """Return the event files directly in a directory, in the order in which they were begun."""
    names = sorted(filter(is_event_file, fs.list_directory(directory).files), key=time_order)
    return [os.path.join(directory, name) for name in names]


def find_runs(
    path: str | os.PathLike[str], *, backend: str = "mmap", fs: Filesystem | None = None
) -> dict[str, str]:
    """Return the runs below a directory by name: every directory with event files in it.

    As in TensorBoard, the name is the path relative to the directory, and ``.`` for the directory itself. A
    path to an event file is one run. Links to directories are not followed.

    Raises
    ------
    PathNotFoundError
        The path does not exist.
    NotReadableError
        The system refuses to list the directory; one below it is left out instead.
    """
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
    return runs
