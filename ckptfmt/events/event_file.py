"""Event files: one of them, read forwards as it grows.

A file is open only while it is read. What was read of it is remembered with its first bytes, by which a file
that has been replaced is told from one that has grown.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import TypeVar

from ckptfmt.errors import (
    CkptfmtError,
    CorruptError,
    DamageWarning,
    PathNotFoundError,
)
from ckptfmt.events.event import decode_events
from ckptfmt.events.store import read_head
from ckptfmt.filetype.kinds import Holds
from ckptfmt.filetype.refusal import refusal
from ckptfmt.proto import messages
from ckptfmt.record.batch import Batch, Record
from ckptfmt.record.damage import Damage
from ckptfmt.record.input import Source
from ckptfmt.record.reader import RecordReader
from ckptfmt.storage.filesystem import FileStatus, Filesystem

T = TypeVar("T")


class EventFile:
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
        fs: Filesystem,
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
        self._fs = fs
        self._verify = verify
        self._strict = strict
        self._limit = limit
        self.is_alone = is_alone
        self._is_followed = is_followed
        self._status: FileStatus | None = None

    @property
    def count(self) -> int:
        """Events read so far."""
        return 0 if self.reader is None else self.reader.count

    @property
    def restarts(self) -> int:
        """How often it was read from its beginning again: some of its events have been told twice."""
        return 0 if self.reader is None else self.reader.restarts

    @property
    def damage(self) -> list[Damage]:
        """What was skipped so far."""
        found = [] if self.reader is None else self.reader.damage
        return found if self._stray is None else [*found, self._stray]

    def is_changed(self) -> bool:
        """Whether there may be more to read; not where the file is gone, which is one that has ended."""
        now = self._fs.status(self.name)
        return self._status is None or (now is not None and now != self._status)

    def is_replaced(self) -> bool:
        """Whether there is another file by now, or this one is shorter than it was."""
        now, before = self._fs.status(self.name), self._status
        if now is None or before is None or now == before:
            return False
        return (
            now.identity != before.identity
            or now.size < before.size
            or self._read_head()[: len(self.head)] != self.head
        )

    def _read_head(self) -> bytes:
        try:
            file = self._fs.open(self.name, changing=self._is_followed)
        except PathNotFoundError:
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
        self._status = self._fs.status(self.name)
        self.head, self._stray = self._read_head(), None
        if self.reader is None:
            source = Source(self.name, self._fs, changing=self._is_followed)
            self.reader = RecordReader(
                source,
                verify=self._verify,
                strict=self._strict,
                limit=self._limit,
                growing=self._is_followed,
            )
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
        except CorruptError as error:
            if not is_first or error.offset != 0 or type(error) is not CorruptError:
                raise
            self._refuse(refusal(self._fs, self.name, Holds.EVENTS), error)
        finally:
            self.tail = 0 if self.reader is None else reader.tail
            reader.source.close()

    def _refuse(self, refused: CkptfmtError, error: CorruptError) -> None:
        """Say what the file is instead of one of events."""
        if self.is_alone or self._strict:
            raise refused from error
        self.reader = None
        self._stray = Damage(self.name, 0, self._status.size if self._status else 0, refused)
        warnings.warn(str(self._stray), DamageWarning, stacklevel=2)
