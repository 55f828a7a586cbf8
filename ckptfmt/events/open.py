"""``open_events``: the event files at a path."""

from __future__ import annotations

import os
from contextlib import closing

from ckptfmt.errors import PathNotFoundError
from ckptfmt.events.event_log import EventLog
from ckptfmt.events.find import event_files, find_runs, is_event_file
from ckptfmt.events.gather import LIMIT
from ckptfmt.filetype.content import recognise
from ckptfmt.filetype.kinds import RECORDS, Holds
from ckptfmt.filetype.refusal import misfit
from ckptfmt.record.input import compression_of
from ckptfmt.record.records import PathLike
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.text.quoting import listed


def open_events(
    path: PathLike,
    *,
    verify: bool = True,
    strict: bool = False,
    limit: int = LIMIT,
    backend: str = "mmap",
    fs: Filesystem | None = None,
) -> EventLog:
    """Open an event file, or all those of a run.

    Parameters
    ----------
    path
        An event file, compressed or not, or the directory of a run: its event files are read in the order in
        which they were begun. Directories in it are runs of their own, see :func:`ckptfmt.find_runs`. A file
        in it that is called as an event file is and is none is damage of all its bytes.
    verify
        Whether the checksums of events are verified; those of their lengths always are.
    strict
        Whether damage, and a last event that is not all there, is raised, each time anew. Else what is
        damaged is skipped, told by :attr:`EventLog.damage` and warned of
        (:class:`ckptfmt.errors.DamageWarning`).
    limit
        Bytes in memory that compressed files may ask for: those of an event, and all that is gathered.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be cut short while they are read.
    fs
        The file system that the path leads into, if it is not this machine's.

    Raises
    ------
    PathNotFoundError
        There is no such file, or no event file in the directory.
    UnsupportedError
        The file is of another kind; the message says what it is, and what reads it.
    NotReadableError
        The system refuses.
    """
    path, fs = os.fspath(path), filesystem_of(backend, fs)
    if fs.path_type(path) != "directory":
        _check_kind(path, fs)
        files = [path]
    else:
        files = event_files(fs, path)
        if not files:
            raise _no_events(path, fs)
    return EventLog(path, files, fs, verify=verify, strict=strict, limit=limit)


def _check_kind(path: str, fs: Filesystem) -> None:
    """Refuse a file of records that are no events."""
    with closing(fs.open(path)) as file:
        if compression_of(file) is None and not is_event_file(path) and recognise(file) is RECORDS:
            raise misfit(path, RECORDS, Holds.EVENTS)


def _no_events(directory: str, fs: Filesystem) -> PathNotFoundError:
    runs = list(find_runs(directory, fs=fs))
    what = "no event file in this directory"
    if runs:
        what += f"; it has {len(runs)} runs in it (ckptfmt.find_runs): {listed(runs, 10, quote=str)}"
    return PathNotFoundError(what, file=directory)
