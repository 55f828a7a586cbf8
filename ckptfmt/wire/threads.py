"""Threads that share work: large ranges of bytes are cut into pieces, which threads take one after another.

The unit of work is a piece and not a tensor, so that one tensor of 20 GB keeps every core busy, and a
thousand small ones are shared evenly. Threads help if the work releases the interpreter's lock, as reading,
copying and checksumming pieces of this size do.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

PIECE = 4 << 20
"""Bytes of a piece. The checksum of one takes 0.4 ms, the start of a thread less than 0.1 ms."""

MAX_THREADS = 8
"""Threads used unless the caller says how many: a few checksums take all the memory bandwidth there is."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def cut(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Iterate over the pieces of a range of bytes: offset and size of each.

    All but the first have :data:`PIECE` bytes, so that :func:`ckptfmt.wire.crc32c.combine` always uses the
    same factor, which depends on the size of what follows.
    """
    stop = offset + size
    while offset < stop:
        end = stop - (stop - offset - 1) // PIECE * PIECE
        yield offset, end - offset
        offset = end


def default_threads() -> int:
    """Return how many threads work unless the caller says: one for each processor the process may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(MAX_THREADS, len(usable))


class _Helper(threading.Thread):
    """A thread whose end can be waited for through interruptions.

    Before Python 3.13, a thread whose ``join`` was interrupted counts as ended while it still runs (CPython
    issue 90882), so an event says when it has ended.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self._work = run
        self._done = threading.Event()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self._done.set()

    def wait(self) -> BaseException | None:
        """Wait until the thread has ended; return the last interruption of the wait, if there was one."""
        interruption: BaseException | None = None
        while not self._done.is_set():
            try:
                self._done.wait()
            except BaseException as error:
                interruption = error
        self.join()
        return interruption


def in_threads(work: Callable[[_T], _R], items: Iterable[_T], threads: int) -> list[_R]:
    """Return ``work(item)`` of each item, in order, done by up to ``threads`` threads including this one.

    After an error no new item is begun. Among several errors, that of the first item is raised: all items
    before it were begun before it, and are done, so that the error does not depend on chance.
    """
    # Every thread takes the next item when it is free, so that slow items delay only themselves. A deque's
    # popleft is one step, and needs no lock.
    waiting = deque(enumerate(items))
    results: dict[int, _R] = {}
    errors: dict[int, BaseException] = {}

    def run() -> None:
        while True:
            try:
                number, item = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = work(item)
            except BaseException as error:
                errors[number] = error
                waiting.clear()

    count = len(waiting)
    helpers: list[_Helper] = []
    try:
        while len(helpers) < min(threads, count) - 1:
            helper = _Helper(run)
            try:
                helper.start()
            except RuntimeError:
                break  # the system has no thread left; fewer do as well
            helpers.append(helper)
        run()
    finally:
        # Interrupted or not, no thread outlives the call: it may write into memory that the caller frees.
        waiting.clear()
        interruptions = [helper.wait() for helper in helpers]
        for interruption in filter(None, interruptions):
            raise interruption
    try:
        if errors:
            raise errors[min(errors)]
    finally:
        # The error's traceback holds this frame, and the frame would hold the error: a cycle, which keeps all
        # that the work had in memory until the garbage collector runs.
        errors.clear()
    return [results[number] for number in range(count)]
