"""One event file, read forwards as it grows.

A file is open only while it is read, since a run may have thousands. Its first bytes are remembered: they
hold the time at which the file was begun, so they tell a file that was replaced from one that has grown.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import TypeVar

from ckptfmt.errors import CkptfmtError, CorruptError, DamageWarning, PathNotFoundError
from ckptfmt.events.event import decode_events
from ckptfmt.events.store import read_head
from ckptfmt.filetype.kinds import Holds
from ckptfmt.filetype.refusal import refusal
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.damage import Damage, OnDamage
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.filesystem import FileStatus, Filesystem

T = TypeVar("T")


class EventFile:
    """One event file, read forwards as it grows.

    Parameters
    ----------
    is_alone
        Whether the caller asked for this very file. If it is not an event file, that is an error then; in a
        directory, it is damage covering the whole file.
    is_followed
        Whether the caller waits for more, so that a strict reader accepts an incomplete last event.
    on_damage
        Called with each stretch of damage, in place of a warning.
    """

    def __init__(
        self,
        name: str,
        fs: Filesystem,
        *,
        verify: bool,
        strict: bool,
        limit: int,
        is_alone: bool,
        is_followed: bool = False,
        on_damage: OnDamage | None = None,
    ) -> None:
        self.name = name
        self.head = b""
        """The first bytes of the file when it was read last."""
        self.reader: RecordReader | None = None
        """The reader; None before the file is read, and if it is not an event file."""
        self.tail = 0
        """Bytes after the last whole event."""
        self._stray: Damage | None = None
        """The whole file as damage, if it is not an event file."""
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self.is_alone = is_alone
        self._is_followed = is_followed
        self._on_damage = on_damage
        self._status: FileStatus | None = None

    @property
    def count(self) -> int:
        """Events read so far."""
        return 0 if self.reader is None else self.reader.count

    @property
    def restarts(self) -> int:
        """How often reading restarted at the beginning, so that some events were returned twice."""
        return 0 if self.reader is None else self.reader.restarts

    @property
    def damage(self) -> list[Damage]:
        """What was skipped so far."""
        damage = [] if self.reader is None else self.reader.damage
        return damage if self._stray is None else [*damage, self._stray]

    def is_changed(self) -> bool:
        """Whether there may be more to read. A file that was deleted has ended, so it has not changed."""
        now = self._fs.status(self.name)
        return self._status is None or (now is not None and now != self._status)

    def is_replaced(self) -> bool:
        """Whether another file has this name now, or this one has become shorter."""
        now, before = self._fs.status(self.name), self._status
        if now is None or before is None or now == before:
            return False
        # An identity alone does not settle it: file systems give the inode of a deleted file to a new one.
        return (
            now.identity != before.identity
            or now.size < before.size
            or self._read_head()[: len(self.head)] != self.head
        )

    def _read_head(self) -> bytes:
        try:
            file = self._fs.open(self.name, changing=self._is_followed)
        except PathNotFoundError:
            return self.head  # deleted meanwhile
        try:
            return read_head(file)
        finally:
            file.close()

    def batches(self) -> Generator[Batch, None, None]:
        """Iterate over the events that were not read before, in batches.

        Raises what :meth:`RecordReader.batches` raises, and UnsupportedError if the file is not an event file
        and either was opened by its own path or reading is strict.
        """
        reader = self._open()
        yield from self._guarded(reader, reader.batches())

    def records(self) -> Iterator[Record]:
        """Iterate over the records that were not read before; raises what :meth:`batches` raises."""
        reader = self._open()
        yield from self._guarded(reader, reader.records())

    def events(self) -> Iterator[messages.Event]:
        """Iterate over the messages that were not read before; raises what :meth:`batches` raises."""
        reader = self._open()
        yield from decode_events(reader, self._guarded(reader, reader.batches()))

    def _open(self) -> RecordReader:
        """Open the file where reading goes on."""
        # The status is taken before reading: what is written during it shows as a change the next time.
        self._status = self._fs.status(self.name)
        # The head each time, since the file may have grown to its full length; EventStore compares it before
        # it reads values again.
        self.head, self._stray = self._read_head(), None
        if self.reader is None:
            source = Source(self.name, self._fs, changing=self._is_followed)
            self.reader = RecordReader(
                source,
                verify=self._verify,
                strict=self._strict,
                limit=self._limit,
                growing=self._is_followed,
                on_damage=self._on_damage,
            )
        else:
            self.reader.source.refresh()
        return self.reader

    def _guarded(self, reader: RecordReader, items: Iterator[T]) -> Iterator[T]:
        """Pass on what is read, then close the file; refuse a file without a single record for what it is."""
        is_first = not reader.position
        try:
            for item in items:
                is_first = False
                yield item
        except CorruptError as error:
            # Only a plain CorruptError at offset 0 says that the file has no records at all.
            if not is_first or error.offset != 0 or type(error) is not CorruptError:
                raise
            self._refuse(refusal(self._fs, self.name, Holds.EVENTS), error)
        finally:
            self.tail = 0 if self.reader is None else reader.tail
            reader.source.close()

    def _refuse(self, refused: CkptfmtError, error: CorruptError) -> None:
        """Raise the error that says what the file is; in a directory, note the file as damage instead."""
        if self.is_alone or self._strict:
            raise refused from error
        # Without a reader, the file is tried from its beginning again if it changes: its first event may not
        # have been written yet.
        self.reader = None
        self._stray = Damage(self.name, 0, self._status.size if self._status else 0, refused)
        if self._on_damage is not None:
            self._on_damage(self._stray)
        else:
            warnings.warn(str(self._stray), DamageWarning, stacklevel=2)
