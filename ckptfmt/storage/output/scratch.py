"""Scratch files: without a name, for libraries that write here and there, and gone with the process."""

from __future__ import annotations

import os
import tempfile
from typing import IO

from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.local_file import resolve_path
from ckptfmt.storage.target import not_writable


def open_scratch(fs: Filesystem, path: str) -> IO[bytes]:
    """Return an empty file to write and read, on the disk of a local target; NotWritableError if refused."""
    directory = None
    if isinstance(fs, LocalFilesystem):
        directory = os.path.dirname(os.path.realpath(resolve_path(path, fs.directory)))
    try:
        return tempfile.TemporaryFile(dir=directory)
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error
