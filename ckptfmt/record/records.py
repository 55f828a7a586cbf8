"""``open_records``: the records of files, one after the other, by number, or as they are written."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, overload

import numpy as np

from ckptfmt.errors import CorruptError, PathNotFoundError, UnsupportedError
from ckptfmt.record.frame import HEADER_SIZE, OVERHEAD, decode_header
from ckptfmt.record.input import Source
from ckptfmt.record.reader import LIMIT, Batch, Damage, Record, RecordReader
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of

PathLike: TypeAlias = "str | os.PathLike[str]"

_HAS_MAGIC = re.compile(r"[*?\[]")
"""What makes a path a pattern, if nothing of that very name exists."""

POLL = 1.0
"""Seconds between two looks at a file that is being written."""

ASKED_EVERY = 0.1
"""Seconds after which a wait asks whether to end."""


def open_records(
    path: PathLike | Iterable[PathLike],
    *,
    verify: bool = True,
    strict: bool = False,
    limit: int = LIMIT,
    backend: str = "mmap",
    fs: Filesystem | None = None,
) -> Records:
    """Open a TFRecord file, not compressed or with GZIP or ZLIB, which is told by its content.

    Parameters
    ----------
    path
        The file, a pattern (``train-*.tfrecord``, ``**`` for directories within), or several of these. The
        files of a pattern are read in natural order: 9 before 10.
    verify
        Whether the checksums of the records' data are verified; those of their lengths always are.
    strict
        Whether damage, and a last record that is not all there, is raised. Else a damaged record is skipped:
        reading goes on at the next frame whose length checksum holds, :attr:`Records.damage` has the place,
        and a :class:`ckptfmt.errors.DamageWarning` tells it. The checksum of a compressed file stands at its
        end: that it does not match is told when all records have been returned.
    limit
        Bytes that one record of a compressed file may have, or a stretch of it without any.
    backend
        ``"mmap"``, or ``"pread"`` for files that may be cut short while they are read.
    fs
        The file system that the paths lead into, if it is not this machine's.

    Raises
    ------
    PathNotFoundError, NotReadableError
        There is no such file, or the system refuses it.
    """
    fs = filesystem_of(backend, fs)
    files = _expand([path] if isinstance(path, (str, os.PathLike)) else path, fs)
    for file in files:
        fs.open(file).close()
    return Records(files, fs, verify=verify, strict=strict, limit=limit)


def _expand(paths: Iterable[PathLike], fs: Filesystem) -> list[str]:
    files: list[str] = []
    for each in paths:
        path = os.fspath(each)
        if _HAS_MAGIC.search(path) and fs.path_type(path) is None:
            found = fs.glob(path)
            if not found:
                raise PathNotFoundError("no file matches this pattern", file=path)
            files += found
        else:
            files.append(path)
    return files


class Records:
    """The records of one or several files, to be iterated over; each iteration begins anew."""

    def __init__(
        self, files: Sequence[str], fs: Filesystem, *, verify: bool, strict: bool, limit: int
    ) -> None:
        self.files = tuple(files)
        """The files, in the order in which they are read."""
        self._damage: list[list[Damage]] = []
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limit = limit

    @property
    def damage(self) -> list[Damage]:
        """What was skipped so far in the iteration, or scan, that was begun last."""
        return [damage for each in self._damage for damage in each]

    def _open(self, file: str, found: list[list[Damage]], *, growing: bool = False) -> RecordReader:
        reader = RecordReader(
            Source(file, self._fs, changing=growing),
            verify=self._verify,
            strict=self._strict,
            growing=growing,
            limit=self._limit,
        )
        found.append(reader.damage)
        return reader

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records of all files.

        Raises
        ------
        CorruptError
            A file holds no records at all, or reading is strict and something is damaged.
        LimitError
            A compressed file decompresses to more than the limit without the end of a record, or memory
            lacks.
        """
        found: list[list[Damage]] = []
        self._damage = found
        for file in self.files:
            yield from self._records_of(file, found)

    def _records_of(self, file: str, found: list[list[Damage]]) -> Iterator[Record]:
        reader = self._open(file, found)
        try:
            yield from reader.records()
        finally:
            reader.source.close()

    def scan(self) -> RecordIndex:
        """Return an index of all records, by which each can be read on its own.

        Only lengths are read and checked; damaged ones are skipped as in an iteration, damaged data are
        found when they are read. UnsupportedError where a file is compressed.
        """
        found: list[list[Damage]] = []
        self._damage = found
        offsets, sizes, counts = [], [], []
        for file in self.files:
            reader = self._open(file, found)
            try:
                if reader.compression is not None:
                    raise UnsupportedError(
                        f"compressed with {reader.compression}: records can only be read in order",
                        file=file,
                    )
                batches = list(_places(reader.batches(with_data=False)))
            finally:
                reader.source.close()
            offsets += [places for places, _ in batches]
            sizes += [lengths for _, lengths in batches]
            counts.append(sum(len(places) for places, _ in batches))
        return RecordIndex(self.files, counts, _joined(offsets), _joined(sizes), self._fs, self._verify)

    def follow(
        self, *, poll: float = POLL, timeout: float | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """Iterate over the records of the files, and over those that are written to the last one meanwhile.

        Strict or not, the last file may end within a record. Where it is replaced, or is smaller than it was,
        or shows that a record is one whose parts had been taken for records, it is read from its beginning;
        where it is gone, and does not come back until the next look, this ends.

        Parameters
        ----------
        poll
            Seconds between two looks at the file.
        timeout
            Seconds without a new record after which this ends; None waits for ever.
        stop
            Asked while waiting, several times a second, whether to end.
        """
        found: list[list[Damage]] = []
        self._damage = found
        if not self.files:
            return
        for file in self.files[:-1]:
            yield from self._records_of(file, found)
        reader = self._open(self.files[-1], found, growing=True)
        patience = Patience(poll, timeout, stop)
        try:
            while True:
                for record in reader.records():
                    patience.renew()
                    yield record
                was_gone = reader.source.is_gone
                if not patience.wait():
                    return
                reader.source.refresh()
                if was_gone and reader.source.is_gone:
                    return
        finally:
            reader.source.close()

    def __repr__(self) -> str:
        shown = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files"
        return f"<Records {shown!r}>"


class Patience:
    """How long to wait for what somebody else writes."""

    def __init__(self, poll: float, timeout: float | None, stop: Callable[[], bool] | None) -> None:
        self._poll = poll
        self._timeout = timeout
        self._stop = stop
        self._since: float | None = None

    def renew(self) -> None:
        """Begin to wait anew: something has come."""
        self._since = None

    def wait(self) -> bool:
        """Wait until it is time to look again; False where it is not worth it any more.

        Time counts from the first look at which nothing more came: what the caller does with what has come
        may take as long as it likes. At the end of the time there is a last look.
        """
        if self._stop is not None and self._stop():
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif self._timeout is not None and now - self._since >= self._timeout:
            return False
        until = now + self._poll
        if self._timeout is not None:
            until = min(until, self._since + self._timeout)
        while (left := until - time.monotonic()) > 0:
            time.sleep(left if self._stop is None else min(left, ASKED_EVERY))
            if self._stop is not None and until > time.monotonic() and self._stop():
                return False
        return True


def _places(batches: Iterator[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Offset of each frame, and size of its data."""
    for batch in batches:
        yield batch.borders[:-1] + batch.base, batch.sizes


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *parts])


class RecordIndex(Sequence[Record]):
    """Where the records of files lie: reads any of them by its number."""

    def __init__(
        self,
        files: tuple[str, ...],
        counts: list[int],
        offsets: np.ndarray,
        sizes: np.ndarray,
        fs: Filesystem,
        verify: bool,
    ) -> None:
        self.files = files
        """The files."""
        self.file_numbers = np.repeat(np.arange(len(counts)), counts)
        """Of each record the number of its file (int64)."""
        self.offsets = offsets
        """Of each record where its frame begins in its file (int64)."""
        self.sizes = sizes
        """Of each record the bytes of its data (int64)."""
        self._fs = fs
        self._verify = verify
        self._opened: dict[int, RandomAccessFile] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Return a record, or those of a slice.

        Raises ChecksumError where its data are damaged, TruncatedError where the file has been cut short,
        CorruptError where the record is not there any more, since the file was replaced for example.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        offset, size = int(self.offsets[index]), int(self.sizes[index])
        number = int(self.file_numbers[index])
        file = self._opened.get(number)
        if file is None:
            file = self._opened[number] = self._fs.open(self.files[number])
        data = file.read(offset, size + OVERHEAD)
        if decode_header(data[:HEADER_SIZE]) != size:
            what = "no record at this offset any more: the file changed after scan()"
            raise CorruptError(what, file=file.name, offset=offset)
        batch = Batch(data, offset, np.array([0, len(data)], np.int64))
        error = batch.check(0, file.name) if self._verify else None
        if error is not None:
            raise error
        begin = int(batch.begins[0])
        return Record(batch.data[begin : begin + size], offset, file.name)

    def close(self) -> None:
        """Close the files."""
        for file in self._opened.values():
            file.close()
        self._opened.clear()

    def __repr__(self) -> str:
        return f"<RecordIndex of {len(self)} records in {len(self.files)} files>"
