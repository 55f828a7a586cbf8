"""Runs: the event files of one program, read in order, as far as they have been written.

A file is open only while it is read. What was read of it is remembered with its first bytes, by which a file
that has been replaced is told from one that has grown.
"""
# ruff: noqa: PTH116 -- a path is a string, see filenames

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import TypeVar

from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    CorruptError,
    DamageWarning,
    LimitError,
    TruncatedError,
)
from ckptfmt.events.event import Other, decode_events, decode_some
from ckptfmt.events.files import event_files
from ckptfmt.events.place import MAX_FILES, Store, place_of, read_head
from ckptfmt.events.scalars import ScalarDecoder
from ckptfmt.events.summaries import ROW_SIZE, Summaries
from ckptfmt.filenames import kind_of
from ckptfmt.kinds import Holds, refusal
from ckptfmt.proto import messages
from ckptfmt.record.reader import Batch, Damage, Record, RecordReader
from ckptfmt.record.records import Patience
from ckptfmt.record.source import open_source
from ckptfmt.wire.file import DescriptorFile, Opener

T = TypeVar("T")

LIMIT = 256 << 20
"""Bytes in memory that compressed event files may ask for unless the caller says otherwise."""

EVENT_SIZE = 64
"""Bytes that an event of a compressed file counts for where it is decoded alone, so that not any number of
empty ones is: few bytes decompress to many.
"""

KEPT_SIZE = 200
"""Bytes in memory of an event that is kept, without its own."""

_READ_AGAIN = ("graph_def", "meta_graph_def", "tagged_run_metadata", "session_log")
"""Events that are not of summaries and that can be asked for."""


class LogFile:
    """One event file, read forwards as it grows.

    Parameters
    ----------
    is_alone
        Whether this file was asked for by its own path: that it is no event file is an error then, else it is
        damage, of all its bytes.
    is_followed
        Whether more is waited for: a strict reader does not raise what is not all there yet.
    """

    def __init__(
        self,
        name: str,
        opener: Opener,
        *,
        verify: bool,
        strict: bool,
        limit: int,
        is_alone: bool,
        is_followed: bool = False,
    ) -> None:
        self.name = name
        self.head = b""
        """The first bytes of the file when it was read last."""
        self.reader: RecordReader | None = None
        """What reads it; None before it is read, and where it is no event file."""
        self.tail = 0
        """Bytes behind the last whole event."""
        self._stray: Damage | None = None
        self._opener = opener
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self.is_alone = is_alone
        self._is_followed = is_followed
        self._status: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """Events read so far."""
        return 0 if self.reader is None else self.reader.count

    @property
    def damage(self) -> list[Damage]:
        """What was skipped so far."""
        found = [] if self.reader is None else self.reader.damage
        return found if self._stray is None else [*found, self._stray]

    def is_changed(self) -> bool:
        """Whether there may be more to read; not where the file is gone, which is one that has ended."""
        now = _status_of(self.name)
        return self._status is None or (now is not None and now != self._status)

    def is_replaced(self) -> bool:
        """Whether there is another file by now, or this one is shorter than it was."""
        now, before = _status_of(self.name), self._status
        if now is None or before is None or now == before:
            return False
        return now[:2] != before[:2] or now[2] < before[2] or self._read_head()[: len(self.head)] != self.head

    def _read_head(self) -> bytes:
        try:
            file = self._opener(self.name)
        except CheckpointNotFoundError:
            return self.head  # gone meanwhile
        try:
            return read_head(file)
        finally:
            file.close()

    def batches(self) -> Generator[Batch, None, None]:
        """Iterate over what is there and was not read before; errors as of :meth:`RecordReader.batches`.

        UnsupportedError where the file is no event file and stands alone, or reading is strict.
        """
        reader = self._open()
        yield from self._guarded(reader, reader.batches())

    def records(self) -> Iterator[Record]:
        """Iterate over the records of what was not read before; errors as of :meth:`batches`."""
        reader = self._open()
        yield from self._guarded(reader, reader.records())

    def events(self) -> Iterator[messages.Event]:
        """Iterate over the messages of what was not read before; errors as of :meth:`batches`."""
        reader = self._open()
        yield from decode_events(reader, self._guarded(reader, reader.batches()))

    def _open(self) -> RecordReader:
        """Open the file where reading goes on."""
        # Looked at before it is read: what is written meanwhile is found the next time.
        self._status = _status_of(self.name)
        self.head, self._stray = self._read_head(), None
        if self.reader is None:
            source = open_source(self.name, self._opener)
            self.reader = RecordReader(source, verify=self._verify, strict=self._strict, limit=self._limit)
        else:
            self.reader.source.refresh()
        return self.reader

    def _guarded(self, reader: RecordReader, items: Iterator[T]) -> Iterator[T]:
        """Pass on what is read, and close the file behind it; where nothing can be read say what it is."""
        is_first = not reader.position
        try:
            for item in items:
                is_first = False
                yield item
        except TruncatedError as error:
            if not self._is_followed or error.offset != reader.position:
                raise
        except CorruptError as error:
            if not is_first or error.offset != 0 or type(error) is not CorruptError:
                raise
            self._refuse(refusal(self.name, Holds.EVENTS), error)
        finally:
            self.tail = 0 if self.reader is None else reader.tail
            reader.source.close()

    def _refuse(self, refused: CkptfmtError, error: CorruptError) -> None:
        """Say what the file is instead of one of events."""
        if self.is_alone or self._strict:
            raise refused from error
        self.reader = None
        self._stray = Damage(self.name, 0, self._status[2] if self._status else 0, refused)
        warnings.warn(str(self._stray), DamageWarning, stacklevel=2)


