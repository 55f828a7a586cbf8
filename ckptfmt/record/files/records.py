"""``open_records``: the records of one or more files, to iterate over, index, or follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ckptfmt.errors import CkptfmtError, CorruptError, UnsupportedError
from ckptfmt.filetype.kinds import Holds
from ckptfmt.filetype.refusal import refusal
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.record.batch import Record
from ckptfmt.record.damage import Damage, OnDamage
from ckptfmt.record.files.find import PathLike, find_record_files
from ckptfmt.record.index import RecordIndex
from ckptfmt.record.input import Source
from ckptfmt.record.patience import POLL, Patience
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of


def open_records(
    path: PathLike | Iterable[PathLike],
    *,
    verify: bool = True,
    strict: bool = False,
    limits: Limits = DEFAULT,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    on_damage: OnDamage | None = None,
) -> Records:
    """Open TFRecord files, uncompressed or compressed with GZIP or ZLIB, as their content says.

    Parameters
    ----------
    path
        A file, a pattern (``train-*.tfrecord``, ``**`` for directories within), a short name for all shards
        of a data set (``train@4`` for ``train-00000-of-00004`` and so on, ``train@*`` for any number of
        them), a directory with files of records in it, or several of these. The files of a pattern or a
        directory are read in natural order, 9 before 10.
    verify
        Whether the checksums of the records' data are verified; those of their lengths always are.
    strict
        Whether damage, or an incomplete last record, is raised. Otherwise damaged records are skipped:
        reading goes on at the next frame, :attr:`Records.damage` lists the stretch, and a
        :class:`ckptfmt.errors.DamageWarning` reports it. The checksum of a compressed file is at its end, so
        a mismatch is reported after all records have been returned.
    limits
        How much memory and work the files may take, such as :attr:`ckptfmt.Limits.max_record`.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be truncated while they are read.
    fs
        The file system that the paths lead into, if it is not this machine's.
    on_damage
        Called with the :class:`Damage` of each stretch that is skipped, in place of the warning. Warnings
        stop after the first few of a file; the callback gets every stretch.

    Raises
    ------
    PathNotFoundError, NotReadableError
        A file or a shard does not exist, no file matches a pattern, or one cannot be read.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    files = find_record_files(path, fs)
    # All of them now, so that a missing file is reported before anything is read.
    for file in files:
        fs.open(file).close()
    return Records(files, fs, verify=verify, strict=strict, limits=limits, on_damage=on_damage)


class Records:
    """The records of one or more files; each iteration starts from the first."""

    def __init__(
        self,
        files: Sequence[str],
        fs: Filesystem,
        *,
        verify: bool,
        strict: bool,
        limits: Limits,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.files = tuple(files)
        """The files, in the order in which they are read."""
        self._damage: list[list[Damage]] = []
        """The damage of each file read in the last iteration."""
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limits = limits
        self._on_damage = on_damage

    @property
    def damage(self) -> list[Damage]:
        """The damage skipped so far in the latest iteration or scan."""
        return [damage for each in self._damage for damage in each]

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records of all files.

        Raises
        ------
        CorruptError
            A file has no records at all, or reading is strict and something is damaged.
        LimitError
            A record of a compressed file is longer than the limit, or memory runs out.
        """
        # A new list each time: an earlier iteration that still runs adds to its own.
        damage: list[list[Damage]] = []
        self._damage = damage
        for file in self.files:
            yield from self._records_of(self._open(file, damage))

    def scan(self) -> RecordIndex:
        """Return an index of all records, to read any of them by number.

        Only lengths are read and checked. Damaged ones are skipped as in an iteration; damaged data are
        found when a record is read. Raises UnsupportedError if a file is compressed.
        """
        damage: list[list[Damage]] = []
        self._damage = damage
        # Each begins with an empty array, because NumPy does not concatenate nothing.
        offsets, sizes, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
        for file in self.files:
            reader = self._open(file, damage)
            with self._explaining(reader):
                if reader.compression is not None:
                    raise UnsupportedError(
                        f"compressed with {reader.compression}: records can only be read in order",
                        file=file,
                    )
                for batch in reader.batches(with_data=False):
                    offsets.append(batch.borders[:-1] + batch.base)
                    sizes.append(batch.sizes)
            counts.append(reader.count)
        return RecordIndex(
            self.files, counts, np.concatenate(offsets), np.concatenate(sizes), self._fs, self._verify
        )

    def follow(
        self,
        *,
        poll: float = POLL,
        timeout: float | None = None,
        stop: Callable[[], bool] | None = None,
        on_damage: OnDamage | None = None,
    ) -> Iterator[Record]:
        """Iterate over the records of the files, and then over those that are being written to the last one.

        The last file may end within a record, even if reading is strict. It is read again from its beginning
        if it is replaced or truncated, or if new bytes show that apparent records were the data of a single
        one. The iteration ends if the file is missing twice in a row.

        Parameters
        ----------
        poll
            Seconds between checks of the file.
        timeout
            Seconds without a new record after which the iteration ends; None waits forever.
        stop
            Called several times a second while waiting; a true result ends the iteration.
        on_damage
            Called with each stretch of damage, instead of the function passed to :func:`open_records`.
        """
        damage: list[list[Damage]] = []
        self._damage = damage
        if not self.files:
            return
        for file in self.files[:-1]:
            yield from self._records_of(self._open(file, damage, on_damage))
        reader = self._open(self.files[-1], damage, on_damage, growing=True)
        patience = Patience(poll, timeout, stop)
        try:
            while True:
                for record in reader.records():
                    patience.renew()
                    yield record
                was_missing = reader.source.is_missing
                if not patience.wait():
                    return
                reader.source.refresh()
                # A file that is replaced may be missing for a moment.
                if was_missing and reader.source.is_missing:
                    return
        finally:
            reader.source.close()

    def _open(
        self,
        file: str,
        damage: list[list[Damage]],
        on_damage: OnDamage | None = None,
        *,
        growing: bool = False,
    ) -> RecordReader:
        """Return a reader of one file, whose damage is added to the list."""
        reader = RecordReader(
            Source(file, self._fs, changing=growing),
            verify=self._verify,
            strict=self._strict,
            growing=growing,
            limit=self._limits.record,
            on_damage=on_damage or self._on_damage,
        )
        # The reader's own list, so that damage shows while the file is read.
        damage.append(reader.damage)
        return reader

    def _records_of(self, reader: RecordReader) -> Iterator[Record]:
        """Iterate over the records of one file, then close it."""
        with self._explaining(reader):
            yield from reader.records()

    @contextmanager
    def _explaining(self, reader: RecordReader) -> Iterator[None]:
        """Let the error of a file without a single record say what the file is; close it in the end."""
        try:
            yield
        except CorruptError as error:
            raise explained(error, reader, self._fs) from error.__cause__
        finally:
            reader.source.close()

    def __repr__(self) -> str:
        shown = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files"
        return f"<Records {shown!r}>"


def explained(error: CorruptError, reader: RecordReader, fs: Filesystem) -> CkptfmtError:
    """Return the error for a file that a reader refuses: what the file is, if that is known."""
    # Only a plain CorruptError at offset 0 says that the file has no records at all.
    if reader.count or error.offset != 0 or type(error) is not CorruptError:
        return error
    refused = refusal(fs, reader.source.name, Holds.RECORDS)
    return refused if isinstance(refused, UnsupportedError) else error
