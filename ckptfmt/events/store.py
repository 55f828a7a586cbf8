"""The store of a run: its events, read again by their locations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.events.classify import FLOAT, Content, content_of
from ckptfmt.events.location import unpack
from ckptfmt.events.value_rows import Values
from ckptfmt.locks import new_lock
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import HEADER_SIZE, OVERHEAD, decode_header
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem

MAX_OPEN = 4
"""Files kept open for the next request."""

HEAD_SIZE = 4096
"""First bytes that are compared to tell whether a file is still the one that was read. They hold the time at
which it was begun."""

E = TypeVar("E", bound=CkptfmtError)
T = TypeVar("T")


def read_head(file: RandomAccessFile) -> bytes:
    """Return the first bytes of a file, up to :data:`HEAD_SIZE`."""
    return bytes(file.read(0, min(file.size, HEAD_SIZE)))


class EventStore:
    """The events of a run, read again by their locations.

    Events of compressed files cannot be read by offset, so their bytes are kept in memory.

    Parameters
    ----------
    files
        The files by number. The caller may append more.
    head_of
        Returns the first bytes of a file, given by its number, as they were when the file was read.
    verify
        Whether checksums are verified.
    """

    def __init__(
        self, files: list[str], head_of: Callable[[int], bytes], fs: Filesystem, *, verify: bool
    ) -> None:
        self._files = files
        self._head_of = head_of
        self._fs = fs
        self._verify = verify
        self._kept: dict[int, bytes] = {}
        """The bytes of events of compressed files, by location."""
        self._open: OrderedDict[int, RandomAccessFile] = OrderedDict()
        """Open files by number, the one used last at the end."""
        self._last: tuple[int, messages.Event] | None = None
        self._lock = new_lock()

    def keep(self, location: int, data: bytes) -> None:
        """Keep the bytes of an event of a compressed file."""
        self._kept[location] = data

    def event(self, location: int, size: int) -> messages.Event:
        """Return the event at a location, whose record has ``size`` bytes.

        The last event stays decoded: the values of one event are usually asked for one after the other.
        CorruptError if the file has changed since it was read.
        """
        # One attribute is read and written whole, so threads need no lock here.
        last = self._last
        if last is not None and last[0] == location:
            return last[1]
        number, offset = unpack(location)
        data = self._kept.get(location)
        if data is None:
            data = self._read(number, offset, size)
        try:
            event = parse_message(messages.Event, data, None)
        except CorruptError as error:
            raise error.at(self._files[number], offset, relative=False) from error.__cause__
        self._last = location, event
        return event

    def _read(self, number: int, offset: int, size: int) -> bytes:
        name = self._files[number]
        with self._lock:
            file = self._open.pop(number, None)
            if file is None:
                # By now another file may have this name, in which the offsets would mean nothing.
                file = self._fs.open(name)
                head = self._head_of(number)
                if read_head(file)[: len(head)] != head:
                    file.close()
                    raise CorruptError("the file was replaced after it was read", file=name, offset=0)
            self._open[number] = file
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            # Read under the lock: another thread may close the file to open one of its own.
            frame = file.read(offset, size + OVERHEAD)
        # A file with the same head may still have been rewritten after it.
        if decode_header(frame[:HEADER_SIZE]) != size:
            what = "the event is no longer at this offset: the file changed after it was read"
            raise CorruptError(what, file=name, offset=offset)
        if self._verify:
            error = Batch(frame, offset, np.array([0, len(frame)], np.int64)).check(0, name)
            if error is not None:
                raise error
        return bytes(frame[HEADER_SIZE : HEADER_SIZE + size])

    def read(self, location: int, size: int, what: str, decode: Callable[[messages.Event], T]) -> T:
        """Return what is decoded from an event, read again; see :meth:`at` for errors."""
        try:
            return decode(self.event(location, size))
        except CkptfmtError as error:
            raise self.at(error, location, what) from error.__cause__

    def read_value(
        self, values: Values, row: int, what: str, decode: Callable[[messages.Summary.Value], T]
    ) -> T:
        """Return what is decoded from a value, read again; see :meth:`at` for errors."""
        location, number = int(values.locations[row]), int(values.numbers[row])
        if content_of(int(values.codes[row])) is not Content.FLOAT:
            size = int(values.sizes[row])
            return self.read(location, size, what, lambda event: decode(event.summary.value[number]))
        # The number itself is known, and events of compressed files that hold only numbers are not kept.
        value = messages.Summary.Value()
        value.tensor.dtype = FLOAT
        value.tensor.float_val.append(float(values.scalars[row]))
        try:
            return decode(value)
        except CkptfmtError as error:
            raise self.at(error, location, what) from error.__cause__

    def name(self, location: int) -> str:
        """Return the file that a location is in."""
        return self._files[unpack(location)[0]]

    def at(self, error: E, location: int, what: str) -> E:
        """Place an error about a value at the event that holds it, and return it.

        Decoders see parts of an event. Their offsets do not count from the event's beginning, so the offset
        of the event replaces them.
        """
        number, offset = unpack(location)
        return error.at(self._files[number], offset, label=what, relative=False)

    def close(self) -> None:
        """Close the files; they are opened again when needed."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()
