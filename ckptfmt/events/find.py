"""Which files are event files, and in which order those of a run were written.

::

    events.out.tfevents.SECONDS.HOST                   TensorFlow 1
    events.out.tfevents.SECONDS.HOST.PID.NUMBER.v2     TensorFlow 2
    events.out.tfevents.SECONDS.HOST.PID.NUMBER        PyTorch
"""

from __future__ import annotations

import os
import re

from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.filenames import kind_of, list_directory, natural_order

_SECONDS = re.compile(r"tfevents\.(\d{1,18})")


def is_event_file(name: str) -> bool:
    """Whether a file is an event file, going by its name; TensorBoard asks the same."""
    return "tfevents" in name and not name.endswith((".profile-empty", ".tmp"))


def time_order(name: str) -> tuple[int, list[tuple[str, int]]]:
    """Return a sort key of names: when the file was begun, and then the numbers in the name."""
    found = _SECONDS.search(name)
    return int(found[1]) if found else 0, natural_order(name)


def event_files(directory: str) -> list[str]:
    """Return the event files that lie in a directory, in the order in which they were begun."""
    names = sorted(filter(is_event_file, list_directory(directory).files), key=time_order)
    return [os.path.join(directory, name) for name in names]


def find_runs(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the runs below a directory by name: the directories that event files lie in.

    The name is the path from there, ``.`` for the directory itself, as TensorBoard has it. A path to an event
    file is one run. Links to directories are not followed.

    Raises
    ------
    CheckpointNotFoundError
        There is nothing at this path.
    """
    path = os.fspath(path)
    there = kind_of(path)
    if there == "file":
        return {".": path}
    if there is None:
        raise CheckpointNotFoundError(f"{path}: no such file or directory", tried=[path])
    runs = {}
    for directory, folders, files in os.walk(path):
        folders.sort(key=natural_order)
        if any(map(is_event_file, files)):
            runs[os.path.relpath(directory, path).replace(os.sep, "/")] = directory
    return runs
