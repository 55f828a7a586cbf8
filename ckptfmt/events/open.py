"""``open_events``: the event files at a path."""

from __future__ import annotations

import os

from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.events.event_log import EventFile
from ckptfmt.events.find import event_files, find_runs, is_event_file
from ckptfmt.events.gather import LIMIT
from ckptfmt.filenames import kind_of
from ckptfmt.filetype.kinds import RECORDS, Holds, misfit, recognise
from ckptfmt.record.input import compression_of
from ckptfmt.record.records import PathLike
from ckptfmt.storage.file import Opener, opener_of


def open_events(
    path: PathLike,
    *,
    verify: bool = True,
    strict: bool = False,
    limit: int = LIMIT,
    backend: str = "mmap",
) -> EventFile:
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
        damaged is skipped, told by :attr:`EventFile.damage` and warned of
        (:class:`ckptfmt.errors.DamageWarning`).
    limit
        Bytes in memory that compressed files may ask for: those of an event, and all that is gathered.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be cut short while they are read.

    Raises
    ------
    CheckpointNotFoundError
        There is no such file, or no event file in the directory.
    UnsupportedError
        The file is of another kind; the message says what it is, and what reads it.
    NotReadableError
        The system refuses.
    """
    path, opener = os.fspath(path), opener_of(backend)
    if kind_of(path) != "directory":
        _check_kind(path, opener)
        files = [path]
    else:
        files = event_files(path)
        if not files:
            raise _no_events(path)
    return EventFile(path, files, opener, verify=verify, strict=strict, limit=limit)


def _check_kind(path: str, opener: Opener) -> None:
    """Refuse a file of records that are no events."""
    file = opener(path)
    try:
        if compression_of(file) is None and not is_event_file(path) and recognise(file) is RECORDS:
            raise misfit(path, RECORDS, Holds.EVENTS)
    finally:
        file.close()


def _no_events(directory: str) -> CheckpointNotFoundError:
    runs = list(find_runs(directory))
    what = f"{directory}: no event file in this directory"
    if runs:
        shown = ", ".join(runs[:10]) + (", …" if len(runs) > 10 else "")
        what += f"; it has {len(runs)} runs in it (ckptfmt.find_runs): {shown}"
    return CheckpointNotFoundError(what, tried=[directory])
