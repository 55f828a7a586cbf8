"""Prefixes that writers have, one at a time, and the data files that killed writers leave.

The claim on a prefix is the file ``PREFIX.tempstate0``. Before a writer gives data files their names, it
notes in the claim under which numbers of shards there may be data files that no index names: the new ones
until the index is switched, the old ones after that. So the claim of a killed writer says what it may have
left, and the index says which of that is the checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from contextlib import closing, suppress
from functools import lru_cache

from ckptfmt.checkpoint.bundle_index import HEADER_KEY, decode_header
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.filenames import CLAIM_SUFFIX, DATA_SUFFIX, INDEX_SUFFIX, claim_path, shard_path
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.table import Table

_NOTE = re.compile(rb"((?:\d{1,20}(?: |(?=\n)))*)\n|[\d ]*")
"""A note, or what there is of one whose writer was killed before it had given a file a name."""


class PrefixClaim:
    """The claim on a prefix, with what a killed writer noted in it."""

    def __init__(self, fs: Filesystem, prefix: str, *, wait: bool = True) -> None:
        """Claim a prefix; NotWritableError if another writer has it or the system refuses."""
        self._fs, self._prefix = fs, prefix
        self._claim = fs.claim(claim_path(prefix), wait=wait)
        note = _NOTE.fullmatch(self._claim.noted)
        self.is_valid = note is not None
        """Whether a writer of this package wrote the note, if any."""
        self._counts = set(map(int, (note[1] or b"").split())) if note is not None else set()
        """Numbers of shards under which there may be data files that the index does not name."""

    def note(self, counts: Iterable[int], *, sync: bool) -> None:
        """Note numbers of shards, besides those noted before; NotWritableError if refused."""
        # The number of a damaged index may be negative.
        noted = self._counts.union(count for count in counts if count > 0)
        self._claim.note(b" ".join(b"%d" % count for count in sorted(noted)) + b"\n", sync=sync)
        self._counts = noted

    def clean(self) -> None:
        """Remove the data files that were noted, unless the index names them.

        Raises NotWritableError if one cannot be removed, or another error if the index cannot be read.
        """
        if not self._counts:
            return
        stale = self._counts - {shards_of_index(self._fs, self._prefix + INDEX_SUFFIX)}
        if stale:
            # A note may hold any numbers: only files that exist are looked at.
            data = Directories(self._fs).data_files(self._prefix)
            remove_all(self._fs, [path for path in data if self._is_shard_of(path, stale)])
        self._counts.clear()

    def _is_shard_of(self, path: str, counts: Collection[int]) -> bool:
        """Whether a data file is a shard under one of these numbers; none has a name with other zeros."""
        match = DATA_SUFFIX.search(path)
        if match is None or not (match[1] + match[2]).isdecimal():
            return False
        number, count = int(match[1]), int(match[2])
        return number < count and count in counts and path == shard_path(self._prefix, number, count)

    def forget(self, counts: Iterable[int]) -> None:
        """Take back what was noted: these data files have been removed, or were never there."""
        self._counts.difference_update(counts)

    def end(self) -> None:
        """Let others have the prefix; they find the note if anything that was noted may remain."""
        if self._counts:
            self._claim.leave()
        else:
            self._claim.release()

    def leave(self) -> None:
        """Let others have the prefix, and find the claim as it was."""
        self._claim.leave()


def clean_directory(fs: Filesystem, directory: str) -> None:
    """Remove the data files that killed writers left in a directory.

    What the system refuses stays, and so do claims of writers that still run. On this machine, it is done
    once for each directory in a process, so that writing many checkpoints into one does not list it many
    times.
    """
    if isinstance(fs, LocalFilesystem):
        _clean_local(fs, directory)
    else:
        _clean(fs, directory)


def _clean(fs: Filesystem, directory: str) -> None:
    with suppress(CkptfmtError):
        for name in fs.list_directory(directory).files:
            if name.endswith(CLAIM_SUFFIX):
                with suppress(CkptfmtError):
                    _clean_one(fs, os.path.join(directory, name.removesuffix(CLAIM_SUFFIX)))


_clean_local = lru_cache(maxsize=256)(_clean)


def _clean_one(fs: Filesystem, prefix: str) -> None:
    claim = PrefixClaim(fs, prefix, wait=False)
    if not claim.is_valid:
        claim.leave()  # nobody knows what it is
        return
    try:
        claim.clean()
    finally:
        claim.end()


def shards_of_index(fs: Filesystem, path: str) -> int | None:
    """Return the number of shards that an index names; None if there is no index.

    Raises CorruptError, NotReadableError and the other errors of reading.
    """
    if fs.path_type(path) is None:
        return None
    with closing(fs.open(path)) as file:
        value = Table(file).get(HEADER_KEY)
    if value is None:
        raise CorruptError("a table without the empty key: not a checkpoint", file=path)
    return decode_header(bytes(value)).num_shards


def remove_all(fs: Filesystem, paths: Iterable[str]) -> None:
    """Remove files, if they exist: all that the system lets go, then NotWritableError for the first other."""
    refused: CkptfmtError | None = None
    for path in paths:
        try:
            fs.remove(path)
        except CkptfmtError as error:
            refused = refused or error
    if refused is not None:
        raise refused
