"""How the files of a checkpoint get their names, so that a kill at any moment leaves one whole checkpoint.

::

    claim       one writer at a time has a prefix (PREFIX.tempstate0); it notes the numbers of shards below
    data files  appear under a number of shards that no file of the prefix has
    index       appears, or replaces the old one, in one rename: readers follow it to one set or the other
    cleaning    the data files of the old index are removed, then the claim

A program that finds the claim of a killed one removes the data files with a number that was noted, except
those that the index names. A new prefix gets the number of shards that was asked for, and so the very files
of TensorFlow. A replaced one gets the next free number, and an index that promises shards which nothing is
in: no reader looks for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing, suppress

from ckptfmt.checkpoint.bundle_index import HEADER_KEY, decode_header
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.errors import AlreadyExistsError, CkptfmtError
from ckptfmt.filenames import INDEX_SUFFIX, claim_path, shard_path
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.output import NewFile
from ckptfmt.table import Table

_COUNT = re.compile(r"-of-(\d{5,})\Z")


class Replacement:
    """The claim of a writer on a prefix, and what was there before."""

    def __init__(self, fs: Filesystem, prefix: str, *, overwrite: bool) -> None:
        """Claim a prefix, and remove what a killed writer left.

        Raises AlreadyExistsError if a checkpoint exists and ``overwrite`` is not given, NotWritableError if
        another writer has the prefix or the system refuses.
        """
        self._fs, self._prefix, self._overwrite = fs, prefix, overwrite
        self.index_path = prefix + INDEX_SUFFIX
        if not overwrite and fs.path_type(self.index_path) is not None:
            raise AlreadyExistsError(self.index_path)
        self._claim = fs.claim(claim_path(prefix))
        try:
            # Again: another writer may have finished before this one had the claim.
            if not overwrite and fs.path_type(self.index_path) is not None:
                raise AlreadyExistsError(self.index_path)
            self._old = _shards_of_index(fs, self.index_path)
            noted = _decode_note(self._claim.noted)
            if noted and (self._old is not None or fs.path_type(self.index_path) is None):
                self._remove_data({count for count in noted if count != self._old})
        except BaseException:
            self._claim.release()
            raise

    def free_count(self, wanted: int) -> int:
        """Return the number of shards to write under, which no data file of the prefix has."""
        taken = self._counts()
        if wanted not in taken:
            return wanted
        if not self._overwrite:
            path = next(path for path in self._data_files() if _count_of(path) == wanted)
            raise AlreadyExistsError(path)
        return next(count for count in range(wanted, wanted + len(taken) + 1) if count not in taken)

    def commit(self, data: Sequence[NewFile], count: int, index: NewFile) -> None:
        """Give finished files their names, data first, and remove what the old index named."""
        self._claim.note(_encode_note([count, *([] if self._old is None else [self._old])]))
        try:
            for number, file in enumerate(data):
                file.retarget(shard_path(self._prefix, number, count))
                file.commit()
            index.commit()
        except BaseException:
            with suppress(CkptfmtError):
                if _shards_of_index(self._fs, self.index_path) != count:
                    self._remove_data({count})
            raise
        if self._old is not None and self._old != count:
            # The new checkpoint is whole: that an old file cannot be removed does not make it less so.
            with suppress(CkptfmtError):
                self._remove_data({self._old})

    def release(self) -> None:
        """Give up the claim."""
        self._claim.release()

    def _data_files(self) -> list[str]:
        return Directories(self._fs).data_files(self._prefix)

    def _counts(self) -> set[int]:
        return set(map(_count_of, self._data_files()))

    def _remove_data(self, counts: set[int]) -> None:
        for path in self._data_files():
            if _count_of(path) in counts:
                self._fs.remove(path)


def _count_of(path: str) -> int:
    match = _COUNT.search(path)
    return int(match[1]) if match else 0


def _shards_of_index(fs: Filesystem, path: str) -> int | None:
    """Return the number of shards that an index names; None if there is no index, or it cannot be read."""
    if fs.path_type(path) is None:
        return None
    try:
        with closing(fs.open(path)) as file:
            value = Table(file).get(HEADER_KEY)
        return None if value is None else decode_header(bytes(value)).num_shards
    except CkptfmtError:
        return None


def _encode_note(counts: Sequence[int]) -> bytes:
    return b" ".join(str(count).encode() for count in counts) + b"\n"


def _decode_note(note: bytes) -> list[int]:
    """Return the numbers of shards in a note; none if it was not written whole."""
    return list(map(int, note.split())) if re.fullmatch(rb"\d{1,9}( \d{1,9})*\n", note) else []
