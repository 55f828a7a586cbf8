"""How the files of a checkpoint get their names, so that a kill at any moment leaves one whole checkpoint.

::

    claim       one writer at a time has a prefix; it notes the numbers of shards below (``prefix_claim``)
    data files  appear under a number of shards that no file of the prefix has
    index       appears, or replaces the old one, in one rename: readers follow it to one set or the other
    cleaning    the data files of the old index are removed, then the claim

Each step is on the disk before the next one begins, unless the writer leaves that to the system. A new
prefix gets the number of shards that was asked for, and so the very files of TensorFlow. A replaced one gets
the next free number, and empty data files, so that those exist that the index promises.

Names of data files are only ever taken, never replaced, and the index replaces a link itself, not what it
leads to. So a writer that ignores claims may win the index, but no index ever names data of two writers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from ckptfmt.checkpoint.files import table_format
from ckptfmt.checkpoint.prefix_claim import PrefixClaim, clean_directory, remove_all, shards_of_index
from ckptfmt.errors import AlreadyExistsError, CkptfmtError, CorruptError, NotWritableError
from ckptfmt.filenames import INDEX_SUFFIX, shard_path
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.output import NewFile


class Replacement:
    """The claim of a writer on a prefix, and what was there before."""

    def __init__(self, fs: Filesystem, prefix: str, *, overwrite: bool, sync: bool = True) -> None:
        """Claim a prefix, and remove what killed writers left in its directory.

        Raises AlreadyExistsError if a checkpoint exists and ``overwrite`` is not given, NotWritableError if
        another writer has the prefix or the system refuses.
        """
        self._fs, self._prefix = fs, prefix
        self._overwrite, self._sync = overwrite, sync
        self.index_path = prefix + INDEX_SUFFIX
        self._check_is_new()
        self._claim = PrefixClaim(fs, prefix)
        try:
            # Again: another writer may have finished before this one had the claim.
            self._check_is_new()
            self._old: int | None = None
            # A damaged index may be replaced, and nothing is removed that it may name. One that the system
            # refuses to read may be whole.
            with suppress(CorruptError, NotWritableError):
                self._old = shards_of_index(fs, self.index_path)
                self._claim.clean()
        except BaseException:
            self._claim.end()
            raise
        clean_directory(fs, os.path.dirname(prefix))

    def _check_is_new(self) -> None:
        if self._overwrite:
            return
        if self._exists(self.index_path):
            raise AlreadyExistsError(self.index_path)
        if self._fs.path_type(self._prefix) == "file":
            is_v1 = False
            with suppress(CkptfmtError):  # a file of that name which is no checkpoint is not in the way
                is_v1 = table_format(self._fs, self._prefix) == "v1"
            if is_v1:
                # Readers would find the new checkpoint, and nobody would find this one.
                raise AlreadyExistsError(self._prefix)

    def _exists(self, path: str) -> bool:
        return self._fs.path_type(path) is not None or self._fs.link_target(path) is not None

    def free_count(self, wanted: int) -> int:
        """Return the number of shards to write under, which no data file of the prefix has.

        Raises AlreadyExistsError if some have the wanted number and ``overwrite`` is not given.
        """
        count = wanted
        while (existing := self._in_the_way(count)) is not None:
            if not self._overwrite:
                raise AlreadyExistsError(existing)
            count += 1
        return count

    def _in_the_way(self, count: int) -> str | None:
        """Return a path that a data file would have under a number of shards, and that is taken."""
        if count == self._old:
            return self.index_path
        paths = (shard_path(self._prefix, number, count) for number in range(count))
        return next(filter(self._exists, paths), None)

    def new_data(self, number: int, count: int) -> NewFile:
        """Begin a data file; with another ``count`` at the end, it gets the name for that."""
        return self._create(shard_path(self._prefix, number, count), overwrite=True)

    def new_index(self) -> NewFile:
        """Begin the index."""
        return self._create(self.index_path, overwrite=self._overwrite)

    def _create(self, path: str, *, overwrite: bool) -> NewFile:
        # A checkpoint that only its owner may read stays one.
        return self._fs.create(
            path, overwrite=overwrite, tempstate=True, sync=self._sync, like=self.index_path
        )

    def commit(self, data: Sequence[NewFile], count: int, index: NewFile) -> None:
        """Give finished files their names, data first, and remove what the old index named.

        Raises NotWritableError, AlreadyExistsError. The old checkpoint then is as it was, unless the disk
        fails after the index has been replaced: in that case the new one is at the prefix.
        """
        padding = [self.new_data(number, count) for number in range(len(data), count)]
        named: list[str] = []
        try:
            for file in padding:
                file.finish()
            self._claim.note([count, *([] if self._old is None else [self._old])], sync=self._sync)
            self._give_names([*data, *padding], count, named)
            index.commit()
        except BaseException:
            for file in padding:
                file.discard()
            with suppress(CkptfmtError):
                self._take_back(named, count)
            raise
        # The new checkpoint is whole: that an old file cannot be removed does not make it less so.
        with suppress(CkptfmtError):
            self._claim.clean()

    def _give_names(self, files: Sequence[NewFile], count: int, named: list[str]) -> None:
        """Commit data files, and append the names that they may have got, also if that fails half-way."""
        for number, file in enumerate(files):
            path = shard_path(self._prefix, number, count)
            file.retarget(path)
            named.append(path)
            try:
                file.commit()
            except AlreadyExistsError:
                named.pop()  # another program's
                raise

    def _take_back(self, named: Sequence[str], count: int) -> None:
        """Remove the data files of a checkpoint whose index did not get its name."""
        if shards_of_index(self._fs, self.index_path) != count:
            remove_all(self._fs, named)
            self._claim.forget([count] if self._old is None else [count, self._old])

    def end(self) -> None:
        """Give up the claim."""
        self._claim.end()
