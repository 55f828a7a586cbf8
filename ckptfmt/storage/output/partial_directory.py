"""Directories that are kept when writing stops, as files are (:mod:`ckptfmt.storage.output.partial`).

A note says that what it is about is in the files: whoever writes them has closed them before. Files of which
no note speaks may be cut short, and are written again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from ckptfmt.errors import CkptfmtError
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output.directory import LocalDirectory
from ckptfmt.storage.output.journal import Journal
from ckptfmt.storage.output.partial import JOURNAL, NOTED_AFTER, PARTIAL
from ckptfmt.storage.target import not_writable
from ckptfmt.storage.temporary import remove_tree


class PartialDirectory(LocalDirectory):
    """A directory that appears under its name when it is whole, and is kept until then.

    Parameters
    ----------
    fs, path, overwrite
        As for :func:`create_directory`.
    key
        What is being written: a later writer goes on only if this is the same.
    """

    _rewrites = True

    def __init__(self, fs: LocalFilesystem, path: str, key: str, *, overwrite: bool) -> None:
        self._key = key
        self._journal: Journal | None = None
        self._waiting: list[tuple[int, Any]] = []
        self._noted_at = time.monotonic()
        super().__init__(fs, path, overwrite=overwrite, check=lambda: None)

    def _begin(self, parent: str) -> str:
        partial = self._target + PARTIAL
        journal = self._journal = Journal(self._target + JOURNAL, self._name, self._key)
        try:
            self.was_begun = not journal.is_new and os.path.isdir(partial)
            """Whether an earlier writer with this key has begun the directory."""
            self.was_another = journal.has_other_key
            """Whether what an earlier writer began had another key, and is lost."""
            if not self.was_begun:
                with suppress(FileNotFoundError):
                    if os.path.islink(partial) or not os.path.isdir(partial):
                        os.unlink(partial)
                remove_tree(partial)
                journal.begin()
                os.mkdir(partial)
        except BaseException:
            journal.leave()
            raise
        self.notes = [note for _, note in journal.notes]
        """What earlier writers noted, in order."""
        return partial

    def note(self, note: Any) -> None:  # noqa: ANN401  (whatever JSON holds)
        """Note that something is in the files, in the journal soon; NotWritableError if refused."""
        self._waiting.append((0, note))
        if time.monotonic() - self._noted_at >= NOTED_AFTER:
            self._keep()

    def _keep(self) -> None:
        if self._waiting and self._journal is not None:
            if not self._is_synced:
                self._sync()
            self._journal.add(self._waiting)
            self._waiting, self._noted_at = [], time.monotonic()

    def commit(self) -> None:
        """Give the directory its name."""
        try:
            self._commit()
        except BaseException as error:
            self.discard()
            if isinstance(error, (OSError, ValueError)) and not isinstance(error, CkptfmtError):
                raise not_writable(self._name, error) from error
            raise
        # After an exchange, this is the old directory.
        remove_tree(self._temporary)
        if self._journal is not None:
            self._journal.remove()
            self._journal = None

    def discard(self) -> None:
        """Keep what was written and noted for a later writer."""
        if self._journal is not None:
            with suppress(CkptfmtError):
                self._keep()
            self._journal.leave()
            self._journal = None
