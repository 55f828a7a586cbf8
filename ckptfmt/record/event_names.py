"""Names of event files, which are files of records, and the order in which they were begun.

::

    events.out.tfevents.SECONDS.HOST                   TensorFlow 1
    events.out.tfevents.SECONDS.HOST.PID.NUMBER.v2     TensorFlow 2
    events.out.tfevents.SECONDS.HOST.PID.NUMBER        PyTorch
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from ckptfmt.errors import NotReadableError, PathNotFoundError
from ckptfmt.storage.filesystem import Filesystem, is_of_macos, natural_order

MAX_DIRECTORIES = 20
"""How many directories below one are looked at for event files."""

_SECONDS = re.compile(r"tfevents\.(\d{1,18})")


def is_event_file(name: str) -> bool:
    """Whether a file is an event file, judging by its name (not its path) as TensorBoard does."""
    return "tfevents" in name and not name.endswith((".profile-empty", ".tmp")) and not is_of_macos(name)


def time_order(name: str) -> tuple[int, list[tuple[str, int]]]:
    """Return a sort key: the time at which the file was begun, then the numbers in its name."""
    seconds = _SECONDS.search(name)
    return int(seconds[1]) if seconds else 0, natural_order(name)


def event_files(fs: Filesystem, directory: str) -> list[str]:
    """Return the event files directly in a directory, in the order in which they were begun."""
    names = sorted(filter(is_event_file, fs.list_directory(directory).files), key=time_order)
    return [os.path.join(directory, name) for name in names]


def runs_directly_below(fs: Filesystem, directory: str) -> list[str]:
    """Return the first directories directly below one that have event files, in natural order."""
    names = sorted(fs.list_directory(directory).directories, key=natural_order)[:MAX_DIRECTORIES]
    runs = []
    for path in (os.path.join(directory, name) for name in names):
        with suppress(NotReadableError, PathNotFoundError):
            if any(map(is_event_file, fs.list_directory(path).files)):
                runs.append(path)
    return runs
