"""A run being gathered: its event files are read in order, and each event goes where questions need it.

Scalars of a batch are decoded together (:mod:`ckptfmt.events.scalars`); the other events one by one. Values
under tags become rows of the table of tags, and other events are listed by location. Nothing else stays in
memory: a value that is not a number is read again when it is asked for. Compressed files cannot be read by
offset, so their events are kept, up to a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from ckptfmt.errors import CkptfmtError, LimitError, PathNotFoundError
from ckptfmt.events.event import decode_some
from ckptfmt.events.event_file import EventFile
from ckptfmt.events.location import MAX_FILES, pack
from ckptfmt.events.other_events import READABLE, OtherEvent
from ckptfmt.events.scalars.decoder import ScalarDecoder
from ckptfmt.events.store import EventStore
from ckptfmt.events.tag_table import TagTable
from ckptfmt.events.value_rows import ROW_SIZE
from ckptfmt.limits import Limits
from ckptfmt.locks import new_reentrant_lock
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.damage import OnDamage
from ckptfmt.record.event_names import event_files
from ckptfmt.record.patience import Patience
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.filesystem import Filesystem

EVENT_SIZE = 64
"""Bytes charged for each event of a compressed file that is decoded alone. Without a charge, a few compressed
bytes could hold any number of empty events."""

KEPT_SIZE = 200
"""Bytes in memory of a kept event, besides those of the event itself."""


class GatheredRun:
    """The event files of a run, and what was gathered from them."""

    def __init__(
        self,
        path: str,
        files: list[str],
        fs: Filesystem,
        *,
        verify: bool,
        strict: bool,
        limits: Limits,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.path = path
        self.lock = new_reentrant_lock()
        self.generation = 0
        """Changes whenever what was gathered changes."""
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limit = limits.record
        self._on_damage = on_damage
        self._begin(files)

    def _begin(self, names: list[str]) -> None:
        """Forget what was gathered."""
        self.names = names
        self.files: list[EventFile] = []
        files = self.files
        self.store = EventStore(names, lambda number: files[number].head, self._fs, verify=self._verify)
        self.tag_table = TagTable()
        self.others: list[OtherEvent] = []
        self.version = self.writer = ""
        self._decoder = ScalarDecoder(verify=self._verify)
        self._memory = 0
        self._is_gathered = False
        self.generation += 1

    def _file(self, name: str, *, is_followed: bool = False, on_damage: OnDamage | None = None) -> EventFile:
        return EventFile(
            name,
            self._fs,
            verify=self._verify,
            strict=self._strict,
            limit=self._limit,
            is_alone=name == self.path,
            is_followed=is_followed,
            on_damage=on_damage or self._on_damage,
        )

    # --- event by event ------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Iterate over the records of all files."""
        for name in tuple(self.names):
            yield from self._file(name).records()

    def events(self) -> Iterator[messages.Event]:
        """Iterate over the messages of all files."""
        for name in tuple(self.names):
            yield from self._file(name).events()

    def follow(self, patience: Patience, on_damage: OnDamage | None = None) -> Iterator[messages.Event]:
        """Iterate over the messages of all files, and then over those that are being written."""
        # Each round reads on in all files, then waits. If a file has another identity than before, or is
        # shorter, it is another file with the same name, and is read from its beginning.

        def followed(name: str) -> EventFile:
            return self._file(name, is_followed=True, on_damage=on_damage)

        files = list(map(followed, self.names))
        while True:
            is_any_new = False
            for number, file in enumerate(files):
                if file.is_replaced():
                    file = files[number] = followed(file.name)
                if not file.is_changed():
                    continue
                try:
                    for event in file.events():
                        is_any_new = True
                        yield event
                except PathNotFoundError:
                    # Deleted since it was looked at: it has ended.
                    continue
            if is_any_new:
                patience.renew()
            if not patience.wait():
                return
            # New files come last, even if one was begun before a known one: those events have been returned.
            known = {file.name for file in files}
            files += [followed(name) for name in self._listed() if name not in known]

    def _listed(self) -> list[str]:
        """Return the event files that exist now."""
        is_directory = self._fs.path_type(self.path) == "directory"
        return event_files(self._fs, self.path) if is_directory else list(self.names)

    # --- what was gathered ---------------------------------------------------------------------------------

    @property
    def num_events(self) -> int:
        """Number of events gathered."""
        return sum(file.count for file in self.files)

    def ordered_others(self) -> list[OtherEvent]:
        """Return the events other than summaries in the order of the files."""
        # Not the order in which they were read: a file may grow after the next one was begun.
        return sorted(self.others, key=lambda other: other.location)

    def others_of(self, what: str) -> tuple[list[OtherEvent], EventStore]:
        """Return the events other than summaries of one kind, and the store that reads them again."""
        with self.lock:
            self.gather()
            return [other for other in self.ordered_others() if other.what == what], self.store

    # --- gathering -----------------------------------------------------------------------------------------

    @property
    def ungathered_bytes(self) -> int:
        """Bytes that :meth:`gather` would read; 0 if it has read them."""
        if self._is_gathered:
            return 0
        return sum(status.size for name in self.names if (status := self._fs.status(name)) is not None)

    def gather(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Read all files, unless that was done before; an error leaves nothing gathered."""
        with self.lock:
            if not self._is_gathered:
                if self.files:
                    # An interrupt came, and another one before _read() had forgotten everything.
                    self._begin(self.names)
                self._read(progress)

    def refresh(self) -> int:
        """Read what was written since the last time; return the number of new events.

        If a file was replaced or cut short, all files are read again.
        """
        with self.lock:
            self.gather()
            before = self.num_events
            listed, known = self._listed(), set(self.names)
            added = [name for name in listed if name not in known]
            is_replaced = any(file.is_replaced() for file in self.files)
            if is_replaced or (added and listed[-len(added) :] != added):
                # Read all again: locations sort by the order of files, so no file can be put between others,
                # and the events of a replaced file would stay.
                self._begin(listed)
                before = 0 if is_replaced else before
            else:
                self.names += added
            self._read(None)
            if any(file.restarts for file in self.files):
                # A file was read from its beginning again: some of its events were gathered twice, or turned
                # out to be data of another one (see ckptfmt.record.recovery).
                self._begin(self.names)
                self._read(None)
            return max(0, self.num_events - before)

    def _read(self, progress: Callable[[int, int], object] | None) -> None:
        self._is_gathered = False
        # A file that is open keeps its old length; opened again, it has the new one.
        self.store.close()
        try:
            if len(self.names) > MAX_FILES:
                raise LimitError("event files", limit=MAX_FILES, asked=len(self.names), file=self.path)
            # Known files go on where reading ended; those that have not changed are not even opened.
            new = self.names[len(self.files) :]
            self.files += [self._file(name) for name in new]
            sizes = [self._size_of(file.name) for file in self.files]
            for number, file in enumerate(self.files):
                if file.is_changed():
                    self._read_file(number, file, sizes, progress)
            self.generation += 1
            self._is_gathered = True
        except BaseException:
            # A batch may have been taken in part, and nothing records which part. BaseException: Ctrl-C too.
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
            # Deleted after the directory was listed.
            if file.is_alone:
                raise

    def _take(self, file: int, reader: RecordReader, batch: Batch) -> None:
        """Take the events of a batch: columns of scalars first, then the other events one by one.

        Both find damaged events; they are reported at the end, in the order of the file.
        """
        columns, others, damaged = self._decoder.decode(batch)
        # By record number; None for a checksum mismatch, whose error the reader makes itself.
        errors: dict[int, CkptfmtError | None] = dict.fromkeys(damaged)
        # A few compressed bytes may hold any number of events, so these are charged for their memory. The
        # size of an uncompressed file bounds it anyway.
        is_compressed = reader.compression is not None
        memory = EVENT_SIZE * len(others)
        for each in columns:
            memory += ROW_SIZE * self.tag_table.add_columns(each, file)
        borders = batch.borders
        for number, event in decode_some(reader, batch, others):
            if isinstance(event, CkptfmtError):
                errors[number] = event
                continue
            size = int(batch.sizes[number])
            location = pack(file, batch.base + int(borders[number]))
            is_kept = self._take_event(event, location, size)
            if is_compressed:
                memory += ROW_SIZE * len(event.summary.value)
                if is_kept:
                    begin = int(batch.begins[number])
                    self.store.keep(location, bytes(batch.data[begin : begin + size]))
                    memory += KEPT_SIZE + size
                self._charge(reader.name, memory)
                memory = 0
        if is_compressed:
            self._charge(reader.name, memory)
        for number in sorted(errors):
            reader.report_record(batch, number, errors[number])

    def _charge(self, name: str, memory: int) -> None:
        """Charge a compressed file for memory; LimitError once all of them exceed the limit."""
        self._memory += memory
        if self._memory > self._limit:
            what = "bytes of memory for compressed files"
            raise LimitError(what, limit=self._limit, asked=self._memory, field="max_record", file=name)

    def _take_event(self, event: messages.Event, location: int, size: int) -> bool:
        """Take one event; return whether it may have to be read again."""
        what = event.WhichOneof("what")
        if what == "summary":
            return self.tag_table.add_event(event, location, size)
        if what == "file_version":
            self.version = self.version or event.file_version
            self.writer = self.writer or event.source_metadata.writer
        elif what is not None:
            self.others.append(OtherEvent(what, event.step, event.wall_time, location, size))
        return what in READABLE

    def close(self) -> None:
        """Close the files; what was gathered stays."""
        self.store.close()
