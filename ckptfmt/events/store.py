"""The store of a run: its events, read again by their locations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.events.location import unpack
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Batch
from ckptfmt.record.frame import HEADER_SIZE, OVERHEAD, decode_header
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem

MAX_OPEN = 4
"""Files that are kept open for what is asked for next."""

HEAD_SIZE = 4096
"""As many first bytes tell whether a file is still the one that was read: they say when it was begun."""

E = TypeVar("E", bound=CkptfmtError)


def read_head(file: RandomAccessFile) -> bytes:
    """Return the first bytes of a file, up to :data:`HEAD_SIZE`."""
    return bytes(file.read(0, min(file.size, HEAD_SIZE)))


class EventStore:
    """The events of the files of a run, read again by their places; those of compressed files are kept.

    Parameters
    ----------
    files
        The files by number; more may be put behind them.
    head_of
        Returns the first bytes of a file as they were when it was read, by its number.
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
        self._open: OrderedDict[int, RandomAccessFile] = OrderedDict()
        self._last: tuple[int, messages.Event] | None = None
        self._lock = threading.Lock()

    def keep(self, place: int, data: bytes) -> None:
        """Keep an event that cannot be read again by its offset."""
        self._kept[place] = data

    def event(self, place: int, size: int) -> messages.Event:
        """Return the event at a place; asked for again at once it is not decoded again.

        CorruptError where another event is there now than when it was read.
        """
        last = self._last
        if last is not None and last[0] == place:
            return last[1]
        number, offset = unpack(place)
        data = self._kept.get(place)
        if data is None:
            data = self._read(number, offset, size)
        event = parse_message(messages.Event, data, self._files[number], offset)
        self._last = place, event
        return event

    def _read(self, number: int, offset: int, size: int) -> bytes:
        name = self._files[number]
        with self._lock:
            file = self._open.pop(number, None)
            if file is None:
                file = self._fs.open(name)
                head = self._head_of(number)
                if read_head(file)[: len(head)] != head:
                    file.close()
                    raise CorruptError("the file has been replaced since it was read", file=name, offset=0)
            self._open[number] = file
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            frame = file.read(offset, size + OVERHEAD)
        if decode_header(frame[:HEADER_SIZE]) != size:
            what = "no event at this offset any more: the file changed after it was read"
            raise CorruptError(what, file=name, offset=offset)
        if self._verify:
            error = Batch(frame, offset, np.array([0, len(frame)], np.int64)).check(0, name)
            if error is not None:
                raise error
        return bytes(frame[HEADER_SIZE : HEADER_SIZE + size])

    def name(self, place: int) -> str:
        """Return the file that a location is in."""
        return self._files[unpack(place)[0]]

    def at(self, error: E, place: int, what: str) -> E:
        """Say in an error about a value which file and offset it was read from; return it.

        Decoders see parts of an event, so that their offsets count from places unknown in the file: the error
        is at the event.
        """
        number, offset = unpack(place)
        return error.at(self._files[number], offset, label=what, relative=False)

    def close(self) -> None:
        """Close the files; they are opened again where they are needed."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()