def _status_of(name: str) -> tuple[int, ...] | None:
    """What tells whether a file is another one or has grown: device, number, size, time; None if gone."""
    with suppress(OSError, ValueError):
        found = os.stat(name)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return None


class Run:
    """The event files of a run, and what was gathered of them."""

    def __init__(
        self, path: str, files: list[str], opener: Opener, *, verify: bool, strict: bool, limit: int
    ) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.generation = 0
        """Changes whenever there is something else to be found."""
        self._opener = opener
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self._begin(files)

    def _begin(self, names: list[str]) -> None:
        """Forget what was gathered."""
        self.names = names
        self.files: list[LogFile] = []
        files = self.files
        self.store = Store(names, lambda number: files[number].head, self._opener, verify=self._verify)
        self.summaries = Summaries()
        self.others: list[Other] = []
        self.version = self.writer = ""
        self._decoder = ScalarDecoder(verify=self._verify)
        self._memory = 0
        self._is_gathered = False
        self.generation += 1

    def _file(self, name: str, opener: Opener, *, is_followed: bool = False) -> LogFile:
        return LogFile(
            name,
            opener,
            verify=self._verify,
            strict=self._strict,
            limit=self._limit,
            is_alone=name == self.path,
            is_followed=is_followed,
        )

    # --- one after the other -------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files."""
        for name in tuple(self.names):
            yield from self._file(name, self._opener).records()

    def events(self) -> Iterator[messages.Event]:
        """Iterate over the messages of all files."""
        for name in tuple(self.names):
            yield from self._file(name, self._opener).events()

    def follow(self, patience: Patience) -> Iterator[messages.Event]:
        """Iterate over the messages of all files, and over those that are written meanwhile."""
        files = [self._file(name, DescriptorFile, is_followed=True) for name in self.names]
        while True:
            found = False
            for number, file in enumerate(files):
                if file.is_replaced():
                    file = files[number] = self._file(file.name, DescriptorFile, is_followed=True)
                if not file.is_changed():
                    continue
                try:
                    for event in file.events():
                        found = True
                        yield event
                except CheckpointNotFoundError:
                    continue  # it is gone: so it has ended
            if found:
                patience.renew()
            if not patience.wait():
                return
            known = {file.name for file in files}
            files += [
                self._file(name, DescriptorFile, is_followed=True)
                for name in self._listed()
                if name not in known
            ]

    def _listed(self) -> list[str]:
        """The event files that are there now."""
        return event_files(self.path) if kind_of(self.path) == "directory" else list(self.names)

    # --- gathered ------------------------------------------------------------------------------------------

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless that has been done; after an error nothing is gathered."""
        with self.lock:
            if not self._is_gathered:
                self._read(progress)

    def refresh(self) -> int:
        """Read what has been written since; return how many events that are."""
        with self.lock:
            self.gather()
            before = self.num_events
            listed = self._listed()
            added = [name for name in listed if name not in set(self.names)]
            is_replaced = any(file.is_replaced() for file in self.files)
            if is_replaced or (added and listed[-len(added) :] != added):
                # Places are in the order of the files, and no event is to be there twice.
                self._begin(listed)
                before = 0 if is_replaced else before
            else:
                self.names += added
            self._read(None)
            return max(0, self.num_events - before)

    def _read(self, progress: Callable[[int, int], object] | None) -> None:
        try:
            if len(self.names) > MAX_FILES:
                raise LimitError(f"{self.path}: event files", limit=MAX_FILES, asked=len(self.names))
            new = self.names[len(self.files) :]
            self.files += [self._file(name, self._opener) for name in new]
            sizes = [(_status_of(file.name) or (0, 0, 0))[2] for file in self.files]
            for number, file in enumerate(self.files):
                if file.is_changed():
                    self._read_file(number, file, sizes, progress)
            self.generation += 1
            self._is_gathered = True
        except BaseException:
            # Of a batch that was taken in part nobody can tell which part.
            self.close()
            self._begin(self.names)
            raise

    def _read_file(
        self, number: int, file: LogFile, sizes: list[int], progress: Callable[[int, int], object] | None
    ) -> None:
        try:
            with closing(file.batches()) as batches:
                for batch in batches:
                    assert file.reader is not None
                    self._take(number, file.reader, batch)
                    if progress is not None:
                        progress(sum(sizes[:number]) + file.reader.source.progress[0], sum(sizes))
        except CheckpointNotFoundError:
            # Of a directory it was listed and then removed.
            if file.is_alone:
                raise

    def _take(self, file: int, reader: RecordReader, batch: Batch) -> None:
        columns, others, damaged = self._decoder.decode(batch)
        faults: dict[int, CkptfmtError | None] = dict.fromkeys(damaged)
        is_compressed = reader.compression is not None
        memory = EVENT_SIZE * len(others)
        for each in columns:
            memory += ROW_SIZE * self.summaries.add_columns(each, file)
        borders = batch.borders
        for number, event in decode_some(reader, batch, others):
            if isinstance(event, CkptfmtError):
                faults[number] = event
                continue
            size = int(batch.sizes[number])
            place = place_of(file, batch.base + int(borders[number]))
            is_kept = self._take_event(event, place, size)
            if is_compressed:
                memory += ROW_SIZE * len(event.summary.value)
                if is_kept:
                    begin = int(batch.begins[number])
                    self.store.keep(place, bytes(batch.data[begin : begin + size]))
                    memory += KEPT_SIZE + size
                self._charge(reader.name, memory)
                memory = 0
        if is_compressed:
            self._charge(reader.name, memory)
        for number in sorted(faults):
            reader.report_record(batch, number, faults[number])

    def _charge(self, name: str, memory: int) -> None:
        """Count what a compressed file asks for: few bytes can ask for any number."""
        self._memory += memory
        if self._memory > self._limit:
            what = f"{name}: bytes in memory of what is in compressed files"
            raise LimitError(what, limit=self._limit, asked=self._memory)

    def _take_event(self, event: messages.Event, place: int, size: int) -> bool:
        """Take what an event says; return whether it is to be read again."""
        what = event.WhichOneof("what")
        if what == "summary":
            return self.summaries.add_event(event, place, size)
        if what == "file_version":
            self.version = self.version or event.file_version
            self.writer = self.writer or event.source_metadata.writer
        elif what is not None:
            self.others.append(Other(what, event.step, event.wall_time, place, size))
        return what in _READ_AGAIN

    @property
    def num_events(self) -> int:
        """How many events were gathered."""
        return sum(file.count for file in self.files)

    def close(self) -> None:
        """Close the files; what has been gathered stays."""
        self.store.close()
