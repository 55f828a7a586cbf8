"""Runs: the event files of one program, read in order, and what is gathered of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from ckptfmt.errors import CkptfmtError, LimitError, PathNotFoundError
from ckptfmt.events.event import Other, decode_some
from ckptfmt.events.event_file import EventFile
from ckptfmt.events.find import event_files
from ckptfmt.events.location import MAX_FILES, pack
from ckptfmt.events.scalars.decoder import ScalarDecoder
from ckptfmt.events.store import EventStore
from ckptfmt.events.tag_table import ROW_SIZE, TagTable
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.follow import Patience
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.filesystem import Filesystem

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


class GatheredRun:
    """The event files of a run, and what was gathered of them."""

    def __init__(
        self, path: str, files: list[str], fs: Filesystem, *, verify: bool, strict: bool, limit: int
    ) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.generation = 0
        """Changes whenever there is something else to be found."""
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self._begin(files)

    def _begin(self, names: list[str]) -> None:
        """Forget what was gathered."""
        self.names = names
        self.files: list[EventFile] = []
        files = self.files
        self.store = EventStore(names, lambda number: files[number].head, self._fs, verify=self._verify)
        self.summaries = TagTable()
        self.others: list[Other] = []
        self.version = self.writer = ""
        self._decoder = ScalarDecoder(verify=self._verify)
        self._memory = 0
        self._is_gathered = False
        self.generation += 1

    def _file(self, name: str, *, is_followed: bool = False) -> EventFile:
        return EventFile(
            name,
            self._fs,
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
            yield from self._file(name).records()

    def events(self) -> Iterator[messages.Event]:
        """Iterate over the messages of all files."""
        for name in tuple(self.names):
            yield from self._file(name).events()

    def follow(self, patience: Patience) -> Iterator[messages.Event]:
        """Iterate over the messages of all files, and over those that are written meanwhile."""
        files = [self._file(name, is_followed=True) for name in self.names]
        while True:
            found = False
            for number, file in enumerate(files):
                if file.is_replaced():
                    file = files[number] = self._file(file.name, is_followed=True)
                if not file.is_changed():
                    continue
                try:
                    for event in file.events():
                        found = True
                        yield event
                except PathNotFoundError:
                    continue  # it is gone: so it has ended
            if found:
                patience.renew()
            if not patience.wait():
                return
            known = {file.name for file in files}
            files += [self._file(name, is_followed=True) for name in self._listed() if name not in known]

    def _listed(self) -> list[str]:
        """The event files that are there now."""
        is_directory = self._fs.path_type(self.path) == "directory"
        return event_files(self._fs, self.path) if is_directory else list(self.names)

    # --- gathered ------------------------------------------------------------------------------------------

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless that has been done; after an error nothing is gathered."""
        with self.lock:
            if not self._is_gathered:
                if self.files:
                    # Interrupted, and again before all had been forgotten.
                    self._begin(self.names)
                self._read(progress)

    def refresh(self) -> int:
        """Read what has been written since; return how many events that are.

        Where a file has been replaced or cut short all that is there is read anew.
        """
        with self.lock:
            self.gather()
            before = self.num_events
            listed, known = self._listed(), set(self.names)
            added = [name for name in listed if name not in known]
            is_replaced = any(file.is_replaced() for file in self.files)
            if is_replaced or (added and listed[-len(added) :] != added):
                # Places are in the order of the files, and no event is to be there twice.
                self._begin(listed)
                before = 0 if is_replaced else before
            else:
                self.names += added
            self._read(None)
            if any(file.restarts for file in self.files):
                # What was gathered of such a file is there twice, or was never there.
                self._begin(self.names)
                self._read(None)
            return max(0, self.num_events - before)

    def _read(self, progress: Callable[[int, int], object] | None) -> None:
        self._is_gathered = False
        # Opened again they are as long as they are by then.
        self.store.close()
        try:
            if len(self.names) > MAX_FILES:
                raise LimitError("event files", limit=MAX_FILES, asked=len(self.names), file=self.path)
            new = self.names[len(self.files) :]
            self.files += [self._file(name) for name in new]
            sizes = [self._size_of(file.name) for file in self.files]
            for number, file in enumerate(self.files):
                if file.is_changed():
                    self._read_file(number, file, sizes, progress)
            self.generation += 1
            self._is_gathered = True
        except BaseException:
            # Of a batch that was taken in part nobody can tell which part.
            self._begin(self.names)
            raise

    def _size_of(self, name: str) -> int:
        status = self._fs.status(name)
        return 0 if status is None else status.size

    def _read_file(
        self, number: int, file: EventFile, sizes: list[int], progress: Callable[[int, int], object] | None
    ) -> None:
        try:
            with closing(file.batches()) as batches:
                for batch in batches:
                    assert file.reader is not None
                    self._take(number, file.reader, batch)
                    if progress is not None:
                        progress(sum(sizes[:number]) + file.reader.source.progress[0], sum(sizes))
        except PathNotFoundError:
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
            place = pack(file, batch.base + int(borders[number]))
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
            what = "bytes in memory of what is in compressed files"
            raise LimitError(what, limit=self._limit, asked=self._memory, file=name)

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
